import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lacking } from 'spa-lab';
import t, { type Test } from 'tap';

const DEMO = fileURLToPath(new URL('../../../demo/dist/demo.js', import.meta.url));
const PROGRAMS = ['nft', 'sshd', 'ssh', 'ssh-keygen', 'gpg', 'gpgconf', 'sysctl'] as const;

/** What the demo has seen, in this order. */
const CLAIMS = [
  'gpg --check-sigs finds both good',
  'spa-server listens on 62201/udp',
  'for 1 s nothing answers the operator, not even a refusal',
  'from Enter to the output',
  'open for 10.77.0.1, silent for its neighbour 10.77.0.3',
  'nothing answers any more',
  'the session that was open goes on',
  'the same characters again: refused, and the door stays closed',
  'hosts, processes and files are gone',
  'All of it was seen to hold',
] as const;

interface Run {
  readonly child: ChildProcess;
  /** What it has printed until now. */
  output(): string;
  /** Its exit code, once it has ended. */
  readonly ended: Promise<number | null>;
  /** The folder for its temporary files. */
  readonly folder: string;
}

/** The demo in a pipe. */
function startDemo(t: Test): Run {
  const folder = mkdtempSync(join(tmpdir(), 'demo-'));
  const child = spawn(process.execPath, [DEMO], {
    cwd: '/',
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  t.teardown(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, output: () => output, ended, folder };
}

t.test('the demo', { skip: lacking(...PROGRAMS) }, async (t) => {
  t.test('sees every claim hold, and leaves no file', async (t) => {
    const run = startDemo(t);
    t.equal(await run.ended, 0, 'exit code') || t.comment(run.output());
    let position = 0;
    for (const claim of CLAIMS) {
      const found = run.output().indexOf(claim, position);
      t.ok(found >= 0, claim);
      position = Math.max(position, found);
    }
    t.notOk(run.output().includes('\u001b'), 'no colours in a pipe');
    t.strictSame(readdirSync(run.folder), [], 'no file is left');
  });

  t.test('ends in good order when it is interrupted', async (t) => {
    const run = startDemo(t);
    await untilPrinted(run, '3. The daemon');
    run.child.kill('SIGINT');
    t.equal(await run.ended, 130, 'exit code');
    t.match(run.output(), 'Interrupted. Hosts, processes and files are gone.', 'it says so');
    t.strictSame(readdirSync(run.folder), [], 'no file is left');
  });

  t.test('ends in good order when nobody reads what it says', async (t) => {
    const run = startDemo(t);
    await untilPrinted(run, '1. Two hosts');
    run.child.stdout?.destroy();
    t.equal(await run.ended, 141, 'exit code');
    t.strictSame(readdirSync(run.folder), [], 'no file is left');
  });
});

async function untilPrinted(run: Run, text: string): Promise<void> {
  while (!run.output().includes(text)) {
    if (run.child.exitCode !== null) throw new Error(`the demo has ended: ${run.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
