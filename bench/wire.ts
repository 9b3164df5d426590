import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { realpathSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { addresses, createRegionLab, createScratch, type Namespace, PROGRAMS } from 'spa-lab';
import { type ClientKeys, createModes, type Mode } from './modes.ts';
import { formatMs, percentile, type Section, type Table } from './results.ts';
import type { Run } from './run.ts';
import { type Shell, startShell } from './shell.ts';

/** From Enter to the packet on the wire, and what of it is Node's own start. */
export async function measureWire(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and hosts');
  const scratch = createScratch();
  run.onEnd(scratch.remove);
  const modes = await createModes(scratch);
  run.onEnd(modes.dispose);
  const lab = await createRegionLab('nftables');
  run.onEnd(lab.dispose);
  const shell = await startShell(lab.operator);
  const nextDatagram = await startReceiver(lab.bastion);
  const node24 = findNode24();
  const nodes = [process.execPath, ...(node24 === null ? [] : [node24])];

  const starters = startersOf(nodes, scratch.path('empty.cjs'), scratch.path('datagram.cjs'));
  const cases: Case[] = [
    ...starters,
    ...modes.all.flatMap((mode) => mode.clientKeys.flatMap((keys) => casesOf(mode, keys, nodes))),
  ];
  const rounds = run.rounds(ROUNDS);
  const times = cases.map((): number[] => []);
  for (let round = 1; round <= rounds; round++) {
    run.progress(`round ${round} of ${rounds}`);
    for (const [index, { line, keys, until }] of cases.entries()) {
      if (keys !== null) lab.writeRegions(regions(keys));
      await sleep(PAUSE_MS);
      times[index]?.push(
        await (until === 'end' ? untilEnd(shell, line) : untilPacket(shell, line, nextDatagram)),
      );
    }
  }
  return { tables: [tabulate(cases, times, nodes)], method: METHOD };
}

const ROUNDS = 20;
/** The line before is gone. */
const PAUSE_MS = 50;
const LIMIT_MS = 10_000;

const METHOD = `\
From the start of the line's shell (\`sh -c LINE\`) to the SPA packet's arrival at a plain UDP socket on the bastion, by the
clock that both processes share; the cable is a veth pair, the bastion's tcp/22 is dropped, all lines take turns. \`sshbh\`:
\`NODE sshbh.cjs region -- echo arrived\`, the program as it is installed, compiled beforehand by the Node of the first column; \`fwknop -n region\` runs without
Node, its column is the same line in the same turns. *Node alone*: \`NODE empty.cjs\` from start to end, and a script of two
lines that sends one datagram from start to arrival: what no program in Node can be faster than. GnuPG homes are without
passphrase and have a running gpg-agent. *of it Node*: the datagram script's p50 as a share of the line's.`;

/** A line that sends a packet, on one Node. */
interface Case {
  readonly what: string;
  readonly where: string;
  readonly line: string;
  /** Null: it reads no rc file. */
  readonly keys: ClientKeys | null;
  /** The interpreter, which is the table's column; null: none. */
  readonly node: string | null;
  readonly until: 'packet' | 'end';
}

const EMPTY = 'node, empty script, to its end';
const DATAGRAM = 'node, a datagram';

function startersOf(nodes: readonly string[], empty: string, datagram: string): readonly Case[] {
  writeFileSync(empty, '');
  writeFileSync(
    datagram,
    `const socket = require('node:dgram').createSocket('udp4');
    socket.send('x', 62201, '${addresses.server4}', () => socket.close());`,
  );
  return nodes.flatMap((node): readonly Case[] => [
    { what: EMPTY, where: '', line: `${node} ${empty}`, keys: null, node, until: 'end' },
    { what: DATAGRAM, where: '', line: `${node} ${datagram}`, keys: null, node, until: 'packet' },
  ]);
}

function casesOf(mode: Mode, keys: ClientKeys, nodes: readonly string[]): readonly Case[] {
  const common = { where: `${mode.name}, ${keys.where}`, keys, until: 'packet' } as const;
  const ours = nodes.map((node): Case => {
    return { ...common, what: 'sshbh', line: `${node} ${PROGRAMS.sshbh} region -- echo arrived`, node };
  });
  // It knows no key files.
  if (keys.where === 'key files') return ours;
  return [{ ...common, what: 'fwknop', line: 'fwknop -n region', node: null }, ...ours];
}

function regions({ lines }: ClientKeys): string {
  const stanza = ['[region]', 'SPA_SERVER four.test', 'ACCESS tcp/22', `ALLOW_IP ${addresses.client4}`];
  return `${[...stanza, ...lines].join('\n')}\n`;
}

async function untilEnd(shell: Shell, line: string): Promise<number> {
  const { enteredAt, endedAt } = await shell.enter(line, '', LIMIT_MS);
  return endedAt - enteredAt;
}

async function untilPacket(shell: Shell, line: string, nextDatagram: () => Promise<number>): Promise<number> {
  const received = nextDatagram();
  const entered = shell.enter(line, '', LIMIT_MS);
  const silent = entered.then(async ({ stderr }) => {
    await sleep(PAUSE_MS);
    throw new Error(`${line}: no packet came: ${stderr}`);
  });
  const receivedAt = await Promise.race([received, silent]);
  silent.catch(() => {});
  shell.stop();
  const { enteredAt } = await entered;
  return receivedAt - enteredAt;
}

/** Listens on a bastion; the function resolves to the next datagram's arrival. */
async function startReceiver(bastion: Namespace): Promise<() => Promise<number>> {
  await bastion.must(['nft', 'insert', 'rule', 'inet', 'filter', 'input', 'udp', 'dport', '62201', 'accept']);
  const script = fileURLToPath(new URL('./receiver-process.js', import.meta.url));
  const child = bastion.spawn([process.execPath, script], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  return async () => {
    const [receivedAt] = (await once(child, 'message')) as [number];
    return receivedAt;
  };
}

/** The binary that npm's package has; null if it cannot be had. */
function findNode24(): string | null {
  const { stdout, status } = spawnSync('npx', ['-y', '-p', 'node@24', 'which', 'node'], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  const path = stdout?.trim() ?? '';
  return status === 0 && path !== '' && realpathSync(path) !== realpathSync(process.execPath)
    ? realpathSync(path)
    : null;
}

function tabulate(
  cases: readonly Case[],
  times: readonly (readonly number[])[],
  nodes: readonly string[],
): Table {
  const timesOf = (node: string, what: string, where: string): readonly number[] =>
    times[
      cases.findIndex((one) => one.what === what && one.where === where && (one.node ?? node) === node)
    ] ?? [];
  const heading = nodes.flatMap((node) => {
    const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim();
    return [`${version} p50 ms`, 'p95 ms', 'of it Node'];
  });
  const names = cases.filter(({ node }) => node === null || node === nodes[0]);
  const lines = names.map(({ what, where }) => [
    ...[what, where, String(times[0]?.length ?? 0)],
    ...nodes.flatMap((node) => {
      const own = timesOf(node, what, where);
      const alone = percentile(timesOf(node, DATAGRAM, ''), 0.5);
      const share = what === 'sshbh' ? `${Math.round((100 * alone) / percentile(own, 0.5))} %` : '';
      return [formatMs(percentile(own, 0.5)), formatMs(percentile(own, 0.95)), share];
    }),
  ]);
  return { heading: ['line', 'keys', 'n', ...heading], words: 2, lines };
}
