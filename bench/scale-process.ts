import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { IpAddress, MessageId } from 'spa-core';
import {
  type ClaimedMessage,
  createLedger,
  createNftables,
  type LiveGrant,
  openLedgerFile,
  openReplayStore,
  type ReplayStore,
  readLedgerFile,
} from 'spa-server';
import { percentile } from './results.ts';

// One measurement in a process of its own, so that its memory is its own: `scale-process.js TASK PATH NUMBER...`. What it
// found is one line of JSON on stdout.

/** Of single claims. */
export interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
}

/** MB. `mapped` is the store's file as far as it was touched, and programs: in memory once, whoever maps it. */
export interface Memory {
  readonly own: number;
  readonly mapped: number;
}

/** A store that was filled. */
export interface FilledStore {
  readonly bytes: number;
}

/** Claims of a store. */
export interface FullStore {
  readonly openMs: number;
  readonly after: Memory;
  readonly lookUp: Latency;
  readonly alone: Latency;
  readonly burst: Latency;
}

/** A store that forgets all it knew. */
export interface PrunedStore {
  readonly pruneMs: number;
  readonly longestMs: number;
  readonly during: Latency;
  readonly afterwards: Latency;
}

/** Grants that were read. */
export interface ReadGrants {
  readonly readMs: number;
  readonly doorsMs: number;
  readonly before: Memory;
  readonly after: Memory;
  readonly add: Latency;
}

const FIRST_SECOND = 1_000_000_000;
const BURST = 64;
const FILL_BURST = 512;
/** So many messages are made at once, before they are claimed. */
const MADE_AT_ONCE = 100_000;
const SAMPLES = 20_000;

/** Doors stay open for longer than all is measured. */
const DOOR_SECONDS = 3_600;
const DOORS_PER_CHANGE = 1_000;

const TASKS: Readonly<Record<string, (path: string, ...numbers: number[]) => Promise<object>>> = {
  burst: claimFromNothing,
  fill: fillStore,
  full: useFullStore,
  prune: pruneStore,
  grant: writeGrants,
  ledger: readGrants,
  doors: openDoors,
};

