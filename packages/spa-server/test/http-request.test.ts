import fc from 'fast-check';
import t from 'tap';
import {
  type HttpRules,
  isHttpRequest,
  isWholeRequest,
  readHttpRequest,
} from '../src/transport/http-request.ts';

const STRICT: HttpRules = { anyUserAgent: false, forwardedFor: false };
const BEHIND_PROXY: HttpRules = { ...STRICT, forwardedFor: true };
const STOCK = ['User-Agent: Fwknop/2.6.10', 'Accept: */*', 'Host: bastion', 'Connection: close'];

function request(headers: readonly string[], line = 'GET /8ab-_c= HTTP/1.0'): Buffer {
  return Buffer.from([line, ...headers, '', ''].join('\r\n'), 'latin1');
}

function packetOf(bytes: Buffer, rules: HttpRules = STRICT): string | null {
  return readHttpRequest(bytes, rules)?.packet.toString() ?? null;
}

t.test("what stock fwknop sends is read, and what HEAD's does", async (t) => {
  t.equal(packetOf(request(STOCK)), '8ab+/c=');
  t.equal(packetOf(request(STOCK, 'GET /8ab-_c= HTTP/1.1')), '8ab+/c=');
  t.equal(packetOf(Buffer.from(request(STOCK).toString().replaceAll('\r', ''))), '8ab+/c=', 'without CR');
  t.ok(isHttpRequest(request(STOCK)));
  t.ok(isHttpRequest(Buffer.from('get /8ab')), 'case ignored');
  t.notOk(isHttpRequest(Buffer.from('GET http://bastion/8ab')), 'to a proxy, not to us');
  t.notOk(isHttpRequest(Buffer.from('8ab+/')));
});

t.test('a request of another kind carries no packet', async (t) => {
  const rows: readonly (readonly [string, Buffer])[] = [
    ['another program', request(['User-Agent: curl/8'])],
    ['a user agent with another case', request(['User-Agent: fwknop/2'])],
    ['no user agent', request(['Host: bastion'])],
    ['the words in another header', request(['Cookie: User-Agent: Fwknop'])],
    ['the words in the path', request([], 'GET /User-Agent:Fwknop HTTP/1.0')],
    ['another version', request(STOCK, 'GET /8ab HTTP/2.0')],
    ['a query', request(STOCK, 'GET /8ab?c HTTP/1.0')],
    ['an escape', request(STOCK, 'GET /8ab%2B HTTP/1.0')],
    ['no path', request(STOCK, 'GET / HTTP/1.0')],
    ['no version', request(STOCK, 'GET /8ab')],
    ['cut off in its line', Buffer.from('GET /8ab HTTP/1.0')],
    ['cut off in its user agent', Buffer.from('GET /8ab HTTP/1.0\r\nUser-Agent: Fwknop/2')],
  ];
  for (const [name, bytes] of rows) t.equal(packetOf(bytes), null, name);
  t.equal(packetOf(request(['User-Agent: curl/8']), { ...STRICT, anyUserAgent: true }), '8ab+/c=');
});

t.test('a single segment is enough once it has said who sends', async (t) => {
  const segment = Buffer.from('GET /8ab HTTP/1.0\r\nUser-Agent: Fwknop/2.6.10\r\nAcc');
  t.equal(packetOf(segment), '8ab');
  t.notOk(isWholeRequest(segment));
  t.ok(isWholeRequest(request(STOCK)));
  t.equal(packetOf(segment, BEHIND_PROXY), null, 'but not where a proxy may have the last word');
});

t.test('a proxy names one address, or the request is nobody’s', async (t) => {
  const named = (...headers: readonly string[]): string | null | undefined => {
    const read = readHttpRequest(request([...STOCK, ...headers]), BEHIND_PROXY);
    return read === null ? undefined : read.forwardedFor;
  };
  t.equal(named(), null, 'no proxy');
  t.equal(named('X-Forwarded-For: 192.0.2.7'), '192.0.2.7');
  t.equal(named('x-forwarded-for:  2001:DB8::7 '), '2001:db8::7');
  t.equal(named('X-Forwarded-For: 192.0.2.7, 198.51.100.1'), undefined, 'two');
  t.equal(named('X-Forwarded-For: 192.0.2.7', 'X-Forwarded-For: 192.0.2.8'), undefined, 'two headers');
  t.equal(named('X-Forwarded-For: unknown'), undefined);
  t.equal(named('X-Forwarded-For: 0.0.0.0'), undefined);
  t.equal(named('X-Forwarded-For: ::'), undefined);
  t.equal(named('X-Forwarded-For: 010.0.0.1'), undefined, 'an octal address');
  const ignored = readHttpRequest(request([...STOCK, 'X-Forwarded-For: 192.0.2.7']), STRICT);
  t.same(ignored?.forwardedFor, null, 'only where it is asked for');
});

t.test('any bytes give a packet of the alphabet, or nothing', async (t) => {
  const text = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc
      .tuple(fc.string({ maxLength: 80 }), fc.string({ maxLength: 80 }))
      .map(([path, header]) => `GET /${path} HTTP/1.0\r\nUser-Agent: Fwknop/1\r\n${header}\r\n\r\n`),
    fc.base64String({ maxLength: 80 }).map((path) => `GET /${path} HTTP/1.1\nUser-Agent: Fwknop\n\n`),
  );
  fc.assert(
    fc.property(text, fc.boolean(), fc.boolean(), (content, anyUserAgent, forwardedFor) => {
      const read = readHttpRequest(Buffer.from(content), { anyUserAgent, forwardedFor });
      return read === null || /^[A-Za-z0-9+/=]+$/.test(read.packet.toString('latin1'));
    }),
    { numRuns: 2_000 },
  );
  const slow = request([...STOCK, `X: ${' '.repeat(100_000)}x`]);
  const begun = performance.now();
  packetOf(slow);
  t.ok(performance.now() - begun < 500, 'blanks cost no time');
});
