import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  type CommandResult,
  createFleet,
  type Daemon,
  dropEverything,
  type Fleet,
  type FleetBastion,
  type FleetPerson,
  folderIn,
  lacking,
  PROGRAMS,
  type Reach,
  reach,
  startDaemon,
} from 'spa-lab';
import t from 'tap';

/** Which daemon runs on all bastions, and how keys come to be and are certified there. */
export interface FleetKind {
  readonly title: string;
  readonly daemon: 'spa-server' | 'fwknopd';
  readonly topology: 'authority' | 'mutual';
  /** `at-home`: each key is made where it is used, and never leaves it. `office`: all are made by spa-keys, because asked. */
  readonly keys: 'at-home' | 'office';
}

const OPERATORS = 30;
const BASTIONS = 20;
const REGIONS = 4;

/** From nothing to everybody in, and then one out. */
export function testFleet(kind: FleetKind): void {
  t.setTimeout(600_000);
  const programs = [
    'gpg',
    'ssh',
    'sshd',
    'nft',
    'iptables',
    'conntrack',
    ...(kind.daemon === 'fwknopd' ? ['fwknopd'] : []),
  ];
  t.test(kind.title, { skip: lacking(...programs) }, async (t) => {
    const fleet = await createFleet(
      Array.from({ length: OPERATORS }, (_, index) => `operator-${index + 1}`),
      Array.from({ length: BASTIONS }, (_, index) => `bastion-${index + 1}`),
    );
    t.teardown(fleet.dispose);
    const office = await openOffice(fleet, kind);

    await t.test('a roster, a key for everybody, and one command that certifies them', async (t) => {
      await office.keys([
        'init',
        '--name',
        'fleet',
        '--topology',
        kind.topology,
        '--make-authority',
        'Example Org',
      ]);
      await enrolOperators(office);
      await enrolBastions(office);
      // Longer than it takes to revoke somebody.
      office.edit((text) => text.replace(/timeout: 30$/m, 'timeout: 120'));
      t.equal((await office.run(['plan'])).status, 1, 'the plan is not clean');
      await office.keys(['sign']);
      t.match(await office.run(['plan']), { status: 0 }, 'now it is');
      t.match(await office.run(['verify']), { status: 0 });
    });

    await t.test('every bastion has its files while it is open, and then it is shut', async (t) => {
      for (const { configuration } of fleet.bastions) writeDaemonConfig(configuration.path(), kind);
      const push = ['push', '--first', '--ssh', 'ssh', ...office.far, ...office.secretKeys];
      t.match(await office.run(push), { status: 0 });
    });
    const daemons = await guardAll(fleet, kind);

    await t.test('everybody is handed what gpg finds good', async (t) => {
      const bundles = await handOut(office);
      for (const { name, host } of fleet.people) {
        t.same(await signatureStates(host, []), new Set(['!']), name);
      }
      for (const { name } of fleet.bastions) {
        const ring = ['--homedir', fleet.scratch.path(`ring-${name}`)];
        mkdirSync(ring[1] ?? '', { mode: 0o700 });
        const keyring = `${bundles}/bastions/${name}/keyring.asc`;
        await office.person.host.must(['gpg', ...ring, '--batch', '--quiet', '--import', keyring]);
        t.same(await signatureStates(office.person.host, ring), new Set(['!']), name);
      }
    });

    await t.test('every operator is in, by ssh, through a stanza of his own', async (t) => {
      for (const [index, person] of fleet.people.entries()) {
        const visits = visitedBy(index, fleet).map((bastion) =>
          visit(person, bastion, daemonOf(daemons, bastion)),
        );
        for (const { before, result, log } of await Promise.all(visits)) {
          t.equal(before, 'silent');
          t.match(result, { status: 0, stdout: new RegExp(`^${person.address} `) });
          t.ok(log.includes(fingerprintOf(office, person)), 'his key opened it');
        }
      }
    });

    await t.test('one is revoked: his open door closes, and none opens again', async (t) => {
      const [, , leaver, colleague] = fleet.people;
      const [bastion] = fleet.bastions;
      if (leaver === undefined || colleague === undefined || bastion === undefined)
        throw new Error('nobody is there');
      await leaver.host.must(['sshbh', 'open', bastion.name]);
      t.equal(await reach(leaver.host, bastion.address), 'open');
      const revoked = await office.run([
        'revoke',
        leaver.name,
        '--reason',
        'left the company',
        ...office.far,
      ]);
      t.match(revoked, { status: 0 });
      t.equal(await reach(leaver.host, bastion.address), 'silent', 'the door that was open is closed');
      const knocks = fleet.bastions.map((one) => leaver.host.run(['sshbh', 'open', '--wait', '1', one.name]));
      for (const { status } of await Promise.all(knocks)) t.not(status, 0);
      const reached = fleet.bastions.map((one) => reach(leaver.host, one.address));
      t.same(new Set(await Promise.all(reached)), new Set(['silent']), 'on all twenty');
      t.match(
        await colleague.host.run(['sshbh', bastion.name, '--', 'echo in']),
        { status: 0, stdout: 'in\n' },
        'his colleagues still come in',
      );
    });
  });
}

