import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type Lab, type Namespace, until } from 'spa-lab';
import { AS_IF_ELSEWHERE } from './crowd.ts';
import type { Junk } from './junk.ts';
import { captureOf } from './junk-capture.ts';
import type { Sources } from './many-addresses.ts';

/** A flood that leaves the operator's host until it is stopped. */
export interface Replay {
  /** Ends it; resolves to what was really sent. */
  stop(): Promise<{ readonly sent: number; readonly seconds: number }>;
}

/** What a flood is made of. */
export interface ReplayPlan {
  readonly junk: Junk;
  readonly sources: Sources;
  /** Thousands of datagrams; null: as many as one processor can send. */
  readonly perSecond: number | null;
}

/** Floods the bastion's SPA port by tcpreplay. Resolves when the first frames have left. */
export async function startReplay(
  { operator, bastion, scratch }: Pick<Lab, 'operator' | 'bastion' | 'scratch'>,
  { junk, sources, perSecond }: ReplayPlan,
): Promise<Replay> {
  const file = scratch.path('flood.pcap');
  const ends = { from: await hardwareAddress(operator), to: await hardwareAddress(bastion) };
  writeFileSync(file, captureOf(junk, sources, ends));
  const speed = perSecond === null ? ['--topspeed'] : atRate(perSecond);
  const options = [`--intf1=${operator.device}`, '--preload-pcap', '--loop=0', ...speed];
  const before = framesSent(operator);
  const tcpreplay = operator.spawn([...AS_IF_ELSEWHERE.flood, 'tcpreplay', ...options, file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [tcpreplay.stdout, tcpreplay.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const ended = once(tcpreplay, 'close');
  const begins = until('the flood begins', () => framesSent(operator) > before + BEGINNING, { everyMs: 2 });
  const fails = ended.then(() => {
    throw new Error(`tcpreplay has ended: ${text}`);
  });
  await Promise.race([begins, fails]);
  // Its frames are in its memory. Nobody writes them to a disk while something is measured.
  rmSync(file);
  return {
    stop: async () => {
      tcpreplay.kill('SIGINT');
      await ended;
      const [, sent, seconds] = /^Actual: (\d+) packets .* in ([\d.]+) seconds/m.exec(text) ?? [];
      if (sent === undefined) throw new Error(`tcpreplay does not say what it sent: ${text}`);
      return { sent: Number(sent), seconds: Number(seconds) };
    },
  };
}

/** More frames than a host sends of its own accord. */
const BEGINNING = 100;

/** A beat of 1 ms, slept through: tcpreplay's other clocks, and a beat for each frame, take a processor for nothing. */
function atRate(perSecond: number): readonly string[] {
  return [`--pps=${perSecond}`, '--timer=nano', `--pps-multi=${perSecond / 1000}`];
}

async function hardwareAddress(host: Namespace): Promise<Buffer> {
  const text = await host.must(['ip', '-json', 'link', 'show', host.device]);
  const [link] = JSON.parse(text) as readonly { readonly address: string }[];
  return Buffer.from(link?.address.replaceAll(':', '') ?? '', 'hex');
}

/** What the kernel has counted at a host's end of the cable: the tenth number in /proc/net/dev. */
function framesSent({ pid, device }: Namespace): number {
  const lines = readFileSync(`/proc/${pid}/net/dev`, 'utf8').split('\n');
  const [, numbers = ''] = lines.find((line) => line.trim().startsWith(`${device}:`))?.split(':') ?? [];
  return Number(numbers.trim().split(/\s+/)[9]);
}
