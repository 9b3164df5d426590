/**
 * A process that carries frames between the two tap devices in TAPS, each `argv[2]` milliseconds later; of a hundred it
 * loses `argv[3]`.
 */
import { read, writeSync } from 'node:fs';

const FRAME_MAX_BYTES = 2_048;
/** What the kernel says of a device that is not up. */
const DOWN = 'EIO';
const RETRY_MS = 5;

const [one = -1, other = -1] = (process.env.TAPS ?? '').trim().split(' ').map(Number);
const [delayMs = 0, lossPercent = 0] = process.argv.slice(2).map(Number);
carry(one, other);
carry(other, one);
process.stdout.write('joined\n');

/** Each read is one frame. */
function carry(from: number, to: number): void {
  read(from, Buffer.allocUnsafe(FRAME_MAX_BYTES), 0, FRAME_MAX_BYTES, null, (error, length, buffer) => {
    if (error !== null) {
      if (error.code !== DOWN) throw error;
      setTimeout(carry, RETRY_MS, from, to);
      return;
    }
    if (Math.random() * 100 >= lossPercent) setTimeout(put, delayMs, to, buffer.subarray(0, length));
    carry(from, to);
  });
}

function put(to: number, frame: Buffer): void {
  try {
    writeSync(to, frame);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== DOWN) throw error;
  }
}
