import { setTimeout as sleep } from 'node:timers/promises';
import { type Contestant, type ContestantPlan, createContestant, PEER, SPA_SERVER } from './contestants.ts';
import { type Crowd, startCrowd } from './crowd.ts';
import type { Knock } from './crowd-process.ts';
import type { Junk } from './junk.ts';
import { addAddresses, operatorAddress, type Sources } from './many-addresses.ts';
import type { Mode } from './modes.ts';
import { startReplay } from './replay.ts';
import type { Run } from './run.ts';
import { askOurs, readStockLog, type Sight, type Sightings } from './sightings.ts';
import { usageOf } from './usage.ts';

/** A daemon's bastion and those who come to it. */
export interface Side {
  readonly contestant: Contestant;
  readonly sight: Sight;
  readonly crowd: Crowd;
}

/** A kind of flood. */
export interface Flood {
  readonly mode: Mode;
  readonly junkOf: (packet: string) => Junk;
  readonly sources: Sources;
  /** Thousands; null: as many as one processor can send. */
  readonly perSecond: number | null;
  readonly hasRules: boolean;
}

/** How one daemon went through one flood. */
export interface Outcome extends Pick<Flood, 'mode' | 'sources' | 'perSecond' | 'hasRules'> {
  readonly daemon: string;
  readonly junk: string;
  /** Microseconds; null: not in. */
  readonly times: readonly (number | null)[];
  readonly sent: number;
  readonly sentSeconds: number;
  readonly sightings: Sightings;
  readonly cpuMs: number;
  /** Resident, once a second, from before the flood until it was looked through. */
  readonly residentMb: readonly number[];
}

/** How a daemon is asked what it saw. */
const PLANS: Readonly<Record<'peer' | 'ours', { readonly plan: ContestantPlan; readonly sight: Sight }>> = {
  peer: { plan: PEER, sight: readStockLog },
  ours: { plan: SPA_SERVER, sight: askOurs },
};

/** Makes a bastion, those who flood it and the operators who come meanwhile. */
export async function createSide(who: keyof typeof PLANS, run: Run): Promise<Side> {
  const { plan, sight } = PLANS[who];
  const contestant = await createContestant(plan);
  run.onEnd(contestant.lab.dispose);
  await addAddresses(contestant.lab);
  return { contestant, sight, crowd: await startCrowd(contestant.lab.operator) };
}

/** Each operator gives up after that. Stock fwknopd takes a while for one packet. */
export const LIMIT_MS = 1_000;
/** From the start of a daemon to the flood, and from the flood's start to the first operator. */
const SETTLE_MS = 1_000;
/** After a flood: everything that waits has been looked at. */
const DRAIN_MS = 1_000;

/** So many operators' packets are made at a time. */
const BATCH = 300;

/** No two operators have the same address, in a whole run. */
let operators = 0;

/** Lets a daemon endure a flood while operators come. */
export async function endure(
  flood: Flood,
  { contestant, sight, crowd }: Side,
  plan: { readonly operators: number; readonly everyMs: number },
): Promise<Outcome> {
  const { mode } = flood;
  const daemon = await contestant.start({
    access: mode.access,
    server: flood.hasRules ? [] : ['SPA_PREFILTER N'],
  });
  const { pid } = daemon.process;
  if (pid === undefined) throw new Error(`${contestant.name} does not run`);
  await sleep(SETTLE_MS);
  // Our daemon takes none that was made before its replay store was, and none that is too old.
  let knocks = await sealKnocks(mode, Math.min(BATCH, plan.operators));
  const junk = flood.junkOf(await mode.seal());
  const before = usageOf(pid);
  const residentMb = [before.residentMb];
  const replay = await startReplay(contestant.lab, { ...flood, junk });
  const sampling = setInterval(() => residentMb.push(usageOf(pid).residentMb), 1_000);
  await sleep(SETTLE_MS);
  const times: (number | null)[] = [];
  while (knocks.length > 0) {
    times.push(...(await crowd.come({ knocks, everyMs: plan.everyMs, limitMs: LIMIT_MS })));
    knocks = await sealKnocks(mode, Math.min(BATCH, plan.operators - times.length));
  }
  const { sent, seconds: sentSeconds } = await replay.stop();
  await sleep(DRAIN_MS);
  clearInterval(sampling);
  const sightings = await sight(daemon);
  const after = usageOf(pid);
  await daemon.stop();
  return {
    ...flood,
    daemon: contestant.name,
    junk: junk.name,
    times,
    sent,
    sentSeconds,
    sightings,
    cpuMs: after.cpuMs - before.cpuMs,
    residentMb: [...residentMb, after.residentMb],
  };
}

async function sealKnocks(mode: Mode, count: number): Promise<readonly Knock[]> {
  const knocks: Knock[] = [];
  for (let i = 0; i < count; i++) {
    const address = operatorAddress(operators++);
    knocks.push({ address, packet: await mode.seal(address) });
  }
  return knocks;
}

/** `AES, HMAC; spoofed, 80k/s`. */
export function describe({
  mode,
  sources,
  perSecond,
  hasRules,
}: Pick<Flood, 'mode' | 'sources' | 'perSecond' | 'hasRules'>): string {
  const rate = perSecond === null ? 'max' : `${perSecond / 1000}k/s`;
  return `${mode.name}; ${sources}, ${rate}${hasRules ? '' : ', no rules'}`;
}