const [task = '', path = '', ...numbers] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(await TASKS[task]?.(path, ...numbers.map(Number)))}\n`);

/** `count` claims, one after the other and then in bursts, of an empty store. */
async function claimFromNothing(path: string, count: number): Promise<FullStore> {
  const store = await openReplayStore(path, FIRST_SECOND - 1);
  await claimAll(store, messages(0, count, count), BURST);
  const alone = await claimAll(store, messages(count, count, count), 1);
  const burst = await claimAll(store, messages(2 * count, count, count), BURST);
  await store.close();
  return { openMs: 0, after: memory(), lookUp: alone, alone, burst };
}

/** Remembers `count` messages, `perSecond` of each second. */
async function fillStore(
  path: string,
  count: number,
  perSecond: number,
  firstSecond = FIRST_SECOND,
): Promise<FilledStore> {
  const store = await openReplayStore(path, firstSecond - 1);
  for (let done = 0; done < count; done += MADE_AT_ONCE) {
    const some = messages(done, Math.min(MADE_AT_ONCE, count - done), perSecond, 1, firstSecond);
    await claimAll(store, some, FILL_BURST);
  }
  await store.close();
  return { bytes: statSync(join(path, 'data.mdb')).blocks * 512 };
}

/** What a store with `count` messages costs at the start, for a claim, for a repeated packet, and in memory. */
async function useFullStore(path: string, count: number, perSecond: number): Promise<FullStore> {
  const begun = process.hrtime.bigint();
  const store = await openReplayStore(path, FIRST_SECOND);
  const openMs = Number(process.hrtime.bigint() - begun) / 1e6;
  const known = messages(0, count, perSecond, Math.max(1, Math.floor(count / SAMPLES)));
  const lookUp = await claimAll(store, known, 1, 'replayed');
  const alone = await claimAll(store, messages(count, SAMPLES, perSecond), 1);
  const burst = await claimAll(store, messages(count + SAMPLES, 2 * SAMPLES, perSecond), BURST);
  const after = memory();
  await store.close();
  return { openMs, after, lookUp, alone, burst };
}

/** Claims while all that is remembered is being forgotten. */
async function pruneStore(path: string, count: number, perSecond: number): Promise<PrunedStore> {
  const store = await openReplayStore(path, FIRST_SECOND);
  const last = FIRST_SECOND + Math.ceil((count + 4 * SAMPLES) / perSecond) + 1;
  const fresh = messages(0, SAMPLES, SAMPLES, 1, last);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const begun = process.hrtime.bigint();
  let pruneMs = 0;
  const pruning = store.raiseFloor(last).then(() => {
    pruneMs = Number(process.hrtime.bigint() - begun) / 1e6;
  });
  const claims: number[] = [];
  for (let i = 0; pruneMs === 0 && i < fresh.length; i++) {
    const claimed = process.hrtime.bigint();
    await store.claim(fresh[i] as ClaimedMessage);
    claims.push(Number(process.hrtime.bigint() - claimed) / 1000);
  }
  await pruning;
  const longestMs = delay.max / 1e6;
  delay.disable();
  const afterwards = await claimAll(store, messages(SAMPLES, SAMPLES, 2 * SAMPLES, 1, last), 1);
  await store.close();
  return { pruneMs, longestMs, during: latency(claims, 1), afterwards };
}

/** `burst` claims at once, then the next. @throws Error if one does not come to `expected`. */
async function claimAll(
  store: ReplayStore,
  claims: readonly ClaimedMessage[],
  burst: number,
  expected = 'claimed',
): Promise<Latency> {
  const times: number[] = [];
  for (let i = 0; i < claims.length; i += burst) {
    const some = claims.slice(i, i + burst);
    const begun = process.hrtime.bigint();
    const results = await Promise.all(some.map((message) => store.claim(message)));
    times.push(Number(process.hrtime.bigint() - begun) / 1000);
    if (results.some((result) => result !== expected)) throw new Error(`a claim was not ${expected}`);
  }
  return latency(times, burst);
}

function latency(times: readonly number[], burst: number): Latency {
  return { p50Us: percentile(times, 0.5) / burst, p99Us: percentile(times, 0.99) / burst };
}

function messages(
  first: number,
  count: number,
  perSecond: number,
  step = 1,
  firstSecond: number = FIRST_SECOND,
): readonly ClaimedMessage[] {
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => {
    const index = first + i * step;
    return {
      id: createHash('sha256').update(`${firstSecond} ${index}`).digest('hex') as MessageId,
      timestampSeconds: firstSecond + Math.floor(index / perSecond),
    };
  });
}

/** `count` grants are recorded, one after the other. */
async function writeGrants(path: string, count: number): Promise<Latency & { readonly bytes: number }> {
  const grants = Array.from({ length: count }, (_, index) => grantOf(index));
  const ledger = createLedger();
  const file = openLedgerFile({ path, grants: () => ledger.grants({ by: 'all' }, 0), onTrouble: () => {} });
  const times: number[] = [];
  for (const [index, grant] of grants.entries()) {
    times.push(
      1000 *
        timeOf(() => {
          ledger.add(grant);
          file.added(grant);
        }),
    );
    if (index % BURST === 0) await new Promise(setImmediate);
  }
  file.close();
  return { ...latency(times, 1), bytes: statSync(path).size };
}

/** What `count` recorded grants cost a daemon that starts, and then. */
async function readGrants(path: string, count: number): Promise<ReadGrants> {
  const before = memory();
  const ledger = createLedger();
  const readMs = timeOf(() => {
    for (const grant of readLedgerFile(path).grants) ledger.add(grant);
  });
  if (ledger.size !== count) throw new Error(`${ledger.size} grants were read`);
  const doorsMs = timeOf(() => ledger.doors(0));
  const after = memory();
  const times = Array.from({ length: SAMPLES }, (_, index) => {
    const grant = grantOf(count + index);
    return 1000 * timeOf(() => ledger.add(grant));
  });
  return { readMs, doorsMs, before, after, add: latency(times, 1) };
}

/** Opens `count` doors in this network namespace's nftables and records them, as a daemon with an own table leaves them. */
async function openDoors(path: string, count: number): Promise<object> {
  const warn = (line: string): void => {
    throw new Error(line);
  };
  const firewall = createNftables({
    command: ['nft'],
    placement: { mode: 'own', table: 'spa' },
    now: Date.now,
    warn,
  });
  const endsAt = Number(process.hrtime.bigint() / 1_000_000n) + DOOR_SECONDS * 1000;
  const grants = Array.from({ length: count }, (_, index) => ({ ...grantOf(index), endsAt }));
  const policy = {
    spaPorts: [{ protocol: 'udp', port: 62201 }],
    protectedPorts: [{ protocol: 'tcp', port: 22 }],
    preFilter: null,
  } as const;
  await firewall.install(policy, { flush: true, doors: [] });
  for (let done = 0; done < count; done += DOORS_PER_CHANGE) {
    const some = grants.slice(done, done + DOORS_PER_CHANGE);
    await firewall.adjust(
      some.flatMap(({ id, address, ports }) =>
        ports.map((port) => ({ address, port, timeoutSeconds: DOOR_SECONDS, grantId: id })),
      ),
    );
  }
  const file = openLedgerFile({ path, grants: () => grants, onTrouble: () => {} });
  file.marked(firewall.mark());
  file.close();
  await firewall.close({ flush: false });
  return { bytes: statSync(path).size };
}

function timeOf(work: () => unknown): number {
  const begun = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - begun) / 1e6;
}

function grantOf(index: number): LiveGrant {
  const operator = index % 300;
  return {
    id: createHash('sha256').update(String(index)).digest('hex'),
    operator: createHash('sha1').update(String(operator)).digest('hex').toUpperCase(),
    username: `operator${operator}`,
    stanza: 1,
    address: `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}` as IpAddress,
    ports: [{ protocol: 'tcp', port: 22 }],
    endsAt: Number.MAX_SAFE_INTEGER - (index % 1000),
  };
}

function memory(): Memory {
  const status = readFileSync('/proc/self/status', 'latin1');
  const megabytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1000;
  return { own: megabytes('RssAnon'), mapped: megabytes('RssFile') + megabytes('RssShmem') };
}
