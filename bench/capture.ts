import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Namespace, until } from 'spa-lab';

/** What passed a host's cable, by the kernel's clock: microseconds of the epoch. */
export interface Passage {
  readonly what: 'packet' | 'syn' | 'syn-ack';
  readonly at: number;
}

/** A capture that runs. */
export interface Capture {
  /** Ends it; resolves to what has passed since its start, in order. Rejects if something of it was lost. */
  end(): Promise<readonly Passage[]>;
}

/** Captures SPA packets, and the first segments of connections to port 22 with their answers, at a host's end of its cable. */
export async function startCapture(host: Namespace): Promise<Capture> {
  const child = host.spawn(['tcpdump', '-Z', 'root', '-i', host.device, '-n', '-tt', '-s', '96', FILTER], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const closed = once(child, 'close');
  await until('tcpdump captures', () => {
    if (child.exitCode !== null) throw new Error(`tcpdump: ${said}`);
    return said.includes('listening on');
  });
  return {
    end: async () => {
      await sleep(HANDED_OVER_MS);
      child.kill('SIGINT');
      await closed;
      if (!/^0 packets dropped by kernel/m.test(said)) throw new Error(`tcpdump: ${said}`);
      return printed.split('\n').flatMap(parsePassage);
    },
  };
}

const FILTER = 'udp dst port 62201 or (tcp port 22 and tcp[tcpflags] & tcp-syn != 0)';
/** The kernel hands over what it captured once a second: in between tcpdump sleeps, and disturbs nobody. */
const HANDED_OVER_MS = 2_000;

const WHAT = { UDP: 'packet', 'Flags [S]': 'syn', 'Flags [S.]': 'syn-ack' } as const;
const LINE = /^(\d+\.\d{6}) IP \S+ > \S+: (UDP|Flags \[S\.?\])/;

function parsePassage(line: string): readonly Passage[] {
  const [, seconds, what] = LINE.exec(line) ?? [];
  return what === undefined ? [] : [{ what: WHAT[what as keyof typeof WHAT], at: Number(seconds) * 1e6 }];
}
