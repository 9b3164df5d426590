import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { PROGRAMS } from './daemons.ts';
import { createGnupgHome, type GnupgHome } from './gnupg-home.ts';
import type { Scratch } from './scratch.ts';

/** A bastion as the roster has it. */
export interface RosterBastion {
  readonly name: string;
  readonly region: string;
  readonly host: string;
  /** `spa-server`, or stock fwknopd. */
  readonly daemon: 'spa-server' | 'fwknopd';
}

/** A roster's folder whose keys and certifications gpg made, and where the secret halves are. */
export interface LabRoster {
  readonly folder: string;
  /** The folder of the secrets, with no key in it. */
  readonly secrets: string;
  /** GnuPG homes by name; the authority's is `authority`. */
  readonly homes: ReadonlyMap<string, GnupgHome>;
  fingerprint(name: string): string;
  /** Writes the roster and all certificates anew, as the homes have them. `lines` are added at its end, instead of the access. */
  write(options?: {
    readonly version?: number;
    readonly access?: string;
    readonly without?: readonly string[];
  }): Promise<void>;
  close(): void;
}

/**
 * Makes keys and certifications of a small fleet: everybody may open everything. `certified` names the operators who are
 * certified; left out: all.
 */
export async function createLabRoster(
  scratch: Pick<Scratch, 'path'>,
  wish: {
    readonly topology: 'mutual' | 'authority';
    readonly operators: readonly string[];
    readonly bastions: readonly RosterBastion[];
    readonly certified?: readonly string[];
    readonly algorithm?: 'ecc' | 'rsa2048';
  },
): Promise<LabRoster> {
  const { topology, operators, bastions, certified = operators, algorithm = 'ecc' } = wish;
  const [folder, secrets] = [scratch.path('roster'), scratch.path('secrets')];
  for (const path of [
    secrets,
    folder,
    `${folder}/certificates/operators`,
    `${folder}/certificates/bastions`,
  ]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
  const names = [
    ...(topology === 'authority' ? ['authority'] : []),
    ...operators,
    ...bastions.map(({ name }) => name),
  ];
  const homes = new Map<string, GnupgHome>();
  for (const name of names) {
    homes.set(
      name,
      await createGnupgHome(scratch.path(`h-${name}`), `${name} <${name}@example.org>`, algorithm),
    );
  }
  const homeOf = (name: string): GnupgHome => {
    const home = homes.get(name);
    if (home === undefined) throw new Error(`the lab's roster has no ${name}`);
    return home;
  };
  const pairs =
    topology === 'authority'
      ? [...certified, ...bastions.map(({ name }) => name)].map((name) => ['authority', name] as const)
      : bastions.flatMap(({ name }) =>
          certified.flatMap(
            (operator) =>
              [
                [name, operator],
                [operator, name],
              ] as const,
          ),
        );
  const certificates = new Map<string, string>();
  for (const name of names) certificates.set(name, await homeOf(name).exportCertificate());
  for (const [certifier, subject] of pairs) {
    const { path } = homeOf(certifier);
    const { fingerprint } = homeOf(subject);
    gpg(path, ['--import'], certificates.get(subject));
    gpg(path, ['--yes', '--quick-sign-key', fingerprint]);
    certificates.set(subject, gpg(path, ['--armor', '--export', fingerprint]));
  }
  const write: LabRoster['write'] = async ({ version = 1, access = EVERYBODY, without = [] } = {}) => {
    const present = operators.filter((name) => !without.includes(name));
    for (const name of [...present, ...bastions.map((bastion) => bastion.name)]) {
      const kind = operators.includes(name) ? 'operators' : 'bastions';
      writeFileSync(`${folder}/certificates/${kind}/${name}.asc`, certificates.get(name) ?? '');
    }
    const { fingerprint: authority } = homes.get('authority') ?? { fingerprint: '' };
    if (topology === 'authority')
      writeFileSync(`${folder}/certificates/authority.asc`, certificates.get('authority') ?? '');
    const text = `name: lab
version: ${version}
topology: ${topology}
${topology === 'authority' ? `authority: { name: Lab, fingerprint: ${authority} }\n` : ''}operators:
${present.map((name) => `  ${name}: { name: ${name}, email: ${name}@example.org, fingerprint: ${homeOf(name).fingerprint} }\n`).join('')}bastions:
${bastions.map(({ name, region, host, daemon }) => `  ${name}: { region: ${region}, host: ${host}, fingerprint: ${homeOf(name).fingerprint}${daemon === 'spa-server' ? ', capabilities: [spa-server]' : ''} }\n`).join('')}${access}`;
    writeFileSync(`${folder}/roster.yaml`, text);
    if (topology !== 'authority') return;
    rmSync(`${folder}/roster.yaml.asc`, { force: true });
    const kept = certificateFiles(folder).map((file) => [file, readFileSync(file)] as const);
    // It ends with 1 where somebody is not to be certified.
    spawnSync(
      process.execPath,
      [
        ...[PROGRAMS.spaKeys, 'sign', '--roster', folder],
        ...['--secrets', scratch.path('no-secrets'), '--gnupg-home', homeOf('authority').path],
      ],
      { stdio: 'ignore' },
    );
    if (!existsSync(`${folder}/roster.yaml.asc`)) throw new Error('spa-keys did not sign the roster');
    for (const [file, octets] of kept) writeFileSync(file, octets);
  };
  await write();
  return {
    ...{ folder, secrets, homes, write },
    fingerprint: (name) => homeOf(name).fingerprint,
    close: () => {
      for (const home of homes.values()) home.close();
    },
  };
}

const EVERYBODY = `access:
  - { who: [everybody], where: [everywhere], timeout: 4 }
`;

function certificateFiles(folder: string): readonly string[] {
  const all = readdirSync(`${folder}/certificates`, { recursive: true, encoding: 'utf8' });
  return all.filter((file) => file.endsWith('.asc')).map((file) => `${folder}/certificates/${file}`);
}

function gpg(home: string, args: readonly string[], input?: string): string {
  return execFileSync(
    'gpg',
    ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', '', ...args],
    { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] },
  );
}
