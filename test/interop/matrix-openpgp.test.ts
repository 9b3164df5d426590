import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  addresses,
  answeringPorts,
  createLab,
  type Daemon,
  type DaemonConfig,
  type Lab,
  lacking,
  PROGRAMS,
  startFwknopd,
  startSpaServer,
  until,
} from 'spa-lab';
import t, { type Test } from 'tap';
import {
  cellsOf,
  type Direction,
  OPENPGP_KINDS,
  type OpenPgpCell,
  type OpenPgpHmac,
  type OpenPgpKind,
} from './matrix-openpgp.ts';
import { documentSays, formatMatrix, type MatrixRow, type Standing } from './matrix-table.ts';
import { createOpenPgpHomes, type OpenPgpHomes } from './openpgp-homes.ts';

// Some hundred packets and a key of each kind, on a machine that may be busy.
t.setTimeout(600_000);

const skip = lacking('fwknop', 'fwknopd', 'iptables', 'ip6tables', 'nft', 'gpg', 'sshd', 'ssh');

/** Doors stay open until all are judged. */
const DOOR_SECONDS = 1_200;
const FIRST_PORT = 20_000;
/** Clients that run at once: each has a gpg of its own, and the machine few processors. */
const CLIENTS = 3;

t.test('OpenPGP keys of each kind, with each HMAC, in both directions', { skip }, async (t) => {
  const lab = await createLab('iptables');
  t.teardown(lab.dispose);
  const homes = await createOpenPgpHomes(lab.scratch);
  t.teardown(homes.close);
  await judge(t, lab, 'fwknop → spa-server', homes, (access) =>
    startSpaServer(lab.bastion, lab.scratch, { access, server: ['FIREWALL iptables'] }),
  );
  await judge(t, lab, 'spa-client → fwknopd', homes, (access) =>
    startFwknopd(lab.bastion, lab.scratch, { access }),
  );
});

t.test('docs/FWKNOP.md has the table of what that showed', async (t) => {
  const standingsOf = (kinds: readonly OpenPgpKind[], direction: Direction): readonly Standing[] =>
    kinds.flatMap(cellsOf).flatMap((cell) => (cell.direction === direction ? [cell.expected] : []));
  const rowOf = (name: string, kinds: readonly OpenPgpKind[]): MatrixRow => ({
    name,
    toSpaServer: standingsOf(kinds, 'fwknop → spa-server'),
    toFwknopd: standingsOf(kinds, 'spa-client → fwknopd'),
  });
  const rows = OPENPGP_KINDS.map((kind) => rowOf(kind.name, [kind]));
  documentSays(t, 'OpenPGP keys', formatMatrix([...rows, rowOf('**all**', OPENPGP_KINDS)]));
});

/** How many packets one daemon is sent: fwknopd loses count of about forty rules. */
const BATCH: Readonly<Record<Direction, number>> = {
  'fwknop → spa-server': Number.POSITIVE_INFINITY,
  'spa-client → fwknopd': 30,
};

async function judge(
  t: Test,
  lab: Lab,
  direction: Direction,
  homes: OpenPgpHomes,
  start: (access: DaemonConfig['access']) => Promise<Daemon>,
): Promise<void> {
  const knocks = knocksOf(direction);
  for (let from = 0; from < knocks.length; from += BATCH[direction]) {
    await judgeBatch(t, lab, knocks.slice(from, from + BATCH[direction]), homes, start);
  }
}

/** Every cell has a door of its own: all packets are sent, and then it is seen which doors have opened. */
async function judgeBatch(
  t: Test,
  lab: Lab,
  knocks: readonly Knock[],
  homes: OpenPgpHomes,
  start: (access: DaemonConfig['access']) => Promise<Daemon>,
): Promise<void> {
  const secrets = createSecrets();
  const daemon = await start(stanzasOf(knocks, homes, secrets));
  await inTurns(knocks, CLIENTS, async (knock) => {
    const { status, stderr } = await lab.operator.run(commandOf(knock, homes, secrets, lab));
    const { kind, cell } = knock;
    t.equal(status === 0, kind.isTooLong !== true, `${cell.direction}: ${kind.name} is sent: ${stderr}`);
  });
  const ports = knocks.map(({ port }) => port);
  const expected = knocks.filter(({ cell }) => isOpenIn(cell)).map(({ port }) => port);
  let open: readonly number[] = [];
  await until(
    'the doors open',
    async () => {
      open = await answeringPorts(lab.operator, addresses.server4, ports);
      return expected.every((port) => open.includes(port));
    },
    { limitMs: 60_000 },
  ).catch(() => {});
  for (const { cell, port } of knocks) {
    t.equal(
      open.includes(port),
      isOpenIn(cell),
      `${cell.direction}: ${cell.kind}, HMAC ${cell.hmac}: ${cell.expected}`,
    );
  }
  if (!t.passing()) t.comment(daemon.log());
  await daemon.stop();
}

