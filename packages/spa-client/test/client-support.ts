import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createScratch, type Scratch } from 'spa-lab';
import type { Test } from 'tap';

const CLIENT = fileURLToPath(new URL('../src/bin/spa-client.cjs', import.meta.url));

/** How a program ended, and what it said. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A home of a test's own, and both clients in it, without a terminal. */
export interface ClientHome {
  readonly path: Scratch['path'];
  /** Our client, as a program and its first argument. */
  readonly command: readonly string[];
  readonly ours: (...argv: readonly string[]) => Outcome;
  /** The stock client. */
  readonly theirs: (...argv: readonly string[]) => Outcome;
}

export function createClientHome(t: Test): ClientHome {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  const { SPOOF_USER: _, ...env } = process.env;
  const run = (program: string, argv: readonly string[]): Outcome => {
    const { status, stdout, stderr } = spawnSync('setsid', ['-w', program, ...argv], {
      env: { ...env, HOME: scratch.path('.'), LOGNAME: 'alice' },
      encoding: 'utf8',
      // What the stock client asks where nobody answers, it asks for ever.
      timeout: 20_000,
      killSignal: 'SIGKILL',
      input: '',
    });
    return { code: status, stdout, stderr };
  };
  return {
    path: scratch.path,
    command: [process.execPath, CLIENT],
    ours: (...argv) => run(process.execPath, [CLIENT, ...argv]),
    theirs: (...argv) => run('fwknop', argv),
  };
}

/** A dump without what differs between any two packets. */
export function withoutChance(dump: string): string {
  return dump
    .replaceAll(
      /^( *(?:Random Value|SPA Data Digest|HMAC|Final SPA Data): )(\S+)$/gm,
      (_, label, value: string) =>
        value === '<NULL>' ? `${label}${value}` : `${label}${value.length} characters`,
    )
    .replaceAll(/^( *Encoded Data: )\d{16}:/gm, '$1R:')
    .replaceAll(/^(\[\+\] Randomly assigned port ')\d{5}('.* ')([\d.]+,tcp\/)\d{5}'/gm, "$1P$2$3P'")
    .replaceAll(/^( *Message String: [\d.]+,tcp\/)\d{5}$/gm, '$1P')
    .replaceAll(/^( *Encoded Data: .*:2:)MC4wLjAuMCx0Y3Av\w{7}:/gm, '$1P:')
    .replaceAll(/\b1\d{9}\b/g, 'T');
}
