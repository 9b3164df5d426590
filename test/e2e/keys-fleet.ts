import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  type CommandResult,
  createFleet,
  createLabRoster,
  dropEverything,
  type Fleet,
  type FleetBastion,
  type FleetPerson,
  type LabRoster,
  PROGRAMS,
  type Scratch,
  until,
} from 'spa-lab';
import type { Test } from 'tap';

/** Everybody may open everything. */
export const ACCESS: string = `access:
  - { who: [everybody], where: [everywhere], timeout: 30 }
`;

/** Alice's machine, with the roster, and a bastion of each kind. */
export interface Setting {
  readonly fleet: Fleet;
  readonly lab: LabRoster;
  readonly alice: FleetPerson;
  readonly bob: FleetPerson;
  readonly stock: FleetBastion;
  readonly ours: FleetBastion;
  /** The path of spa-server on bastions. */
  readonly program: string;
  /** Runs spa-keys on alice's machine. */
  readonly keys: (...args: readonly string[]) => Promise<CommandResult>;
}

/** Makes it; it goes when `t` ends. Secret keys of bastions are among the secrets. */
export async function setUp(t: Test, topology: 'mutual' | 'authority'): Promise<Setting> {
  const ground = await layOut(t);
  const { fleet, alice, stock, ours } = ground;
  const lab = await createLabRoster(fleet.scratch, {
    topology,
    operators: ['alice', 'bob'],
    bastions: [
      { name: 'stock', region: 'north', host: 'stock.test', daemon: 'fwknopd' },
      { name: 'ours', region: 'south', host: 'ours.test', daemon: 'spa-server' },
    ],
  });
  t.teardown(lab.close);
  await lab.write({ access: ACCESS });
  mkdirSync(`${lab.secrets}/keys`, { mode: 0o700 });
  for (const { name } of [stock, ours]) {
    const secret = (await lab.homes.get(name)?.exportSecretKey()) ?? '';
    writeFileSync(`${lab.secrets}/keys/${lab.fingerprint(name)}.asc`, secret, { mode: 0o600 });
  }
  const authority = lab.homes.get('authority')?.path;
  const homes = authority === undefined ? [] : [authority];
  return { ...ground, lab, keys: keysOn(alice, lab, homes) };
}

/** Hosts without any key: two people, and bastions with a daemon's configuration that names no stanza yet. */
export async function layOut(t: Test): Promise<Omit<Setting, 'lab' | 'keys'>> {
  const fleet = await createFleet(['alice', 'bob'], ['stock', 'ours']);
  t.teardown(fleet.dispose);
  const [alice, bob] = fleet.people;
  const [stock, ours] = fleet.bastions;
  if (alice === undefined || bob === undefined || stock === undefined || ours === undefined)
    throw new Error('fleet');
  const program = fleet.scratch.path('spa-server');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${PROGRAMS.spaServer}' "$@"\n`, {
    mode: 0o755,
  });
  for (const { configuration, scratch } of [stock, ours]) {
    mkdirSync(scratch.path('run'), { mode: 0o700 });
    writeFileSync(
      configuration.path('fwknopd.conf'),
      `FWKNOP_RUN_DIR ${scratch.path('run')}\nACCESS_FILE /nowhere\n`,
      { mode: 0o600 },
    );
  }
  return { fleet, alice, bob, stock, ours, program };
}

/** Verbs that need no secret key. */
const SIGNS_NOTHING: readonly string[] = ['plan', 'verify', 'audit', 'bundle', 'push'];

/** `spa-keys` on somebody's machine, with these GnuPG homes. */
export function keysOn(
  { host }: FleetPerson,
  { folder, secrets }: Pick<LabRoster, 'folder' | 'secrets'>,
  homes: readonly string[],
): Setting['keys'] {
  const common = ['--roster', folder, '--secrets', secrets];
  const signing = homes.flatMap((home) => ['--gnupg-home', home]);
  return (verb = '', ...args) => {
    const places = SIGNS_NOTHING.includes(verb) ? common : [...common, ...signing];
    return host.run(['spa-keys', verb, ...places, ...args]);
  };
}

/** Both bastions drop what no daemon lets in. The daemons' logs. */
export async function startDaemons(
  fleet: Fleet,
  stock: FleetBastion,
  ours: FleetBastion,
  program: string,
): Promise<readonly [stockLog: () => string, ourLog: () => string]> {
  await dropEverything(stock.host, 'iptables');
  await dropEverything(ours.host, 'nftables');
  await ours.host.must(['nft', 'flush', 'ruleset']);
  const config = ['-f', '-c', '/etc/fwknop/fwknopd.conf'];
  const logs = fleet.scratch.path('log');
  mkdirSync(logs);
  const stockLog = await start(
    stock,
    ['fwknopd', ...config, '-i', stock.host.device],
    'Starting fwknopd main event loop',
  );
  const ourLog = await start(ours, [program, ...config], 'listening on');
  return [stockLog, ourLog];
}

/** Runs a daemon until its host goes; waits until it says `ready`. What it said until now. */
export async function start(
  { host }: FleetBastion,
  command: readonly string[],
  ready: string,
): Promise<() => string> {
  const child = host.spawn(command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
  }
  await until(`${command[0]} runs`, () => log.includes(ready)).catch((error: Error) => {
    throw new Error(`${error.message}; it said:\n${log}`);
  });
  return () => log;
}

/** Each operator has a GnuPG home with his own key, and takes his bundle. */
export async function handOut(
  keys: Setting['keys'],
  lab: Pick<LabRoster, 'homes'>,
  { people, scratch }: { readonly people: readonly FleetPerson[]; readonly scratch: Pick<Scratch, 'path'> },
  file: 'fwknoprc' | 'fwknoprc.stock' = 'fwknoprc',
): Promise<void> {
  const out = scratch.path('bundles');
  for (const { name, host, home, address } of people) {
    const result = await keys('bundle', '--out', out, '--allow-ip', address, name);
    if (result.status !== 0) throw new Error(result.stderr);
    const gnupg = lab.homes.get(name)?.path ?? '';
    const rc = readFileSync(`${out}/operators/${name}/${file}`, 'utf8');
    writeFileSync(home.path('.fwknoprc'), rc.replace('[default]', `[default]\nGPG_HOMEDIR ${gnupg}`), {
      mode: 0o600,
    });
    await host.must([
      'gpg',
      '--homedir',
      gnupg,
      '--batch',
      '--quiet',
      '--import',
      `${out}/operators/${name}/certificates.asc`,
    ]);
  }
}