/** The machine of the platform team: that of the first operator. */
interface Office {
  readonly fleet: Fleet;
  readonly kind: FleetKind;
  readonly person: FleetPerson;
  /** The roster's folder. */
  readonly roster: string;
  /** By operator. */
  readonly fingerprints: Map<string, string>;
  /** How bastions differ from what `push` expects. */
  readonly far: readonly string[];
  readonly secretKeys: readonly string[];
  /** Runs spa-keys on the roster. */
  run(argv: readonly string[]): Promise<CommandResult>;
  /** The same, and rejects unless the status is 0. */
  keys(argv: readonly string[]): Promise<string>;
  edit(change: (text: string) => string): void;
}

async function openOffice(fleet: Fleet, kind: FleetKind): Promise<Office> {
  const [person] = fleet.people;
  if (person === undefined) throw new Error('nobody is there');
  const folder = folderIn(fleet.scratch, 'roster');
  const command = ([verb = '', ...rest]: readonly string[]): readonly string[] => [
    ...['spa-keys', verb, '--roster', folder.path(), ...rest],
  ];
  const file = folder.path('roster.yaml');
  return {
    fleet,
    kind,
    person,
    roster: folder.path(),
    fingerprints: new Map(),
    far: kind.daemon === 'spa-server' ? ['--program', wrapDaemon(fleet)] : [],
    secretKeys: kind.keys === 'office' ? ['--with-secret-keys'] : [],
    run: (argv) => person.host.run(command(argv)),
    keys: (argv) => person.host.must(command(argv)),
    edit: (change) => writeFileSync(file, change(readFileSync(file, 'utf8'))),
  };
}

/** Our daemon by a path, as it would be installed. */
function wrapDaemon(fleet: Fleet): string {
  const path = fleet.scratch.path('spa-server');
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' '${PROGRAMS.spaServer}' "$@"\n`, {
    mode: 0o755,
  });
  return path;
}

async function enrolOperators(office: Office): Promise<void> {
  const { fleet, kind } = office;
  for (const [index, person] of fleet.people.entries()) {
    const email = `${person.name}@example.org`;
    if (kind.keys === 'office') {
      await office.keys(['add', 'operator', person.name, '--make', '--email', email]);
      continue;
    }
    const fingerprint = await makeOwnKey(person, `${person.name} <${email}>`);
    const file = fleet.scratch.path(`${person.name}.asc`);
    writeFileSync(file, await person.host.must(['gpg', '--batch', '--armor', '--export', fingerprint]));
    // Every third proves that the key is his; of the others the platform team was told the fingerprint.
    const proof =
      index % 3 === 0 ? ['--answer', await prove(office, person)] : ['--fingerprint', fingerprint];
    await office.keys(['add', 'operator', person.name, '--import', file, ...proof]);
  }
}

