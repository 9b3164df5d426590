import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ExitCode } from 'spa-host';
import { lacking } from 'spa-lab';
import { measureCertify } from './certify.ts';
import { measureDoor } from './door.ts';
import { measureEnter } from './enter.ts';
import { measureFlood } from './flood.ts';
import { measureKills } from './kills.ts';
import { measureLoss } from './loss.ts';
import { describeMachine } from './machine.ts';
import { measureMemory } from './memory.ts';
import { type Finding, formatText, type Section, tabulateFindings, withSection } from './results.ts';
import type { Run } from './run.ts';
import { measureScale } from './scale.ts';
import { measureStanzas } from './stanzas.ts';
import { measureThroughput } from './throughput.ts';
import { measureWire } from './wire.ts';

/**
 * A part of the bench. `npm run bench -- NAME...` runs some of them, without names all; `NAME=ROUNDS` says how often; with
 * `quick` a look with a tenth of the rounds, which is written nowhere.
 */
interface Part {
  readonly name: string;
  /** Of its section in the results file. */
  readonly title: string;
  measure(run: Run): Promise<Omit<Section, 'title'>>;
}

const PARTS: readonly Part[] = [
  { name: 'door', title: 'Latency of the door', measure: measureDoor },
  { name: 'throughput', title: 'Valid packets a second', measure: measureThroughput },
  { name: 'flood', title: 'A flood on the port', measure: measureFlood },
  { name: 'stanzas', title: 'Many stanzas', measure: measureStanzas },
  { name: 'memory', title: 'Memory in a long flood', measure: measureMemory },
  { name: 'kills', title: 'Kills between a packet and its door', measure: measureKills },
  { name: 'scale', title: 'Many messages and many grants', measure: measureScale },
  { name: 'enter', title: 'From Enter to the remote shell', measure: measureEnter },
  { name: 'wire', title: 'From Enter to the packet on the wire', measure: measureWire },
  { name: 'loss', title: 'A network that loses a fifth', measure: measureLoss },
  { name: 'certify', title: 'Certifications', measure: measureCertify },
];
const PROGRAMS = [
  'fwknopd',
  'fwknop',
  'nft',
  'iptables',
  'ip6tables',
  'ipset',
  'gpg',
  'sshd',
  'ssh',
  'ssh-keygen',
  'tcpdump',
  'tcpreplay',
];
const QUICK = 'quick';
const TARGETS = 'Targets';
const TARGETS_METHOD = `\
The figures below that have a target, each of the latest run of its part; the worst case of each counts. Daemon, kernel, flood and
operators share this machine's processors; flood and operators go first, as if they were elsewhere. *really*: junk that left, a
second.

What bounds those that were not reached ([ADR 0013](../docs/adr/0013-reception.md) has the profiles):

- *door open*: a packet that comes alone finds cold caches, 1.2 to 1.4 ms from the datagram to nft where it is 0.2 ms in a burst; nft
  and the kernel take 0.6 ms, the private operation of RSA-2048 0.8 to 1.0 ms.
- *valid packets a second*: with RSA-2048 the private operation, of which a core does 1,100 to 1,300 a second, and a good
  millisecond for all else. With Curve25519 0.9 to 1.4 ms of the daemon: verification 18 %, collecting garbage 10, agreement 7, the
  signer's certificate 5. With AES 0.2 to 0.26 ms: decryption and message 30 %, the claim 11, collecting garbage 10, nft 6. The
  sender and the reader of the log are on the same processors, whose speed differs by a fifth from hour to hour.
- *80000 junk packets a second* for a stanza without an HMAC: each that names the bastion's key asks for a private operation. With
  Curve25519, of which a core does 18,000 a second, all or nearly all operators are in; with RSA-2048 one in a hundred.`;
const RESULTS = fileURLToPath(new URL('../RESULTS.md', import.meta.url));

const undos: (() => void | Promise<void>)[] = [];
let stopped = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    stopped = true;
    void undo().then(() => process.exit(ExitCode.failure));
  });
}

process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  const wishes = words.filter((word) => word !== QUICK).map(parseWish);
  const wrong = wishes.find(({ name, rounds }) => {
    return !PARTS.some((part) => part.name === name) || !(rounds === null || rounds > 0);
  });
  if (wrong !== undefined) {
    const known = PARTS.map((part) => part.name).join(', ');
    process.stderr.write(
      `bench: there is no part ${wrong.text}; write some of ${known}, NAME=ROUNDS, or ${QUICK}\n`,
    );
    return ExitCode.usage;
  }
  const reason = lacking(...PROGRAMS);
  if (reason !== false) {
    process.stderr.write(`bench: ${reason}\n`);
    return ExitCode.unavailable;
  }
  const findings: Finding[] = [];
  const parts = PARTS.filter(({ name }) => wishes.length === 0 || wishes.some((wish) => wish.name === name));
  for (const part of parts) {
    const rounds = wishes.find(({ name }) => name === part.name)?.rounds ?? null;
    const section = await measure(part, { isQuick: words.includes(QUICK), rounds });
    progress('');
    for (const table of section.tables) process.stdout.write(`\n${formatText(table)}`);
    findings.push(...(section.findings ?? []));
    if (!words.includes(QUICK)) write(part.name, section);
  }
  if (findings.length === 0) return ExitCode.ok;
  const table = tabulateFindings(findings);
  process.stdout.write(`\n${formatText(table)}`);
  return ExitCode.ok;
}

/** A part to be measured, and how often if that was said: `kills=10000`. */
interface Wish {
  readonly text: string;
  readonly name: string;
  /** NaN if it is no number. */
  readonly rounds: number | null;
}

function parseWish(text: string): Wish {
  const [name = '', rounds] = text.split('=');
  return { text, name, rounds: rounds === undefined ? null : Number(rounds) };
}

async function measure(
  part: Part,
  wish: { readonly isQuick: boolean; readonly rounds: number | null },
): Promise<Section> {
  try {
    const found = await part.measure({
      onEnd: (undo) => undos.push(undo),
      progress: (text) => progress(`${part.name}: ${text}`),
      rounds: (full) => wish.rounds ?? (wish.isQuick ? Math.ceil(full / 10) : full),
    });
    return { title: part.title, ...found };
  } catch (error) {
    // What a signal took away fails in turn; the signal ends the program.
    if (stopped) await new Promise(() => {});
    throw error;
  } finally {
    await undo();
  }
}

/** A part's section is in the file as soon as it is measured; `name` is what runs it. */
function write(name: string, section: Section): void {
  const date = new Date().toISOString().slice(0, 10);
  const remarks = [`\`npm run bench -- ${name}\`, ${date}`, ...describeMachine()];
  const titles = PARTS.map(({ title }) => title);
  const targets = { title: TARGETS, method: TARGETS_METHOD };
  writeFileSync(RESULTS, withSection(readFileSync(RESULTS, 'utf8'), { titles, targets, section, remarks }));
  progress(`${section.title}: written to bench/RESULTS.md`);
}

async function undo(): Promise<void> {
  for (const one of undos.splice(0).reverse()) await one();
}

/** On a terminal one line that is written over. */
function progress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}
