/** One captured frame. */
export interface Frame {
  /** What kind of frame it is: a LINKTYPE_ number of the pcap format. */
  readonly linkType: number;
  /** What was captured of it, maybe not all. Valid until the call that gave it returns. */
  readonly bytes: Buffer;
}

/** Why a stream is no capture, or not any more: it has to end there. */
export type PcapFault = 'magic' | 'version' | 'frame-length';

/** Reads a capture piece by piece, however it is cut. */
export interface PcapReader {
  /** The next piece. Null, or why nothing more can be read: then every later piece gives the same. */
  push(piece: Buffer): PcapFault | null;
  /** LINKTYPE_ of the frames; null until the capture's head is there. */
  readonly linkType: number | null;
}

/**
 * A reader of the pcap format (draft-ietf-opsawg-pcap): both byte orders, microseconds and nanoseconds. Any bytes give
 * frames or a fault, and never more than one frame is kept in memory.
 */
export function createPcapReader(onFrame: (frame: Frame) => void): PcapReader {
  let rest: Buffer = Buffer.alloc(0);
  let head: Head | null = null;
  let fault: PcapFault | null = null;
  const push = (piece: Buffer): PcapFault | null => {
    if (fault !== null) return fault;
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let at = 0;
    if (head === null) {
      if (bytes.length < HEAD_BYTES) return keep(bytes);
      const read = readHead(bytes);
      if (typeof read === 'string') return fail(read);
      head = read;
      at = HEAD_BYTES;
    }
    while (bytes.length - at >= FRAME_HEAD_BYTES) {
      const length = head.word(bytes, at + CAPTURED_LENGTH_AT);
      if (length > MAX_FRAME_BYTES) return fail('frame-length');
      const start = at + FRAME_HEAD_BYTES;
      if (bytes.length - start < length) break;
      onFrame({ linkType: head.linkType, bytes: bytes.subarray(start, start + length) });
      at = start + length;
    }
    return keep(bytes.subarray(at));
  };
  /** A copy: what is left over of a piece would hold all of it. */
  const keep = (bytes: Buffer): null => {
    rest = Buffer.from(bytes);
    return null;
  };
  const fail = (why: PcapFault): PcapFault => {
    fault = why;
    rest = Buffer.alloc(0);
    return why;
  };
  return {
    push,
    get linkType() {
      return head?.linkType ?? null;
    },
  };
}

interface Head {
  readonly linkType: number;
  /** Reads 32 bits in the order of the host that captured. */
  word(bytes: Buffer, at: number): number;
}

const HEAD_BYTES = 24;
const FRAME_HEAD_BYTES = 16;
const CAPTURED_LENGTH_AT = 8;
const LINK_TYPE_AT = 20;
/** The upper bits tell of checksums at the ends of frames. */
const LINK_TYPE_MASK = 0x03ff_ffff;
/** No libpcap captures more of one frame. */
const MAX_FRAME_BYTES = 262_144;
/** The format's only version, 2.4. */
const MAJOR_VERSION = 2;
const MICROSECONDS = 0xa1b2_c3d4;
const NANOSECONDS = 0xa1b2_3c4d;

function readHead(bytes: Buffer): Head | PcapFault {
  const isMagic = (word: number): boolean => word === MICROSECONDS || word === NANOSECONDS;
  const isLittle = isMagic(bytes.readUInt32LE(0));
  if (!isLittle && !isMagic(bytes.readUInt32BE(0))) return 'magic';
  const major = isLittle ? bytes.readUInt16LE(4) : bytes.readUInt16BE(4);
  if (major !== MAJOR_VERSION) return 'version';
  const word = isLittle
    ? (from: Buffer, at: number): number => from.readUInt32LE(at)
    : (from: Buffer, at: number): number => from.readUInt32BE(at);
  return { linkType: word(bytes, LINK_TYPE_AT) & LINK_TYPE_MASK, word };
}