/** A packet of one cell, and its door. */
interface Knock {
  readonly kind: OpenPgpKind;
  readonly cell: OpenPgpCell;
  readonly port: number;
}

/** The last one opens its door: when that is open, those before it are decided. */
function knocksOf(direction: Direction): readonly Knock[] {
  const knocks = OPENPGP_KINDS.flatMap((kind) =>
    cellsOf(kind)
      .filter((cell) => cell.direction === direction)
      .map((cell) => ({ kind, cell })),
  );
  return knocks
    .toSorted((one, other) => Number(isOpenIn(one.cell)) - Number(isOpenIn(other.cell)))
    .map((knock, index) => ({ ...knock, port: FIRST_PORT + index }));
}

function isOpenIn({ expected }: OpenPgpCell): boolean {
  return expected === 'open' || expected === 'different on purpose';
}

/** An HMAC key for each HMAC, and another for the stanza that checks no signature. */
type Secrets = (hmac: OpenPgpHmac, unsigned: boolean) => string;

function createSecrets(): Secrets {
  const made = new Map<string, string>();
  return (hmac, unsigned) => {
    const name = `${hmac} ${unsigned}`;
    const secret = made.get(name) ?? randomBytes(64).toString('base64');
    made.set(name, secret);
    return secret;
  };
}

/**
 * A stanza for each HMAC, those without last, for which fwknopd asks gpg; for ours one for each recipient too. fwknopd decrypts
 * with whatever key of the home, and is so slow with many stanzas that it loses packets.
 */
function stanzasOf(knocks: readonly Knock[], homes: OpenPgpHomes, secrets: Secrets): readonly string[] {
  const wanted = new Map(
    knocks.map(({ kind, cell: { hmac, direction } }) => {
      const recipient = direction === 'spa-client → fwknopd' ? 'rsa2048' : (kind.alsoTo ?? kind.recipient);
      const unsigned = kind.unsigned === true;
      return [`${recipient} ${hmac} ${unsigned}`, { recipient, hmac, unsigned }];
    }),
  );
  const inOrder = [...wanted.values()].toSorted(
    (one, other) => Number(one.hmac === 'none') - Number(other.hmac === 'none'),
  );
  return inOrder.flatMap(({ recipient, hmac, unsigned }) => [
    'SOURCE ANY',
    `GPG_HOME_DIR ${recipient === 'kept' ? homes.forwarded.bastion : homes.bastion}`,
    `GPG_DECRYPT_ID ${homes.recipients[recipient]}`,
    'GPG_ALLOW_NO_PW Y',
    unsigned ? 'GPG_DISABLE_SIG Y' : `GPG_FINGERPRINT_ID ${Object.values(homes.signers).join(', ')}`,
    ...(hmac === 'none' ? [] : [`HMAC_KEY_BASE64 ${secrets(hmac, unsigned)}`, `HMAC_DIGEST_TYPE ${hmac}`]),
    `FW_ACCESS_TIMEOUT ${DOOR_SECONDS}`,
    `MAX_FW_TIMEOUT ${DOOR_SECONDS}`,
  ]);
}

function commandOf(
  { kind, cell: { direction, hmac }, port }: Knock,
  homes: OpenPgpHomes,
  secrets: Secrets,
  lab: Lab,
): readonly string[] {
  const program = direction === 'fwknop → spa-server' ? ['fwknop'] : [process.execPath, PROGRAMS.spaClient];
  return [
    ...program,
    ...[
      '-A',
      `tcp/${port}`,
      '-a',
      addresses.client4,
      '-D',
      addresses.server4,
      '--no-rc-file',
      '--no-save-args',
    ],
    '--gpg-encryption',
    ...(kind.keptBy === 'operator'
      ? ['--gpg-home-dir', homes.forwarded.operator, '--gpg-agent']
      : ['--gpg-home-dir', homes.operator, '--gpg-no-signing-pw']),
    ...['--gpg-recipient-key', homes.recipients[kind.recipient] ?? ''],
    ...(kind.signer === null ? [] : ['--gpg-signer-key', homes.signers[kind.signer] ?? '']),
    ...(kind.alsoTo === undefined
      ? []
      : [
          '--gpg-exe',
          gpgThatEncryptsTo(homes.recipients[kind.alsoTo] ?? '', lab.scratch.path(`gpg-${port}`)),
        ]),
    ...(hmac === 'none'
      ? []
      : ['--key-base64-hmac', secrets(hmac, kind.unsigned === true), '--hmac-digest-type', hmac]),
  ];
}

/** As a gpg.conf with `encrypt-to` makes of it. */
function gpgThatEncryptsTo(fingerprint: string, path: string): string {
  writeFileSync(path, `#!/bin/sh\nexec gpg --encrypt-to ${fingerprint} "$@"\n`, { mode: 0o700 });
  return path;
}

/** Does `work` for all of them, so many at a time. */
async function inTurns<Item>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const rest = [...items];
  const worker = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
