import fc from 'fast-check';
import { type IpAddress, parseIpAddress } from 'spa-core';
import t from 'tap';
import { isKnownLinkType, readFrame, type Segment } from '../src/transport/frame.ts';
import { ethernet, type FramePlan, ipv4, ipv6, tcp, udp, words } from './frames.ts';
import { addressOf } from './gate.ts';

const ETHERNET = 1;
const RAW = 101;
const [IPV4, IPV6] = [0x0800, 0x86dd];
const [TCP, UDP, ICMP] = [6, 17, 1];

const plan4: FramePlan = {
  source: addressOf('192.0.2.7'),
  destination: addressOf('198.51.100.1'),
  port: 62_201,
  payload: Buffer.from('a packet'),
};
const plan6 = { ...plan4, source: addressOf('2001:db8::7'), destination: addressOf('2001:db8::1') };

function found(plan: FramePlan, protocol: 'udp' | 'tcp' = 'udp', isSyn = false): Segment {
  const { source, destination, port, payload } = plan;
  return { protocol, source, destination, destinationPort: port, isSyn, payload };
}

t.test('a datagram is found behind every head that it may have', async (t) => {
  const packet4 = ipv4(plan4, UDP, udp(plan4));
  const packet6 = ipv6(plan6, UDP, udp(plan6));
  const cooked = Buffer.concat([Buffer.alloc(14), words([IPV4]), packet4]);
  const cooked2 = Buffer.concat([words([IPV4]), Buffer.alloc(18), packet4]);
  const cookedTagged = Buffer.concat([Buffer.alloc(14), words([0x8100, 7, IPV4]), packet4]);
  const hopByHop = Buffer.from([UDP, 1, ...new Array<number>(14).fill(0)]);
  const rows: readonly (readonly [string, number, Buffer, FramePlan])[] = [
    ['Ethernet', ETHERNET, ethernet(IPV4, packet4), plan4],
    [
      'Ethernet, filled up to 60 octets and more',
      ETHERNET,
      ethernet(IPV4, Buffer.concat([packet4, Buffer.alloc(9)])),
      plan4,
    ],
    ['a VLAN', ETHERNET, ethernet(IPV4, packet4, [0x8100]), plan4],
    ['a VLAN in a VLAN', ETHERNET, ethernet(IPV6, packet6, [0x88a8, 0x8100]), plan6],
    ['IPv4 options', ETHERNET, ethernet(IPV4, ipv4(plan4, UDP, udp(plan4), { options: 40 })), plan4],
    ['IPv6', ETHERNET, ethernet(IPV6, packet6), plan6],
    ['IPv6 extensions', RAW, ipv6(plan6, 0, udp(plan6), hopByHop), plan6],
    [
      'an IPv6 fragment that is the whole',
      RAW,
      ipv6(plan6, 44, udp(plan6), Buffer.from([UDP, 0, 0, 0, 1, 2, 3, 4])),
      plan6,
    ],
    ['Linux cooked', 113, cooked, plan4],
    ['Linux cooked, a VLAN', 113, cookedTagged, plan4],
    ['Linux cooked, second version', 276, cooked2, plan4],
    ['raw IP, version 4', RAW, packet4, plan4],
    ['raw IP, version 6', 12, packet6, plan6],
    ['BSD loopback', 0, Buffer.concat([Buffer.from([2, 0, 0, 0]), packet4]), plan4],
  ];
  for (const [name, linkType, frame, plan] of rows) {
    t.ok(isKnownLinkType(linkType), name);
    t.same(readFrame(linkType, frame), found(plan), name);
  }
});

t.test('a segment with data is found, also one that begins a connection; one without is not', async (t) => {
  t.same(readFrame(RAW, ipv4(plan4, TCP, tcp(plan4))), found(plan4, 'tcp'));
  t.same(readFrame(RAW, ipv6(plan6, TCP, tcp(plan6, { flags: 2, options: 0 }))), found(plan6, 'tcp', true));
  t.equal(readFrame(RAW, ipv4(plan4, TCP, tcp({ ...plan4, payload: Buffer.alloc(0) }))), null);
});

t.test('what is nothing for us is passed over', async (t) => {
  const datagram = udp(plan4);
  const longer = Buffer.from(datagram);
  longer.writeUInt16BE(datagram.length + 1, 4);
  const from = (source: string): Buffer => ipv4({ ...plan4, source: source as IpAddress }, UDP, datagram);
  const rows: readonly (readonly [string, number, Buffer])[] = [
    ['ICMP', RAW, ipv4(plan4, ICMP, datagram)],
    ['ARP', ETHERNET, ethernet(0x0806, ipv4(plan4, UDP, datagram))],
    ['a first fragment', RAW, ipv4(plan4, UDP, datagram, { fragment: 0x2000 })],
    ['a later fragment', RAW, ipv4(plan4, UDP, datagram, { fragment: 0x0001 })],
    ['a first fragment of IPv6', RAW, ipv6(plan6, 44, udp(plan6), Buffer.from([UDP, 0, 0, 1, 1, 2, 3, 4]))],
    ['an empty datagram', RAW, ipv4(plan4, UDP, udp({ ...plan4, payload: Buffer.alloc(0) }))],
    ['a datagram that says to be longer than it is', RAW, ipv4(plan4, UDP, longer)],
    ['what was cut off while capturing', RAW, ipv4(plan4, UDP, datagram).subarray(0, -1)],
    ['a source of nobody', RAW, from('0.0.0.0')],
    ['a source of many', RAW, from('224.0.0.1')],
    ['a broadcast source', RAW, from('255.255.255.255')],
    [
      'an IPv6 source that spells an IPv4 one',
      RAW,
      ipv6({ ...plan6, source: '::ffff:c000:207' as IpAddress }, UDP, udp(plan6)),
    ],
    [
      'more tags than anybody uses',
      ETHERNET,
      ethernet(IPV4, ipv4(plan4, UDP, datagram), new Array<number>(5).fill(0x8100)),
    ],
    ['a link that is not known', 105, ipv4(plan4, UDP, datagram)],
    ['nothing', ETHERNET, Buffer.alloc(0)],
  ];
  for (const [name, linkType, frame] of rows) t.equal(readFrame(linkType, frame), null, name);
});

t.test('any bytes give a segment that lies within them, or nothing', async (t) => {
  const whole = [
    ethernet(IPV4, ipv4(plan4, UDP, udp(plan4), { options: 4 }), [0x8100]),
    ethernet(IPV6, ipv6(plan6, 0, tcp(plan6), Buffer.from([TCP, 0, 0, 0, 0, 0, 0, 0]))),
  ];
  const frame = fc.oneof(
    fc.uint8Array({ maxLength: 120 }).map((array) => Buffer.from(array)),
    fc
      .tuple(fc.constantFrom(...whole), fc.nat(), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
      .map(([bytes, length, changes]) => {
        const spoilt = Buffer.from(bytes.subarray(0, bytes.length - (length % 40)));
        for (const [at, value] of changes) spoilt[at % spoilt.length] = value;
        return spoilt;
      }),
  );
  fc.assert(
    fc.property(fc.constantFrom(0, 1, 12, 101, 113, 228, 229, 276), frame, (linkType, bytes) => {
      const segment = readFrame(linkType, bytes);
      if (segment === null) return true;
      const { source, destination, payload } = segment;
      return (
        payload.length > 0 &&
        payload.length <= bytes.length - 8 &&
        parseIpAddress(source) === source &&
        parseIpAddress(destination) === destination
      );
    }),
    { numRuns: 3_000 },
  );
  t.pass('held for every frame');
});
