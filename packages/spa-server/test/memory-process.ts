/** Lets something become old and useless, and says after each look whether it is still there. */
import { createTidying, thisProcess } from '../src/system/memory.ts';

const tidyUp = createTidying(thisProcess());
const four = (): number[][] => Array.from({ length: 500 }, () => new Array<number>(1000).fill(0.5));

async function look(): Promise<boolean> {
  await new Promise(setImmediate);
  tidyUp();
  return observed.deref() !== undefined;
}

let megabytes: number[][] | null = four();
const observed = new WeakRef(megabytes);
const used = await look();
megabytes = null;
const useless = await look();
const others = four();
const uselessWithOthers = await look();
process.stdout.write(JSON.stringify({ used, useless, uselessWithOthers, others: others.length }));
