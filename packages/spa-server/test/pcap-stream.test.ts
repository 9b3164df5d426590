import fc from 'fast-check';
import t from 'tap';
import { createPcapReader, type PcapFault } from '../src/transport/pcap-stream.ts';
import { pcap } from './frames.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

/** What a reader makes of a stream that comes in these pieces. */
function read(pieces: readonly Buffer[]): {
  frames: readonly string[];
  linkType: number | null;
  fault: PcapFault | null;
} {
  const frames: string[] = [];
  const reader = createPcapReader((frame) => frames.push(`${frame.linkType}:${frame.bytes.toString('hex')}`));
  let fault: PcapFault | null = null;
  for (const piece of pieces) fault = reader.push(piece);
  return { frames, linkType: reader.linkType, fault };
}

function cut(stream: Buffer, at: readonly number[]): readonly Buffer[] {
  const places = [0, ...at.map((place) => place % (stream.length + 1)).sort((a, b) => a - b), stream.length];
  return places.slice(1).map((end, index) => stream.subarray(places[index], end));
}

t.test('frames come out as they went in, however the stream is cut', async (t) => {
  fc.assert(
    fc.property(
      fc.array(bytes(60), { maxLength: 6 }),
      fc.constantFrom('LE' as const, 'BE' as const),
      fc.constantFrom(0xa1b2c3d4, 0xa1b23c4d),
      fc.array(fc.nat(), { maxLength: 8 }),
      (frames, order, magic, places) => {
        const stream = pcap(113, frames, { order, magic });
        const { frames: found, linkType, fault } = read(cut(stream, places));
        return (
          fault === null &&
          linkType === 113 &&
          found.length === frames.length &&
          found.every((text, index) => text === `113:${frames[index]?.toString('hex')}`)
        );
      },
    ),
  );
  t.pass('held for every stream');
});

t.test('any bytes give frames or a fault, and a fault is the end', async (t) => {
  const spoilt = fc
    .tuple(fc.array(bytes(40), { maxLength: 4 }), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }))
    .map(([frames, changes]) => {
      const stream = pcap(1, frames);
      for (const [at, value] of changes) stream[at % stream.length] = value;
      return stream;
    });
  fc.assert(
    fc.property(fc.oneof(bytes(200), spoilt), fc.array(fc.nat(), { maxLength: 5 }), (stream, places) => {
      const whole = read([stream]);
      const pieces = read(cut(stream, places));
      const after = read([stream, pcap(1, [Buffer.from('more')])]);
      return (
        JSON.stringify(whole) === JSON.stringify(pieces) &&
        (whole.fault === null || (after.fault === whole.fault && after.frames.length === whole.frames.length))
      );
    }),
  );
  t.pass('held for every stream');
});

t.test('what is no capture is told from what is one', async (t) => {
  const stream = pcap(1, [Buffer.from('frame')]);
  t.equal(read([Buffer.from('no capture at all, but long enough')]).fault, 'magic');
  t.same(
    read([stream.subarray(0, 23)]),
    { frames: [], linkType: null, fault: null },
    'half a head says nothing',
  );
  const older = Buffer.from(stream);
  older[4] = 1;
  t.equal(read([older]).fault, 'version');
  const endless = Buffer.from(stream);
  endless.writeUInt32LE(262_145, 24 + 8);
  t.equal(read([endless]).fault, 'frame-length');
  const checked = pcap(0x1400_0001, [Buffer.from('frame')]);
  t.equal(read([checked]).linkType, 1, 'that frames end in a checksum is no kind of link');
});
