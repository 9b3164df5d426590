import { isIPv4, isIPv6 } from 'node:net';
import * as fc from 'fast-check';
import { networkContains, parseIpAddress, parseIpNetwork, readIpAddress } from 'spa-core';
import t from 'tap';
import { parseRequest } from '../src/request.ts';

t.test('addresses have one spelling', async (t) => {
  const spellings: readonly (readonly [string, string | null])[] = [
    ['10.1.2.3', '10.1.2.3'],
    ['010.1.2.3', null],
    ['10.1.2', null],
    ['10.1.2.256', null],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['64:ff9b::10.1.2.3', '64:ff9b::a01:203'],
    ['1::2::3', null],
    ['1:2:3:4:5:6:7', null],
    ['1:2:3:4:5:6:7:8:9', null],
    ['1:2:3:4:5:6:7::8', null],
    ['10.1.2.3::1', null],
    ['fe80::1%eth0', null],
    [':::', null],
    ['', null],
    [':', null],
  ];
  for (const [text, expected] of spellings) t.equal(parseIpAddress(text), expected, text);
});

t.test('every address that Node knows is read, and reading it again changes nothing', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const address = parseIpAddress(text);
        return (
          address !== null && parseIpAddress(address) === address && (isIPv4(address) || isIPv6(address))
        );
      }),
    ),
  );
});

t.test('no text that Node does not take for an address is read', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789abcf:.:/%'), maxLength: 20 }), (text) => {
        return parseIpAddress(text) === null || isIPv4(text) || isIPv6(text);
      }),
      { numRuns: 2000 },
    ),
  );
});

t.test('octets of a header are the address that they spell', async (t) => {
  const groups = (bytes: Uint8Array): string =>
    Array.from({ length: 8 }, (_, i) =>
      Buffer.from(bytes)
        .readUInt16BE(2 * i)
        .toString(16),
    ).join(':');
  const octet = fc.oneof(fc.constant(0), fc.nat(255));
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.nat(9), (bytes, at) => {
      const text = readIpAddress(Buffer.concat([Buffer.alloc(at, 7), bytes]), at, 4);
      return text === bytes.join('.') && parseIpAddress(text) === text;
    }),
  );
  fc.assert(
    fc.property(fc.array(octet, { minLength: 16, maxLength: 16 }), fc.nat(9), (octets, at) => {
      const bytes = Uint8Array.from(octets);
      const text = readIpAddress(Buffer.concat([Buffer.alloc(at, 7), bytes]), at, 6);
      return text === parseIpAddress(groups(bytes));
    }),
  );
  const mapped = Buffer.from('00000000000000000000ffff0a010203', 'hex');
  t.equal(readIpAddress(mapped, 0, 6), '10.1.2.3');
});

t.test('a network contains what shares its prefix, in its own family', async (t) => {
  const contains = (network: string, address: string): boolean => {
    const parsed = parseIpNetwork(network);
    const candidate = parseIpAddress(address);
    return parsed !== null && candidate !== null && networkContains(parsed, candidate);
  };
  t.ok(contains('10.0.0.0/8', '10.255.0.1'));
  t.notOk(contains('10.0.0.0/8', '11.0.0.1'));
  t.ok(contains('0.0.0.0/0', '1.2.3.4'));
  t.notOk(contains('0.0.0.0/0', '::1'));
  t.ok(contains('2001:db8::/33', '2001:db8:7fff::1'));
  t.notOk(contains('2001:db8::/33', '2001:db8:8000::1'));
  t.ok(contains('192.0.2.7', '192.0.2.7'));
  t.equal(parseIpNetwork('10.0.0.0/33'), null);
  t.equal(parseIpNetwork('10.0.0.0/08'), null);
  t.equal(parseIpNetwork('::/129'), null);
});

t.test('an access request has one spelling', async (t) => {
  t.ok(parseRequest('access', '2001:db8::1,tcp/22', null));
  for (const text of [
    '2001:DB8::1,tcp/22',
    '::ffff:10.1.2.3,tcp/22',
    '10.1.2.3,tcp/22,',
    '10.1.2.3',
    '10.1.2.3,TCP/22',
  ]) {
    t.equal(parseRequest('access', text, null), null, text);
  }
});
