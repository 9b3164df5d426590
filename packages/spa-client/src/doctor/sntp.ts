import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';

/** What a time server answered. */
export interface ClockReading {
  /** This machine's clock minus the server's. Negative: this machine is behind. */
  readonly aheadMs: number;
  /** How long the answer took: the reading is no better than half of it. */
  readonly roundTripMs: number;
}

/**
 * Asks one address for the time (SNTP, RFC 4330, with packets of RFC 5905). Null: no answer of use within `limitMs`.
 *
 * The question holds a random number where a time might be, and an answer has to repeat it: nobody who does not see the
 * question can answer it. `nowMs` is the clock that is asked about.
 */
export function askClock(
  server: { readonly address: string; readonly port: number },
  limitMs: number,
  nowMs: () => number = Date.now,
): Promise<ClockReading | null> {
  const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4');
  const cookie = randomBytes(8);
  return new Promise((resolve) => {
    const end = (reading: ClockReading | null): void => {
      clearTimeout(timer);
      socket.close();
      resolve(reading);
    };
    const timer = setTimeout(end, limitMs, null);
    socket.once('error', () => end(null));
    // Without a callback: it would hear the error too.
    socket.connect(server.port, server.address);
    socket.once('connect', () => {
      const sentAt = nowMs();
      const startedAt = performance.now();
      socket.send(question(cookie));
      socket.on('message', (answer) => {
        const roundTripMs = performance.now() - startedAt;
        const times = parseAnswer(answer, cookie);
        if (times === null) return;
        const middle = (times.receivedMs + times.sentMs) / 2;
        end({ aheadMs: sentAt + roundTripMs / 2 - middle, roundTripMs });
      });
    });
  });
}

const LENGTH = 48;
/** Leap indicator 0, version 4, mode 3 (client). */
const CLIENT = 0x23;
const MODE_SERVER = 4;
/** Leap indicator of a server that does not know the time itself. */
const UNSYNCHRONIZED = 3;
/** Stratum 0 is a "kiss of death", 16 and above are not synchronized. */
const STRATUM_MAX = 15;
/** Seconds from 1900 to 1970, and how long the 32 bits last. */
const EPOCH = 2_208_988_800;
const ERA = 2 ** 32;

function question(cookie: Buffer): Buffer {
  const packet = Buffer.alloc(LENGTH);
  packet[0] = CLIENT;
  cookie.copy(packet, 40);
  return packet;
}

/** When the server received and answered, in milliseconds since 1970; null: no answer to our question, or of no use. */
function parseAnswer(
  packet: Buffer,
  cookie: Buffer,
): { readonly receivedMs: number; readonly sentMs: number } | null {
  if (packet.length < LENGTH) return null;
  const first = packet.readUInt8(0);
  const stratum = packet.readUInt8(1);
  if ((first & 7) !== MODE_SERVER || first >> 6 === UNSYNCHRONIZED) return null;
  if (stratum < 1 || stratum > STRATUM_MAX) return null;
  if (!packet.subarray(24, 32).equals(cookie)) return null;
  return { receivedMs: readTime(packet, 32), sentMs: readTime(packet, 40) };
}

/** Without the first bit it is a time after 2036 (RFC 4330 section 3). */
function readTime(packet: Buffer, at: number): number {
  const seconds = packet.readUInt32BE(at);
  const fraction = packet.readUInt32BE(at + 4) / ERA;
  return ((seconds < ERA / 2 ? seconds + ERA : seconds) + fraction - EPOCH) * 1000;
}
