import { createInterface } from 'node:readline';
import { openReplayStore } from '../src/replay/lmdb.ts';
import { idOf } from './replay-contract.ts';

// Another process with the same store. Each line of stdin, `claim NAME SECONDS` or `raise SECONDS`, is answered by one.

const store = await openReplayStore(process.argv[2] ?? '', Number(process.argv[3]));
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...words] = line.split(' ');
  process.stdout.write(`${verb === 'raise' ? await raise(words) : await claim(words)}\n`);
}
await store.close();

async function claim([name = '', seconds]: readonly string[]): Promise<string> {
  return store.claim({ id: idOf(name), timestampSeconds: Number(seconds) });
}

async function raise([seconds]: readonly string[]): Promise<string> {
  await store.raiseFloor(Number(seconds));
  return String(store.floorSeconds);
}
