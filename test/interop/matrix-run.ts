import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type Daemon, type DaemonConfig, PROGRAMS, startFwknopd, startSpaServer, until } from 'spa-lab';
import type { Test } from 'tap';
import { ADDRESSES, createMatrixLab, doorsOf, type MatrixLab } from './matrix-lab.ts';

/** One packet: what both ends have to be told, and what shows that it was taken. */
export interface MatrixCase {
  readonly name: string;
  /** The lines of its stanza that say which keys open it, and what else it needs. Equal lines are one stanza. */
  readonly access: readonly string[];
  /** The client's options, besides where the packet goes and for whom: both clients are given the same. */
  readonly options: readonly string[];
  /** Unless it is to be `open`, it is looked at when those that are have had their effect. */
  readonly expected: Outcome;
  /** Behind that port of the bastion there is this (see {@link doorsOf}), or this file is there. */
  readonly effect: { readonly port: number; readonly says: string } | { readonly file: string };
}

/** What became of a case. `unmade`: the client made no packet; `shut`: it made one, and nothing happened. */
export type Outcome = 'open' | 'unmade' | 'shut';

/** Who sends to whom. */
export interface Direction {
  readonly name: string;
  readonly firewall: 'nftables' | 'iptables';
  readonly client: readonly string[];
  /** How many cases one daemon is asked for: fwknopd loses count of about forty rules. */
  readonly batch: number;
  readonly start: (lab: MatrixLab, config: Required<DaemonConfig>) => Promise<Daemon>;
}

/** The stock client and our daemon. */
export const TO_SPA_SERVER: Direction = {
  name: 'fwknop → spa-server',
  firewall: 'nftables',
  client: ['fwknop'],
  batch: Number.POSITIVE_INFINITY,
  start: ({ bastion, scratch }, { server, access }) =>
    startSpaServer(bastion, scratch, { server: [...ATTACHED, ...server], access }),
};

const ATTACHED = [
  'FIREWALL nftables',
  'NFT_MODE attach',
  'NFT_ATTACH_CHAIN inet filter input',
  'NFT_ATTACH_FORWARD_CHAIN inet filter forward',
];

/** Our client and the stock daemon. */
export const TO_FWKNOPD: Direction = {
  name: 'spa-client → fwknopd',
  firewall: 'iptables',
  client: [process.execPath, PROGRAMS.spaClient],
  batch: 30,
  start: ({ bastion, scratch }, config) => startFwknopd(bastion, scratch, config),
};

/** fwknopd starts five processes for each door. */
const PATIENCE = { limitMs: 60_000 };

/** Port of a door that everybody may open, and of one that nobody asks for. */
const [LAST_PORT, OTHER_PORT] = [19_999, 19_998];

/**
 * Makes hosts, sends the packet of every case, and looks at all doors at once; resolves to the outcomes in the order of the
 * cases. All doors have to be shut before, and a door that nobody asked for afterwards.
 */
export async function runMatrix(
  t: Test,
  cases: readonly MatrixCase[],
  direction: Direction,
): Promise<readonly Outcome[]> {
  const lab = await createMatrixLab(direction.firewall);
  t.teardown(lab.dispose);
  const outcomes: Outcome[] = [];
  for (let start = 0; start < cases.length; start += direction.batch) {
    const batch = cases.slice(start, start + direction.batch);
    outcomes.push(...(await runBatch(t, lab, batch, direction)));
  }
  return outcomes;
}

