import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { UsageError } from 'spa-host';
import { findProgram } from '../become.ts';
import type { ClosedDoor, DoorEvent } from '../door.ts';
import type { Region } from '../region.ts';
import { type BastionDoorway, enterRegion, type Passage } from '../region-door.ts';
import { readRegionState, writeRegionState } from '../region-state.ts';
import { currentUsername, say } from './program.ts';
import { type Progress, startProgress } from './progress.ts';
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
): Promise<Passage | Refusal> {
  const waitMs = parseWait(orders.wait);
  const program = findProgram(orders.ssh ?? 'ssh');
  const note = orders.verbose ? (line: string) => say(`sshbh: ${line}`) : () => {};
  const progress = startProgress();
  let packets = 0;
  const outcome = await enterRegion(region, {
    // Another program that runs ssh in the end, such as autossh, cannot be asked.
    ssh: basename(program) === 'ssh' ? program : findProgram('ssh'),
    sshOptions,
    user,
    family: orders.ipv4 ? 4 : orders.ipv6 ? 6 : null,
    patience: { waitMs, graceMs: graceMs(region, minGraceMs) },
    secrets: secretSource(null),
    username: currentUsername(),
    note,
    onEvent: (event) => {
      if (event.kind === 'sent') packets++;
      showProgress(progress, region, event, packets);
      note(describe(event));
    },
  }).finally(progress.stop);
  if (outcome.state === 'open') {
    const isFresh = outcome.packets > 0 || (isAboutToClose(region) && (await knockAgain(outcome.doorway)));
    remember(region, outcome, isFresh);
  }
  if (isPassage(outcome)) {
    note(arrival(outcome));
    sayDetour(region, outcome);
    return outcome;
  }
  for (const line of complaint(region, outcome, waitMs)) say(`sshbh: ${line}`);
  return { state: 'closed', closed: outcome };
}

const DEFAULT_WAIT_SECONDS = 10;
/** What a server gives unless the packet says otherwise. */
const DOOR_SECONDS = 30;
const LAST_SECONDS_MS = 2_000;
const MAX_GRACE_MS = 500;

/** How long an open door may take to answer before a packet is sent: longer if it was opened a moment ago. */
function graceMs(region: Region, minGraceMs: number): number {
  const state = readRegionState(region.name);
  if (state === null || Date.now() - state.openedAt > doorMs(region)) return minGraceMs;
  return Math.max(minGraceMs, Math.min(2 * state.roundTripMs + 20, MAX_GRACE_MS));
}

/** ssh has yet to start and connect: a door in its last seconds would close before that. */
function isAboutToClose(region: Region): boolean {
  const leftMs = (readRegionState(region.name)?.openedAt ?? 0) + doorMs(region) - Date.now();
  return Math.abs(leftMs) < LAST_SECONDS_MS;
}

function doorMs({ bastions: [{ settings }] }: Region): number {
  return (settings.clientTimeoutSeconds ?? DOOR_SECONDS) * 1000;
}

async function knockAgain(doorway: BastionDoorway): Promise<true> {
  await doorway.send(await doorway.seal());
  return true;
}

function remember(
  { name }: Region,
  { doorway, roundTripMs }: Passage & { readonly state: 'open' },
  isFresh: boolean,
): void {
  const now = Date.now();
  writeRegionState(name, {
    lastUsedAt: now,
    address: doorway.server.address,
    openedAt: isFresh ? now : (readRegionState(name)?.openedAt ?? 0),
    roundTripMs: Math.round(roundTripMs * 10) / 10,
  });
}

function isPassage(outcome: Passage | ClosedDoor<BastionDoorway>): outcome is Passage {
  return outcome.state === 'open' || outcome.state === 'shared' || outcome.state === 'unseen';
}

function showProgress(progress: Progress, region: Region, event: DoorEvent, packets: number): void {
  if (event.kind !== 'sent') return;
  const { server, port } = event.doorway;
  const count = packets === 1 ? '1 packet sent' : `${packets} packets sent`;
  progress.update(`sshbh: ${region.name}: waiting for ${server.address} port ${port}, ${count}`);
}

function describe(event: DoorEvent): string {
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

function complaint(
  region: Region,
  { state, doorway, errors }: ClosedDoor<BastionDoorway>,
  waitMs: number,
): readonly string[] {
  const failed = errors.map((error) => `${region.name}: ${error.message}`);
  if (state === 'unsent' || doorway === null) return failed;
  const { server, port } = doorway;
  const answer = state === 'refused' ? 'answers that it is closed' : 'does not answer';
  const seconds = waitMs / 1000;
  return [
    ...failed,
    `${region.name}: ${server.address} port ${port} ${answer}, ${seconds} s after the first packet`,
  ];
}

/** What `--wait` says, in milliseconds; ten seconds if it is not given. @throws UsageError */
export function parseWait(text: string | undefined): number {
  if (text === undefined) return DEFAULT_WAIT_SECONDS * 1000;
  const seconds = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds > 0) return Math.round(seconds * 1000);
  throw new UsageError(`--wait: "${text}" is no time; write seconds, as in 30`);
}
