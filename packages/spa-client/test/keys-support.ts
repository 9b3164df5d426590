import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lackingPrograms } from 'spa-lab';
import type { Test } from 'tap';

/** The program. */
export const SPA_KEYS: string = fileURLToPath(new URL('../src/bin/spa-keys.cjs', import.meta.url));
/** The secrets of whoever names no folder for them: gone with the test. */
const DATA_HOME = mkdtempSync(join(tmpdir(), 'sk-data-'));
process.on('exit', () => rmSync(DATA_HOME, { recursive: true, force: true }));

/** For tests that need gpg. */
export const SKIP: { readonly skip: string | false } = { skip: lackingPrograms('gpg') };

/** How a program ended. */
export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A roster to be. */
export interface Fleet {
  readonly folder: string;
  readonly roster: string;
  readonly secrets: string;
  /** `spa-keys` with the fleet's folders. */
  readonly keys: (...argv: readonly string[]) => Run;
  /** The same at the same time: the exit code. */
  readonly start: (...argv: readonly string[]) => Promise<number | null>;
  /** The same, which must succeed. */
  readonly mustKeys: (...argv: readonly string[]) => Run;
  /** A GnuPG home of its own, with a key of that name; `gpg` runs there. */
  readonly person: (name: string, ...more: readonly string[]) => Person;
}

/** Somebody with a key in gpg. */
export interface Person {
  readonly home: string;
  readonly fingerprint: string;
  /** A file with the certificate. */
  readonly file: string;
  readonly gpg: (argv: readonly string[], input?: string) => Run;
}

/** A program, run to its end. */
export function run(program: string, argv: readonly string[], input = ''): Run {
  const { status, stdout, stderr } = spawnSync(program, argv, {
    encoding: 'utf8',
    input,
    env: { ...process.env, NO_COLOR: '1', XDG_DATA_HOME: DATA_HOME },
  });
  return { status, stdout, stderr };
}

/** A fleet that goes with the test. Short, because gpg-agent's socket has a path of 108 octets at most. */
export function fleetOf(t: Test): Fleet {
  const folder = mkdtempSync(join(tmpdir(), 'sk-'));
  const homes: string[] = [];
  t.teardown(() => {
    for (const home of homes) spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(folder, { recursive: true, force: true });
  });
  const roster = join(folder, 'fleet');
  const secrets = join(folder, 'secrets');
  const places = (verb: string): readonly string[] => [
    ...(verb === 'prove' ? [] : ['--roster', roster]),
    ...(verb === 'challenge' || verb === 'prove' ? [] : ['--secrets', secrets]),
  ];
  const keys: Fleet['keys'] = (verb = '', ...argv) =>
    run(process.execPath, [SPA_KEYS, verb, ...places(verb), ...argv]);
  return {
    folder,
    roster,
    secrets,
    keys,
    start: (verb = '', ...argv) =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [SPA_KEYS, verb, ...places(verb), ...argv], {
          stdio: 'ignore',
        });
        child.on('close', resolve);
      }),
    mustKeys: (...argv) => {
      const result = keys(...argv);
      t.equal(result.status, 0, `${argv.join(' ')}: ${result.stderr}`);
      return result;
    },
    person: (name, ...more) => {
      const home = join(folder, `gpg-${name}`);
      mkdirSync(home, { mode: 0o700 });
      homes.push(home);
      const gpg: Person['gpg'] = (argv, input) =>
        run(
          'gpg',
          ['--homedir', home, '--batch', '--pinentry-mode', 'loopback', '--passphrase', '', ...argv],
          input,
        );
      const userId = `${name} <${name}@example.org>`;
      const made = gpg([...more, '--quick-generate-key', userId, 'future-default', 'default', 'never']);
      t.equal(made.status, 0, made.stderr);
      const fingerprint =
        /^fpr:+([0-9A-F]{40}):/m.exec(gpg(['--with-colons', '--list-keys']).stdout)?.[1] ?? '';
      const file = join(folder, `${name}.asc`);
      writeFileSync(file, gpg(['--armor', '--export']).stdout);
      return { home, fingerprint, file, gpg };
    },
  };
}
