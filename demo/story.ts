import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import {
  addresses,
  createGnupgHome,
  createLab,
  type Daemon,
  doorCloses,
  type GnupgHome,
  inhabitants,
  type Lab,
  PROGRAMS,
  reach,
  sendDatagram,
  startSpaServer,
  until,
} from 'spa-lab';
import { expect, expectMatch } from './expect.ts';
import { createSession, type Session } from './session.ts';
import {
  accessConfig,
  DOOR_SECONDS,
  type Keys,
  REGION,
  rcFile,
  SERVER_CONFIG,
  short,
  showable,
  writeHome,
} from './settings.ts';
import type { Stage } from './stage.ts';

/** Everything that a step may need once it is there. */
interface Scene extends Stage {
  readonly lab: Lab;
  readonly keys: Keys;
  readonly daemon: Daemon;
  /** The operator's home directory. */
  readonly home: string;
}

/**
 * Plays the story on an empty stage, from two bare hosts to none.
 * @throws Error of the first claim that does not hold.
 */
export async function tellStory(stage: Stage): Promise<void> {
  const lab = await makeHosts(stage);
  const keys = await makeKeys(stage, lab);
  const { daemon, home } = await startDaemon(stage, lab, keys);
  const scene: Scene = { ...stage, lab, keys, daemon, home };
  await findDoorClosed(scene);
  await logIn(scene);
  const session = await keepStrangerOut(scene);
  await outliveDoor(scene, session);
  await replay(scene);
  await leaveNothing(scene);
}

const { client4: OPERATOR, other4: STRANGER, server4: BASTION } = addresses;

/** How long nobody must answer before a port counts as silent. */
const SILENCE = { limitMs: 1000 } as const;

async function makeHosts({ narrator, step, atEnd }: Stage): Promise<Lab> {
  step('Two hosts with a cable between them');
  const lab = await createLab('nftables');
  atEnd(lab.dispose);
  narrator.fact(`operator ${OPERATOR} and bastion ${BASTION}: a network namespace each`);
  for (const host of [lab.operator, lab.bastion]) {
    const routes = await Promise.all(
      ['-4', '-6'].map((family) => host.must(['ip', family, 'route', 'show', 'default'])),
    );
    expect('no way leads outside', routes.join(''), '');
  }
  narrator.fact('neither has a route to anything else');
  const chain = await lab.bastion.must(['nft', 'list', 'chain', 'inet', 'filter', 'input']);
  expectMatch("the bastion's firewall", chain, /policy drop/);
  expect('sshd seen from the bastion itself', await reach(lab.bastion, BASTION), 'open');
  narrator.fact("sshd listens on the bastion's port 22; its nftables drop the rest");
  return lab;
}

async function makeKeys({ narrator, step, atEnd }: Stage, lab: Lab): Promise<Keys> {
  step('OpenPGP keys, made and certified by GnuPG');
  const make = async (name: string): Promise<GnupgHome> => {
    // Not ~/.gnupg of a home directory: for that GnuPG would use the agent of whoever runs the demo.
    const home = await createGnupgHome(
      lab.scratch.path(`gnupg-${name}`),
      `${name} <${name}@example.org>`,
      'ecc',
    );
    atEnd(home.close);
    return home;
  };
  const [operator, bastion] = await Promise.all([make('operator'), make('bastion')]);
  narrator.fact(`operator  ${short(operator.fingerprint)}  ed25519, cv25519`);
  narrator.fact(`bastion   ${short(bastion.fingerprint)}  ed25519, cv25519`);
  await Promise.all([operator.certify(bastion), bastion.certify(operator)]);
  await Promise.all([expectCertified(lab, operator, bastion), expectCertified(lab, bastion, operator)]);
  narrator.fact('each has signed the other; gpg --check-sigs finds both good');
  return { operator, bastion, hmacKey: randomBytes(64).toString('base64') };
}

/** `owner` has certified `other`, and gpg has verified that signature. */
async function expectCertified(lab: Lab, owner: GnupgHome, other: GnupgHome): Promise<void> {
  const check = [
    'gpg',
    '--homedir',
    owner.path,
    '--batch',
    '--with-colons',
    '--check-sigs',
    other.fingerprint,
  ];
  const good = new RegExp(`^sig:!:[^:]*:[^:]*:${owner.fingerprint.slice(-16)}:`, 'm');
  expectMatch('gpg --check-sigs', await lab.operator.must(check), good);
}

async function startDaemon(
  stage: Stage,
  lab: Lab,
  keys: Keys,
): Promise<{ readonly daemon: Daemon; readonly home: string }> {
  const { narrator, step } = stage;
  step("The daemon on the bastion, the region in the operator's home");
  const access = accessConfig(keys);
  const daemon = await startSpaServer(lab.bastion, lab.scratch, {
    server: SERVER_CONFIG,
    access: [access],
  });
  stage.daemon = daemon;
  narrator.fact('spa-server listens on 62201/udp; its access.conf:');
  narrator.quote(showable(access, keys));
  const home = writeHome(lab, keys);
  const list = await lab.operator.must(operatorRuns(home, PROGRAMS.sshbh, '--list'));
  expectMatch('sshbh --list', list, new RegExp(`^${REGION}  ${BASTION}  OpenPGP .* never\\n$`));
  narrator.fact(`sshbh --list knows ${REGION}; the operator's ~/.fwknoprc:`);
  narrator.quote(showable(rcFile(keys), keys));
  return { daemon, home };
}