async function runBatch(
  t: Test,
  lab: MatrixLab,
  cases: readonly MatrixCase[],
  direction: Direction,
): Promise<readonly Outcome[]> {
  const { operator } = lab;
  const last = lastCase();
  const all = [...cases, last];
  const stanzas = [...new Set(all.map(({ access }) => access.join('\n')))];
  const daemon = await direction.start(lab, {
    server: ['ENABLE_IPT_FORWARDING Y', 'ENABLE_IPT_LOCAL_NAT Y'],
    access: stanzas.flatMap((lines) => ['SOURCE ANY', lines, 'FW_ACCESS_TIMEOUT 120']),
  });
  const ports = all.flatMap(portOf);
  const before = await doorsOf(operator, ports);
  t.ok([...before.values()].every(isSilent), `${direction.name}: all doors are shut before`);

  const commands = all.map(({ options }) => [...direction.client, ...options, ...COMMON_OPTIONS]);
  const statuses = await runAll(lab, commands.slice(0, -1));
  // One more when all are sent: when its door is open, the others have been judged.
  await operator.must(commands.at(-1) ?? []);
  await until(
    'the last door opens',
    async () => !isSilent((await doorsOf(operator, [LAST_PORT])).get(LAST_PORT)),
    PATIENCE,
  );

  const open = await openDoors(
    lab,
    cases.filter((_, index) => statuses[index] === 0),
  );
  const others = [OTHER_PORT, ...cases.filter(({ name }) => !open.has(name)).flatMap(portOf)];
  const shut = await doorsOf(operator, others);
  t.ok([...shut.values()].every(isSilent), `${direction.name}: doors that nobody opened are shut`);
  await daemon.stop();
  return cases.map(({ name }, index) => {
    if (statuses[index] !== 0) return 'unmade';
    return open.has(name) ? 'open' : 'shut';
  });
}

/** The names of the cases whose effect is there, at the latest a while after it should: NAT may take longer than other doors. */
async function openDoors(
  { operator }: MatrixLab,
  cases: readonly MatrixCase[],
): Promise<ReadonlySet<string>> {
  const open = new Set<string>();
  const look = async (): Promise<boolean> => {
    const pending = cases.filter(({ name }) => !open.has(name));
    // A SYN that a busy machine loses is sent again after a second.
    const answers = await doorsOf(operator, pending.flatMap(portOf), 1_500);
    for (const { name, effect } of pending) {
      const isThere = 'file' in effect ? existsSync(effect.file) : answers.get(effect.port) === effect.says;
      if (isThere) open.add(name);
    }
    return cases.every(({ name, expected }) => open.has(name) || expected !== 'open');
  };
  await until('all doors open', look, PATIENCE).catch(() => {});
  return open;
}

const COMMON_OPTIONS = [
  ...['-a', ADDRESSES.operator, '-D', ADDRESSES.bastion],
  ...['--no-rc-file', '--no-save-args'],
];

function lastCase(): MatrixCase {
  const [key, hmac] = [randomBytes(32).toString('base64'), randomBytes(64).toString('base64')];
  return {
    name: 'last',
    expected: 'open',
    access: [`KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmac}`],
    options: [
      '-A',
      `tcp/${LAST_PORT}`,
      '--key-base64-rijndael',
      key,
      '--use-hmac',
      '--key-base64-hmac',
      hmac,
    ],
    effect: { port: LAST_PORT, says: 'refused' },
  };
}

function portOf({ effect }: MatrixCase): readonly number[] {
  return 'port' in effect ? [effect.port] : [];
}

function isSilent(answer: string | undefined): boolean {
  return answer === 'silent';
}

/** Runs commands on the operator's host, two at once; resolves to their exit statuses. */
async function runAll(
  { operator }: MatrixLab,
  commands: readonly (readonly string[])[],
): Promise<readonly number[]> {
  const script = `
    const commands = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
    const statuses = [];
    let next = 0;
    const run = () => {
      const index = next++;
      if (index >= commands.length) return;
      const [program, ...args] = commands[index];
      require('node:child_process').spawn(program, args, { stdio: 'ignore' }).on('close', (status) => {
        statuses[index] = status;
        run();
      });
    };
    run();
    run();
    process.on('exit', () => require('node:fs').writeSync(1, JSON.stringify(statuses)));`;
  return JSON.parse(
    await operator.must([process.execPath, '-e', script], JSON.stringify(commands)),
  ) as number[];
}
