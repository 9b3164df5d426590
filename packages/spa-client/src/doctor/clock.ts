import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import {
  type Check,
  type ClockSources,
  type Examination,
  type Facts,
  makeCheck,
  type Outcome,
} from './check.ts';
import { bad, type Finding, formatDuration, ok, skipped, warn } from './finding.ts';
import { askClock, type ClockReading } from './sntp.ts';

/** Whether the bastion will take our packets' time for its own: by its clock, or by an NTP server's. */
export const clockCheck: Check = makeCheck({ name: 'clock', run: checkClock });

/** `MAX_SPA_PACKET_AGE` of the daemon, unless its owner chose another. */
const MAX_AGE_MS = 120_000;
const NOTABLE_MS = 10_000;

interface Reference extends ClockReading {
  readonly name: string;
}

async function checkClock({ bastion, clock, nowMs }: Examination, { routes }: Facts): Promise<Outcome> {
  const address = routes?.[0]?.server.address ?? null;
  const reference = await firstReference(address, clock, nowMs);
  if (reference === null) return { findings: [nobodyAnswered(address, clock)] };
  return { findings: [judge(reference, bastion.settings.timeOffsetSeconds ?? 0)] };
}

/** The bastion's own clock is the one that counts; the others say what it should be. All are asked at once. */
async function firstReference(
  bastion: string | null,
  clock: ClockSources,
  nowMs: () => number,
): Promise<Reference | null> {
  const { servers, port, limitMs } = clock;
  const ask = async (name: string, address: string | null): Promise<Reference | null> => {
    const reading = address === null ? null : await askClock({ address, port }, limitMs, nowMs);
    return reading === null ? null : { name, ...reading };
  };
  const answers = await Promise.all([
    bastion === null ? null : ask(bastion, bastion),
    ...servers.map(async (name) => ask(name, await addressOf(name, limitMs))),
  ]);
  return answers.find((answer) => answer !== null) ?? null;
}

/** Not by getaddrinfo: that cannot be given up. */
async function addressOf(name: string, limitMs: number): Promise<string | null> {
  if (isIP(name) !== 0) return name;
  const resolver = new Resolver({ timeout: limitMs, tries: 1 });
  const timer = setTimeout(() => resolver.cancel(), limitMs);
  try {
    const [address] = await resolver.resolve4(name).catch(() => resolver.resolve6(name));
    return address ?? null;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

function nobodyAnswered(bastion: string | null, { servers, limitMs }: ClockSources): Finding {
  const asked = [...(bastion === null ? [] : [bastion]), ...servers].join(', ');
  return skipped(
    'clock',
    `no time server answered within ${formatDuration(limitMs)} (${asked === '' ? 'none was asked' : asked})`,
    `compare date -u here and on the bastion: ${formatDuration(MAX_AGE_MS)} apart is too much`,
  );
}

function judge({ name, aheadMs }: Reference, timeOffsetSeconds: number): Finding {
  const stampMs = aheadMs + timeOffsetSeconds * 1000;
  const apartMs = Math.abs(stampMs);
  if (timeOffsetSeconds !== 0) {
    const says = `packets are stamped ${formatDuration(apartMs)} ${stampMs < 0 ? 'behind' : 'ahead of'} ${name}, with TIME_OFFSET`;
    const todo = 'correct TIME_OFFSET, or better take it out and set the clock';
    if (apartMs > NOTABLE_MS) return (apartMs > MAX_AGE_MS ? bad : warn)('clock', says, todo);
    return ok('clock', says);
  }
  if (apartMs <= NOTABLE_MS)
    return ok('clock', `this machine agrees with ${name} to ${formatDuration(apartMs)}`);
  const says = `this machine is ${formatDuration(apartMs)} ${stampMs < 0 ? 'behind' : 'ahead of'} ${name}`;
  return (apartMs > MAX_AGE_MS ? bad : warn)(
    'clock',
    says,
    SET_CLOCK[process.platform] ?? 'set the clock by NTP',
  );
}

const SET_CLOCK: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  linux: 'run timedatectl set-ntp true',
  darwin: 'run sudo sntp -sS time.apple.com',
  win32: 'run w32tm /resync',
};