/** A key in the person's own GnuPG home. */
async function makeOwnKey({ host }: FleetPerson, userId: string): Promise<string> {
  const gpg = ['gpg', '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
  await host.must([...gpg, '--quick-generate-key', userId, 'ed25519', 'cert,sign', '1y']);
  const listed = await host.must(['gpg', '--batch', '--with-colons', '--list-secret-keys']);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? '';
  await host.must([...gpg, '--quick-add-key', fingerprint, 'cv25519', 'encrypt', '1y']);
  return fingerprint;
}

async function prove({ fleet, keys }: Office, { name, host }: FleetPerson): Promise<string> {
  const [challenge, answer] = [fleet.scratch.path(`${name}.challenge`), fleet.scratch.path(`${name}.answer`)];
  writeFileSync(challenge, await keys(['challenge', name]));
  writeFileSync(answer, await host.must(['gpg', '--batch', '--clearsign', '--output', '-', challenge]));
  return answer;
}

async function enrolBastions({ fleet, kind, keys }: Office): Promise<void> {
  const capability = kind.daemon === 'spa-server' ? ['--capability', 'spa-server'] : [];
  for (const [index, { name }] of fleet.bastions.entries()) {
    const place = ['--region', `region-${index % REGIONS}`, '--host', `${name}.test`, ...capability];
    const key = kind.keys === 'office' ? ['--make'] : ['--on', `${name}.test`];
    await keys(['add', 'bastion', name, ...place, ...key]);
  }
}

/** What is a bastion's own business; where the keys are is written there by the first push. */
function writeDaemonConfig(folder: string, { daemon }: FleetKind): void {
  const lines = {
    'spa-server': [
      'FIREWALL nftables',
      'NFT_MODE attach',
      'NFT_ATTACH_CHAIN inet filter input',
      'REPLAY_STORE /etc/fwknop/replay',
    ],
    fwknopd: ['PCAP_INTF veth0'],
  };
  const text = ['FWKNOP_RUN_DIR /etc/fwknop/run', ...lines[daemon], ''].join('\n');
  mkdirSync(`${folder}/run`, { mode: 0o700 });
  writeFileSync(`${folder}/fwknopd.conf`, text, { mode: 0o600 });
}

async function guardAll(fleet: Fleet, kind: FleetKind): Promise<ReadonlyMap<string, Daemon>> {
  const daemons = await Promise.all(
    fleet.bastions.map(async (bastion) => [bastion.name, await guard(bastion, kind)] as const),
  );
  return new Map(daemons);
}

/** Shuts a bastion, and starts its daemon with what was pushed there. */
async function guard({ host, configuration }: FleetBastion, { daemon }: FleetKind): Promise<Daemon> {
  const configFile = configuration.path('fwknopd.conf');
  const at = ['-f', '-c', '/etc/fwknop/fwknopd.conf'];
  if (daemon === 'spa-server') {
    await dropEverything(host, 'nftables');
    const started = startDaemon(host, configFile, [process.execPath, PROGRAMS.spaServer, ...at]);
    await started.logged('listening on');
    return started;
  }
  await dropEverything(host, 'iptables');
  const started = startDaemon(host, configFile, ['fwknopd', ...at, '-i', host.device]);
  await started.logged('Starting fwknopd main event loop');
  return started;
}

/** What somebody saw who logs in, and what the daemon said meanwhile. */
async function visit(
  { host }: FleetPerson,
  { name, address }: FleetBastion,
  daemon: Daemon,
): Promise<{ readonly before: Reach; readonly result: CommandResult; readonly log: string }> {
  const before = await reach(host, address);
  const since = daemon.log().length;
  const result = await host.run(['sshbh', name, '--', 'echo $SSH_CONNECTION']);
  return { before, result, log: daemon.log().slice(since) };
}

function fingerprintOf({ fingerprints }: Office, { name }: FleetPerson): string {
  const fingerprint = fingerprints.get(name);
  if (fingerprint === undefined) throw new Error(`${name} has no key`);
  return fingerprint;
}

/** Two bastions each, and every bastion has three visitors. */
function visitedBy(index: number, { bastions }: Fleet): readonly FleetBastion[] {
  return [bastions[index % BASTIONS], bastions[(index * 7 + 3) % BASTIONS]].filter(
    (one) => one !== undefined,
  );
}

function daemonOf(daemons: ReadonlyMap<string, Daemon>, { name }: FleetBastion): Daemon {
  const daemon = daemons.get(name);
  if (daemon === undefined) throw new Error(`no daemon runs on ${name}`);
  return daemon;
}

/** Gives everybody what is his, who then imports it, and puts the file with the regions in its place. The bundles' folder. */
async function handOut(office: Office): Promise<string> {
  const { fleet, keys, secretKeys } = office;
  const out = fleet.scratch.path('bundles');
  await keys(['bundle', '--out', out, ...secretKeys]);
  for (const { name, host, home, address } of fleet.people) {
    const own = `${out}/operators/${name}`;
    mkdirSync(home.path('.gnupg'), { mode: 0o700, recursive: true });
    const gpg = ['gpg', '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
    if (secretKeys.length > 0) await host.must([...gpg, '--import', `${own}/secret-key.asc`]);
    await host.must([...gpg, '--import', `${own}/certificates.asc`]);
    await host.must([...gpg, '--import-ownertrust', `${own}/ownertrust.txt`]);
    // Nobody here can be asked for one's address.
    const rcFile = readFileSync(`${own}/fwknoprc`, 'utf8').replace(/^ALLOW_IP.*$/m, `ALLOW_IP ${address}`);
    writeFileSync(home.path('.fwknoprc'), rcFile, { mode: 0o600 });
    const fingerprint = /^GPG_SIGNER\s+([0-9A-F]{40})$/m.exec(rcFile)?.[1];
    if (fingerprint !== undefined) office.fingerprints.set(name, fingerprint);
  }
  return out;
}

/** What gpg says of the signatures on all keys of a home: `!` is good. */
async function signatureStates(
  host: FleetPerson['host'],
  home: readonly string[],
): Promise<ReadonlySet<string | undefined>> {
  const listed = await host.must(['gpg', ...home, '--batch', '--with-colons', '--check-sigs']);
  return new Set(Array.from(listed.matchAll(/^(?:sig|rev):([^:]*):/gm), (match) => match[1]));
}
