import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openReplayStore } from '../src/replay/lmdb.ts';
import type { ClaimedMessage } from '../src/replay/replay-store.ts';
import { idOf } from './replay-contract.ts';

// A store on a file system that is full, in a mount namespace of its own. What happened is one line of JSON.

const folder = process.argv[2] ?? '';
const ballast = join(folder, 'ballast');

const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], {
  encoding: 'utf8',
});
if (status !== 0) throw new Error(stderr);
writeFileSync(ballast, Buffer.alloc(512 * 1024));
const store = await openReplayStore(join(folder, 'replay'), 999);
const claimed: ClaimedMessage[] = [];
const errors = new Set<string>();
let names = 0;

const refused = await claimSome(1000);
const repeated = await Promise.all(claimed.map((message) => store.claim(message).catch(() => 'refused')));
rmSync(ballast);
const refusedAfterwards = await claimSome(200);
const again = await Promise.all(claimed.map((message) => store.claim(message)));
await store.close();

process.stdout.write(
  `${JSON.stringify({
    refused,
    errors: [...errors],
    acceptedTwice: [...repeated, ...again].filter((claim) => claim === 'claimed').length,
    refusedAfterwards,
  })}\n`,
);

/** How many of so many bursts of 20 were refused. */
async function claimSome(bursts: number): Promise<number> {
  let refused = 0;
  for (let i = 0; i < bursts; i++) {
    const burst = Array.from({ length: 20 }, () => {
      names += 1;
      return { id: idOf(`${names}`), timestampSeconds: 1000 + Math.floor(names / 1000) };
    });
    try {
      await Promise.all(burst.map((message) => store.claim(message)));
      claimed.push(...burst);
    } catch (error) {
      refused += 1;
      errors.add(`${(error as Error).name}: ${(error as Error).message}`);
    }
  }
  return refused;
}
