import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import type { Daemon } from 'spa-lab';

/** What became of datagrams to the SPA port, since the daemon's start. */
export interface Sightings {
  /** Those that the daemon, or a rule of its own in the kernel, has looked at. */
  readonly seen: number;
  /** Of these, what its rules dropped. */
  readonly seenByRules: number;
  /** Those that the kernel dropped because the daemon did not come to them. */
  readonly lost: number;
  /** Those for which the daemon did not do what they ask for: too much at once. */
  readonly refused: number;
}

/** How a daemon is asked what it has seen. */
export type Sight = (daemon: Daemon) => Promise<Sightings>;

/** Our daemon is asked as `--status` asks it. */
export const askOurs: Sight = async (daemon) => {
  const folder = /^FWKNOP_RUN_DIR\s+(\S+)$/gm;
  const config = readFileSync(daemon.configFile, 'utf8');
  const runFolder = [...config.matchAll(folder)].at(-1)?.[1] ?? '';
  const answer = await askLine(join(runFolder, 'spa-server.sock'), JSON.stringify({ do: 'counters' }));
  const { counters } = JSON.parse(answer) as {
    readonly counters: readonly { readonly what: string; readonly count: number }[];
  };
  const sum = (pattern: RegExp): number =>
    counters.filter(({ what }) => pattern.test(what)).reduce((total, { count }) => total + count, 0);
  const seenByRules = sum(/^dropped by the kernel: (no packet|more than)/);
  return {
    seen: sum(/^datagrams received$/) + seenByRules,
    seenByRules,
    lost: sum(/receive buffer was full$/),
    refused: sum(/^ignored: (budget|overload)$/),
  };
};

/** The stock daemon says a line about each packet and each stanza that it looks at; what it lost it does not say. */
export const readStockLog: Sight = async (daemon) => {
  const seen = daemon.log().match(/\(stanza #1\) SPA Packet from IP/g)?.length ?? 0;
  return { seen, seenByRules: 0, lost: 0, refused: 0 };
};

function askLine(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = createConnection(path, () => socket.end(`${line}\n`));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text)).on('error', reject);
  });
}