async function findDoorClosed({ narrator, step, lab }: Scene): Promise<void> {
  step('The door is closed');
  expect('tcp/22 from the operator', await reach(lab.operator, BASTION, SILENCE), 'silent');
  narrator.fact(`tcp/22: for ${SILENCE.limitMs / 1000} s nothing answers the operator, not even a refusal`);
}

async function logIn({ narrator, step, lab, home, daemon, keys }: Scene): Promise<void> {
  step('sshbh: one packet, then ssh');
  const seen = daemon.log().length;
  narrator.quote(`$ sshbh -F ~/.ssh/config ${REGION} -- 'echo "$SSH_CONNECTION"'`);
  const output = await lab.operator.must(sshbh(home, 'echo "$SSH_CONNECTION"'));
  narrator.quote(output);
  expectMatch('what the session says', output, new RegExp(`^${OPERATOR} \\d+ ${BASTION} 22\\n$`));
  narrator.fact('from Enter to the output, and back at the prompt');
  const opened = await logLine(daemon, /opened tcp\/22 for .*/, seen);
  narrator.quote(showable(opened, keys));
  expectMatch('the daemon', opened, new RegExp(`for ${OPERATOR}, .*signed by ${keys.operator.fingerprint}`));
  narrator.fact('the daemon knows who it was, by the OpenPGP signature');
}

async function keepStrangerOut({ narrator, step, lab, home }: Scene): Promise<Session> {
  step('The door is open, and only for the operator');
  const [program = '', ...args] = sshbh(home, 'cat');
  const session = createSession(lab.operator.spawn([program, ...args], { stdio: 'pipe' }));
  await session.echoes('hello');
  narrator.fact('a second session, which stays: it echoes what it is told');
  const stranger = await reach(lab.operator, BASTION, { ...SILENCE, localAddress: STRANGER });
  // Open for the operator after the stranger has tried: so it was open all the while.
  expect('tcp/22 from the operator', await reach(lab.operator, BASTION), 'open');
  expect(`tcp/22 from ${STRANGER}`, stranger, 'silent');
  narrator.fact(`tcp/22: open for ${OPERATOR}, silent for its neighbour ${STRANGER}`);
  return session;
}

async function outliveDoor({ narrator, step, lab }: Scene, session: Session): Promise<void> {
  step(`The kernel closes the door after ${DOOR_SECONDS} s`);
  await doorCloses(lab);
  expect('tcp/22 from the operator', await reach(lab.operator, BASTION, SILENCE), 'silent');
  narrator.fact('tcp/22: nothing answers any more');
  await session.echoes('still here');
  expect('the exit status of ssh', await session.close(), 0);
  narrator.fact('the session that was open goes on: it still echoes');
}

async function replay({ narrator, step, lab, home, daemon, keys }: Scene): Promise<void> {
  step('Somebody has recorded a packet and sends it again');
  const file = lab.scratch.path('recorded');
  narrator.quote(`$ spa-client -n ${REGION} -f 1 -B recorded`);
  const before = daemon.log().length;
  await lab.operator.must(operatorRuns(home, PROGRAMS.spaClient, '-n', REGION, '-f', '1', '-B', file));
  const packet = readFileSync(file, 'utf8').trim();
  // The daemon's word, not a connection: a slow machine might try only after that second.
  await daemon.logged(`opened tcp/22 for ${OPERATOR}, 1 s`, before);
  await doorCloses(lab);
  narrator.fact(`a new packet (${packet.length} characters) opens the door for 1 s, as it asks`);
  const seen = daemon.log().length;
  await sendDatagram(lab.operator, BASTION, packet, { localAddress: STRANGER });
  const denied = await logLine(daemon, /denied .*/, seen);
  narrator.quote(showable(denied, keys));
  expectMatch('the daemon', denied, /replay/);
  for (const localAddress of [OPERATOR, STRANGER]) {
    expect(
      `tcp/22 from ${localAddress}`,
      await reach(lab.operator, BASTION, { ...SILENCE, localAddress }),
      'silent',
    );
  }
  narrator.fact('the same characters again: refused, and the door stays closed');
}

async function leaveNothing({ narrator, step, lab, daemon, clear }: Scene): Promise<void> {
  step('Nothing is left');
  expect('the exit code of the daemon', await daemon.stop(), 0);
  narrator.fact('the daemon ends in good order');
  const networks = [lab.operator.network, lab.bastion.network];
  const processes = inhabitants(networks);
  await clear();
  await until('the processes of both hosts end', () =>
    inhabitants(networks).every((pid) => !processes.includes(pid)),
  );
  expect('files left', existsSync(lab.scratch.path()), false);
  narrator.fact('hosts, processes and files are gone');
}

/** The command line of `sshbh REGION -- COMMAND` for the operator. ssh looks into the home that passwd names; -F says which. */
function sshbh(home: string, command: string): readonly string[] {
  return operatorRuns(home, PROGRAMS.sshbh, '-F', `${home}/.ssh/config`, REGION, '--', command);
}

function operatorRuns(home: string, program: string, ...args: readonly string[]): readonly string[] {
  return ['env', '-u', 'XDG_STATE_HOME', `HOME=${home}`, process.execPath, program, ...args];
}

/** The first line of the log from `since` characters on that has `pattern`: from there to its end. */
async function logLine(daemon: Daemon, pattern: RegExp, since: number): Promise<string> {
  await daemon.logged(new RegExp(`${pattern.source}\\n`), since);
  return pattern.exec(daemon.log().slice(since))?.[0] ?? '';
}
