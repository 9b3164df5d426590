import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { UsageError } from 'spa-host';
import { findProgram } from '../become.ts';
import type { ClosedDoor } from '../door.ts';
import { graceMs, isAboutToClose, rememberDoor } from '../door-memory.ts';
import type { SecretSource } from '../packet-keys.ts';
import type { Region } from '../region.ts';
import { type BastionDoorway, type EntryEvent, enterRegion, type Passage } from '../region-door.ts';
import { currentUsername, say } from './program.ts';
import { type Progress, startProgress } from './progress.ts';
import { explainRefusal } from './refusal.ts';
import { secretSource } from './secret-source.ts';

/** What ssh itself says when it cannot connect. */
export const CONNECTION_FAILED = 255;

/** Options that all verbs share which open a door. */
export interface EnterOrders {
  readonly ipv4?: true;
  readonly ipv6?: true;
  readonly ssh?: string;
  readonly wait?: string;
  readonly verbose?: number;
}

/** What ssh will be told. */
export interface EnterSsh {
  readonly sshOptions: readonly string[];
  readonly user: string | null;
}

/** The door stayed closed, and the person has been told why. */
export interface Refusal {
  readonly state: 'closed';
  readonly closed: ClosedDoor<BastionDoorway>;
}

/**
 * Opens a region's door with progress on the terminal, and remembers it. If it stays closed, says why.
 * @throws ConfigError, KeyError, UsageError, SshError
 */
export async function enter(
  region: Region,
  orders: EnterOrders,
  { sshOptions, user }: EnterSsh,
  minGraceMs: number,
  secrets: SecretSource = secretSource(null),
): Promise<Passage | Refusal> {
  const waitMs = parseWait(orders.wait);
  const program = findProgram(orders.ssh ?? 'ssh');
  const note = orders.verbose ? (line: string) => say(`sshbh: ${line}`) : () => {};
  const progress = startProgress();
  if (!orders.verbose) progress.update(`sshbh: ${region.name}: looking up ${region.bastions[0].host}`);
  let packets = 0;
  const outcome = await enterRegion(region, {
    // Another program that runs ssh in the end, such as autossh, cannot be asked.
    ssh: basename(program) === 'ssh' ? program : findProgram('ssh'),
    sshOptions,
    user,
    family: orders.ipv4 ? 4 : orders.ipv6 ? 6 : null,
    patience: { waitMs, graceMs: graceMs(region, minGraceMs) },
    secrets: askingOnCleanLine(progress, secrets),
    username: currentUsername(),
    note,
    onEvent: (event) => {
      if (event.kind === 'sent') packets++;
      if (!orders.verbose) showProgress(progress, region, event, packets);
      if (event.kind !== 'waiting') note(describe(event));
    },
  }).finally(progress.stop);
  if (outcome.state === 'open') {
    const isFresh = outcome.packets > 0 || (isAboutToClose(region) && (await knockAgain(outcome.doorway)));
    rememberDoor(region, outcome, isFresh);
  }
  if (isPassage(outcome)) {
    note(arrival(outcome));
    sayDetour(region, outcome);
    return outcome;
  }
  for (const line of await explainRefusal(region, outcome, waitMs)) say(`sshbh: ${line}`);
  return { state: 'closed', closed: outcome };
}

const DEFAULT_WAIT_SECONDS = 10;

/** The key of another bastion may be asked for while the line of progress stands there. */
function askingOnCleanLine(progress: Progress, { piped, ask }: SecretSource): SecretSource {
  return {
    piped,
    ask: (what) => {
      progress.stop();
      return ask(what);
    },
  };
}

async function knockAgain(doorway: BastionDoorway): Promise<true> {
  await doorway.send(await doorway.seal());
  return true;
}

function isPassage(outcome: Passage | ClosedDoor<BastionDoorway>): outcome is Passage {
  return outcome.state === 'open' || outcome.state === 'shared' || outcome.state === 'unseen';
}

function showProgress(progress: Progress, region: Region, event: EntryEvent, packets: number): void {
  if (event.kind === 'waiting') {
    const text = WAITING_ON[event.on];
    progress.update(text === '' ? '' : `sshbh: ${region.name}: ${text}`);
  }
  if (event.kind !== 'sent') return;
  const { server, port } = event.doorway;
  const count = packets === 1 ? '1 packet sent' : `${packets} packets sent`;
  progress.update(`sshbh: ${region.name}: waiting for ${server.address} port ${port}, ${count}`);
}

/** The terminal may be pinentry's while gpg works. */
const WAITING_ON = { resolvers: 'asking resolvers for your address', gpg: '' } as const;

function describe(event: Exclude<EntryEvent, { readonly kind: 'waiting' }>): string {
  if (event.kind === 'failed') return event.error.message;
  const { doorway, from, characters } = event;
  return `a packet of ${characters} characters went from ${from} to ${doorway.server.address}`;
}

function arrival(passage: Passage): string {
  if (passage.state === 'shared') return `a connection to ${passage.bastion.host} is alive: no packet needed`;
  if (passage.state === 'unseen') {
    return `ssh reaches ${passage.bastion.host} through a proxy: its door cannot be seen from here`;
  }
  const { server, port } = passage.doorway;
  return `${server.address} port ${port} ${passage.packets === 0 ? 'was open: no packet needed' : 'is open'}`;
}

/** A person at a terminal should know that a bastion is down. */
function sayDetour(region: Region, passage: Passage): void {
  const [first] = region.bastions;
  if (passage.state !== 'open' || passage.doorway.bastion === first || !isatty(2)) return;
  const { host } = passage.doorway.bastion;
  say(`sshbh: ${region.name}: ${first.host} did not open its door; going through ${host}`);
}

/** Milliseconds of `--wait SECONDS`. @throws UsageError */
export function parseWait(text: string | undefined): number {
  if (text === undefined) return DEFAULT_WAIT_SECONDS * 1000;
  const seconds = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds > 0) return Math.round(seconds * 1000);
  throw new UsageError(`--wait: "${text}" is no time; write seconds, as in 30`);
}
