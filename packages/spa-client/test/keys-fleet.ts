import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateKey } from 'openpgp';
import type { Test } from 'tap';

// Rosters with real keys in folders of their own, and the real program, for the tests of spa-keys.

/** Somebody with a key. */
export interface FleetParty {
  readonly name: string;
  readonly fingerprint: string;
  readonly certificate: string;
  readonly secretKey: string;
}

/** A roster's folder and the folder of its secrets. */
export interface KeysFleet {
  readonly roster: string;
  readonly secrets: string;
  readonly authority: FleetParty | null;
  readonly operators: readonly FleetParty[];
  readonly bastions: readonly FleetParty[];
  /** Runs spa-keys on that roster. */
  readonly run: (...args: string[]) => Promise<Ran>;
}

/** How a program ended. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const SPA_KEYS: string = fileURLToPath(new URL('../src/bin/spa-keys.js', import.meta.url));

/** A folder that is gone after the test. */
export function scratchFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'k'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A key as gpg makes them: Ed25519 and Curve25519, version 4. */
export async function makeParty(name: string): Promise<FleetParty> {
  const { privateKey, publicKey } = await generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name, email: `${name}@example.org` }],
    format: 'object',
    date: new Date(Date.now() - 60_000),
  });
  return {
    name,
    fingerprint: publicKey.getFingerprint().toUpperCase(),
    certificate: publicKey.armor(),
    secretKey: privateKey.armor(),
  };
}

/** A key in a GnuPG home of its own whose primary key only certifies, and which has a subkey that signs, as cards often have them. */
export function makeCertifier(
  t: Test,
  name: string,
): FleetParty & { readonly home: string /** Without the subkey. */; readonly bareCertificate: string } {
  const home = gnupgHome(t);
  const loopback = ['--pinentry-mode', 'loopback', '--passphrase', ''];
  gpg(home, [
    ...loopback,
    '--quick-generate-key',
    `${name} <${name}@example.org>`,
    'ed25519',
    'cert',
    'never',
  ]);
  const fingerprint = gpg(home, ['--with-colons', '--list-keys']).match(/^fpr:{9}(\w+):/m)?.[1] ?? '';
  const bareCertificate = gpg(home, ['--armor', '--export', fingerprint]);
  gpg(home, [...loopback, '--quick-add-key', fingerprint, 'ed25519', 'sign', 'never']);
  return {
    ...{ name, fingerprint, home, bareCertificate },
    certificate: gpg(home, ['--armor', '--export', fingerprint]),
    secretKey: gpg(home, [...loopback, '--armor', '--export-secret-keys', fingerprint]),
  };
}

/** A roster in which everybody may open everything. `capabilities` are those of all bastions. */
export async function makeFleet(
  t: Test,
  topology: 'mutual' | 'authority',
  {
    operators,
    bastions,
    capabilities = [],
    authority: given,
  }: {
    readonly operators: number;
    readonly bastions: number;
    readonly capabilities?: readonly string[];
    readonly authority?: FleetParty;
  },
): Promise<KeysFleet> {
  const scratch = scratchFolder(t);
  const [roster, secrets] = [join(scratch, 'roster'), join(scratch, 'secrets')];
  const many = (prefix: string, count: number): Promise<readonly FleetParty[]> =>
    Promise.all(Array.from({ length: count }, (_, index) => makeParty(`${prefix}${index + 1}`)));
  const people = await many('op', operators);
  const hosts = await many('b', bastions);
  const authority = topology === 'authority' ? (given ?? (await makeParty('org'))) : null;
  const files = new Map([
    ...people.map((one) => [`certificates/operators/${one.name}.asc`, one.certificate] as const),
    ...hosts.map((one) => [`certificates/bastions/${one.name}.asc`, one.certificate] as const),
    ...(authority === null ? [] : [['certificates/authority.asc', authority.certificate] as const]),
    ['roster.yaml', rosterText(topology, authority, people, hosts, capabilities)],
  ]);
  for (const [file, text] of files) write(join(roster, file), text, 0o644);
  for (const one of [...people, ...hosts, ...(authority === null ? [] : [authority])]) {
    write(join(secrets, 'keys', `${one.fingerprint}.asc`), one.secretKey, 0o600);
  }
  chmodSync(secrets, 0o700);
  const run = (...args: string[]): Promise<Ran> =>
    spaKeys([...args, '--roster', roster, '--secrets', secrets]);
  return { roster, secrets, authority, operators: people, bastions: hosts, run };
}

/** Runs spa-keys, without a terminal. */
export function spaKeys(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [SPA_KEYS, ...args],
      { env: { ...process.env, ...env }, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        resolve({
          code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1,
          stdout,
          stderr,
        });
      },
    );
    child.stdin?.end();
  });
}

/** An empty GnuPG home. */
export function gnupgHome(t: Test, ...agentLines: string[]): string {
  const home = mkdtempSync(join(tmpdir(), 'g'));
  chmodSync(home, 0o700);
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true, force: true });
  });
  writeFileSync(join(home, 'gpg-agent.conf'), ['s2k-count 65536', ...agentLines, ''].join('\n'));
  return home;
}

/** What gpg says on stdout. */
export function gpg(home: string, args: readonly string[], input = ''): string {
  return execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--no-auto-check-trustdb', ...args], {
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
}

/** A home that knows all certificates of a roster's folder. */
export function importRoster(t: Test, { roster }: KeysFleet): string {
  const home = gnupgHome(t);
  const files = execFileSync('find', [join(roster, 'certificates'), '-name', '*.asc'], { encoding: 'utf8' });
  gpg(home, ['--import-options', 'import-local-sigs', '--import', ...files.trim().split('\n')]);
  return home;
}

/** The good certifications that gpg finds on a key, by the key IDs of their makers, its own left out. */
export function goodCertifications(home: string, fingerprint: string): readonly string[] {
  const lines = gpg(home, ['--with-colons', '--check-sigs', fingerprint]).split('\n');
  const rows = lines.map((line) => line.split(':'));
  const bad = rows.filter(([type, state]) => type === 'sig' && state !== '!');
  if (bad.length > 0) throw new Error(`gpg finds bad signatures: ${bad.join('\n')}`);
  return rows
    .filter(
      ([type, , , , keyId = '', , , , , , kind = '']) =>
        type === 'sig' && keyId !== fingerprint.slice(-16) && kind.startsWith('10'),
    )
    .map(([, , , , keyId = '']) => keyId);
}

function rosterText(
  topology: 'mutual' | 'authority',
  authority: FleetParty | null,
  operators: readonly FleetParty[],
  bastions: readonly FleetParty[],
  capabilities: readonly string[],
): string {
  return [
    '# The fleet of a test.',
    'name: example',
    'version: 1',
    `topology: ${topology}`,
    ...(authority === null
      ? []
      : ['authority:', '  name: Example Org', `  fingerprint: ${authority.fingerprint}`]),
    'operators:',
    ...operators.flatMap(({ name, fingerprint }) => [
      `  ${name}:`,
      `    email: ${name}@example.org`,
      `    fingerprint: ${fingerprint} # checked by telephone`,
    ]),
    'bastions:',
    ...bastions.flatMap(({ name, fingerprint }) => [
      `  ${name}:`,
      `    region: r-${name}`,
      `    host: ${name}.example.org`,
      `    fingerprint: ${fingerprint}`,
      ...(capabilities.length === 0 ? [] : [`    capabilities: [${capabilities.join(', ')}]`]),
    ]),
    'access:',
    '  - who: [everybody]',
    '    where: [everywhere]',
    '',
  ].join('\n');
}

function write(path: string, text: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, text, { mode });
}
