import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { type OwnAddressOptions, ownAddress, type Resolvers, resolversOf } from '../src/index.ts';

const CLIENT = fileURLToPath(new URL('../src/bin/spa-client.cjs', import.meta.url));
const OWN = '198.51.100.7';

const folder = mkdtempSync(join(tmpdir(), 'spa-own-address-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

interface Certificate {
  readonly file: string;
  readonly key: string;
  readonly cert: string;
}

function makeCertificate(name: string, alternativeNames: string): Certificate {
  const [keyFile, file] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
  const request = ['req', '-x509', '-nodes', '-days', '2', '-subj', '/CN=resolver', '-keyout', keyFile];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  execFileSync(
    'openssl',
    [...request, ...key, '-out', file, '-addext', `subjectAltName=${alternativeNames}`],
    { stdio: 'ignore' },
  );
  return { file, key: readFileSync(keyFile, 'utf8'), cert: readFileSync(file, 'utf8') };
}

interface Listening {
  readonly url: string;
  /** Header fields of the requests so far. */
  readonly heard: readonly Readonly<Record<string, unknown>>[];
}

type Way = { readonly certificate: Certificate; readonly host?: string } | { readonly plain: true };

/** A resolver that answers with a body, or as the function does. */
async function resolver(t: Test, answer: string | RequestListener, way: Way): Promise<Listening> {
  const heard: Readonly<Record<string, unknown>>[] = [];
  const listener: RequestListener = (request, response) => {
    heard.push({ ...request.headers, from: request.socket.remoteAddress });
    if (typeof answer === 'string') response.end(answer);
    else answer(request, response);
  };
  const isPlain = 'plain' in way;
  const server = isPlain ? createHttpServer(listener) : createHttpsServer(way.certificate, listener);
  const host = (isPlain ? undefined : way.host) ?? '127.0.0.1';
  // Whoever looks at a certificate and goes away is none of the server's errors.
  server.on('tlsClientError', () => {});
  server.listen(0, host);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `${isPlain ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}/`,
    heard,
  };
}

/** Accepts connections and says nothing. */
async function silence(t: Test): Promise<string> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => sockets.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, 'listening');
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

function resolvers(...urls: readonly string[]): Resolvers {
  return { urls, userAgent: 'test', mayBePrivate: true };
}

t.test('own address', { skip: lackingPrograms('openssl') }, async (t) => {
  const certificate = makeCertificate('good', 'IP:127.0.0.1,IP:::1');
  const ask = (
    urls: readonly string[],
    more: Partial<OwnAddressOptions> = {},
  ): ReturnType<typeof ownAddress> =>
    ownAddress({ resolvers: resolvers(...urls), family: 4, ca: certificate.cert, ...more });
  const https = (t: Test, answer: string | RequestListener): Promise<Listening> =>
    resolver(t, answer, { certificate });

  t.test('one resolver is believed, and says it with or without white space', async (t) => {
    for (const body of [OWN, `${OWN}\n`, `\r\n ${OWN}\r\n`]) {
      t.equal(await ask([(await https(t, body)).url]), OWN);
    }
  });

  t.test('the majority is believed, and the slowest is not waited for', async (t) => {
    const notes: string[] = [];
    const urls = [
      await silence(t),
      (await https(t, OWN)).url,
      (await https(t, '192.0.2.1')).url,
      await silence(t),
      (await https(t, OWN)).url,
      (await https(t, OWN)).url,
      (await https(t, OWN)).url,
    ];
    t.equal(await ask(urls, { limitMs: 600_000, note: (line) => notes.push(line) }), OWN);
    t.same(notes, [`${OWN} is your address: 4 of 7 asked say so`]);
  });

  t.test('without a majority there is no address, and the error says who said what', async (t) => {
    const a = (await https(t, '192.0.2.1')).url;
    const b = (await https(t, OWN)).url;
    const c = await silence(t);
    const error = await t.rejects(ask([a, b], { limitMs: 600_000 }), { name: 'SendError' });
    t.ok(error);
    const both = await ask([a, b]).catch((error: Error) => error.message);
    t.match(both, `${a} says 192.0.2.1`);
    t.match(both, `${b} says ${OWN}`);
    t.match(both, /; 2 must agree; write ALLOW_IP ADDRESS, or ALLOW_IP source$/);
    const late = await ask([b, c], { limitMs: 300 }).catch((error: Error) => error.message);
    t.match(late, `${b} says ${OWN}`);
    t.match(late, `${c} did not answer within 0.3 s`);
  });

  t.test('when no majority can come any more, nobody is waited for', async (t) => {
    const bad = (await https(t, 'no')).url;
    const worse = (await https(t, 'neither')).url;
    const silent = await silence(t);
    const message = await ask([bad, silent, worse], { limitMs: 600_000 }).catch(
      (error: Error) => error.message,
    );
    t.match(message, `${silent} was not waited for`);
  });

  t.test('what is no answer is told in a few words', async (t) => {
    const table: readonly (readonly [string, string | RequestListener, string | RegExp])[] = [
      ['garbage', '<b>\u001b[31m</b>', 'says "<b>?[31m</b>", which is no IPv4 address'],
      ['two addresses', `${OWN}, 192.0.2.1`, `says "${OWN}, 192.0.2.1", which is no IPv4 address`],
      ['the other family', '2001:db8::1', 'says "2001:db8::1", which is no IPv4 address'],
      ["nobody's address", '0.0.0.0', "says 0.0.0.0, which is nobody's address"],
      ['a page', `${OWN}\n${' '.repeat(10_000)}`, 'answered with a page (more than 256 bytes)'],
      [
        'an endless page',
        (_request, response) => {
          const more = (): boolean => response.write(' '.repeat(10_000), () => setImmediate(more));
          more();
        },
        'answered with a page (more than 256 bytes)',
      ],
      ['nothing', '', 'says "", which is no IPv4 address'],
      ['a failure', (_request, response) => response.writeHead(403).end(OWN), 'answered with status 403'],
      ['an end', (request) => request.socket.destroy(), /failed \(ECONNRESET\)|ended the connection/],
      [
        'a cut',
        (_request, response) => {
          response.writeHead(200, { 'content-length': 99 }).write(OWN, () => response.destroy());
        },
        /failed \(\w+\)|ended the connection/,
      ],
      [
        'another protocol',
        (_request, response) => response.writeHead(101, { upgrade: 'x', connection: 'upgrade' }).end(),
        /failed \(\w+\)|ended the connection/,
      ],
    ];
    for (const [name, answer, problem] of table) {
      const { url } = await https(t, answer);
      const message = await ask([url]).catch((error: Error) => error.message);
      t.match(message, problem, name);
      t.match(message, `your own address is not known: ${url} `, name);
    }
  });

  t.test('a redirection is not followed', async (t) => {
    const elsewhere = await https(t, OWN);
    const { url } = await https(t, (_request, response) =>
      response.writeHead(302, { location: elsewhere.url }).end(),
    );
    await t.rejects(ask([url]), { message: `${url} answered with a redirection (302)` });
    t.same(elsewhere.heard, []);
  });

  t.test('a certificate that is not trusted, or another host’s, is refused', async (t) => {
    const { url } = await https(t, OWN);
    const other = makeCertificate('other', 'IP:127.0.0.9');
    await t.rejects(ownAddress({ resolvers: resolvers(url), family: 4 }), {
      message: `${url} has a certificate that is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)`,
    });
    const wrong = await resolver(t, OWN, { certificate: other });
    await t.rejects(ask([wrong.url], { ca: other.cert }), {
      message: `${wrong.url} has a certificate that is not trusted (ERR_TLS_CERT_ALTNAME_INVALID)`,
    });
    t.same(wrong.heard, []);
    const plain = await resolver(t, OWN, { plain: true });
    await t.rejects(ask([plain.url.replace('http', 'https')]), { message: / failed \(\w+\)/ });
  });

  t.test(
    'it is asked in the family in which the bastion is reached, and from the same address',
    async (t) => {
      const six = await resolver(t, '2001:DB8:0::7\n', { certificate, host: '::1' });
      const four = await https(t, OWN);
      t.equal(await ask([six.url], { family: 6, towards: '::1' }), '2001:db8::7');
      t.equal(await ask([four.url], { family: 4, towards: '127.0.0.1' }), OWN);
      t.match(six.heard, [{ from: '::1' }]);
      await t.rejects(ask([six.url], { family: 4 }), { message: `${six.url} has no IPv4 address` });
      await t.rejects(ask([four.url], { family: 6 }), { message: `${four.url} has no IPv6 address` });
      await t.rejects(ask(['https://nowhere.invalid/?token=secret']), {
        message: /: https:\/\/nowhere\.invalid\/ (has no IPv4 address|failed \(EAI_AGAIN\));/,
      });
    },
  );

  t.test('a private address is believed only from a resolver that the user named', async (t) => {
    for (const [family, private_] of [
      [4, '10.0.0.7'],
      [4, '100.64.0.7'],
      [4, '192.168.0.7'],
      [6, 'fd00::7'],
      [6, '2001:db8::7'],
    ] as const) {
      const host = family === 4 ? '127.0.0.1' : '::1';
      const { url } = await resolver(t, private_, { certificate, host });
      t.equal(await ask([url], { family }), private_);
      const named = { ...resolvers(url), mayBePrivate: false };
      await t.rejects(ask([], { family, resolvers: named }), {
        message: `says ${private_}, which is no public address`,
      });
    }
    const { url } = await resolver(t, '2600::7', { certificate, host: '::1' });
    t.equal(await ask([], { family: 6, resolvers: { ...resolvers(url), mayBePrivate: false } }), '2600::7');
  });

  t.test('a resolver learns the user agent and nothing else', async (t) => {
    const { url, heard } = await https(t, OWN);
    await ask([url, url.slice(0, -1)]);
    t.same(Object.keys(heard[0] ?? {}).sort(), ['accept', 'connection', 'from', 'host', 'user-agent']);
    t.match(heard[0], { 'user-agent': 'test' });
  });

  t.test('spa-client asks the resolvers that it is told, as a real process', async (t) => {
    const client = async (
      ...argv: readonly string[]
    ): Promise<{ code: number; out: string; err: string }> => {
      const child = spawn(process.execPath, [CLIENT, '--rc-file', rc, '-A', 'tcp/22', '--stdin', ...argv], {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate.file, LOGNAME: 'alice' },
      });
      t.teardown(() => child.kill('SIGKILL'));
      child.stdin.end('key\n');
      const [out, err] = await Promise.all([
        child.stdout.toArray().then((chunks: Buffer[]) => chunks.join('')),
        child.stderr.toArray().then((chunks) => chunks.join('')),
        once(child, 'close'),
      ]);
      return { code: child.exitCode ?? -1, out, err };
    };
    const rc = join(folder, 'rc');
    const four = await https(t, OWN);
    const six = await resolver(t, '2001:db8::7', { certificate, host: '::1' });
    const plain = await resolver(t, OWN, { plain: true });
    writeFileSync(rc, `[x]\nRESOLVE_IP_HTTPS Y\nRESOLVE_URL ${four.url}\n`, { mode: 0o600 });
    const [a, b, c, d, e] = await Promise.all([
      client('-T', '-v', '-R', '-u', 'agent 7', '--resolve-url', four.url),
      client('-T', '--resolve-ip-http', '-w', '/none', '-D', '::1', '--resolve-url', six.url),
      client('-T', '-R', '--resolve-http-only', '--resolve-url', plain.url),
      client('-R', '-D', '::1', '--resolve-url', `${four.url},${six.url}`),
      client('-T', '-n', 'x'),
    ]);
    t.match(a, { code: 0, out: `Message String: ${OWN},tcp/22`, err: `${OWN} is your address` });
    t.ok(four.heard.some((headers) => headers['user-agent'] === 'agent 7'));
    t.match(b, { code: 0, out: 'Message String: 2001:db8::7,tcp/22', err: /^$/ });
    t.match(c, { code: 0, out: `Message String: ${OWN},tcp/22` });
    t.match(e, { code: 0, out: `Message String: ${OWN},tcp/22`, err: /^$/ });
    t.match(d, {
      code: 1,
      out: /^$/,
      err: `spa-client: your own address is not known: ${four.url} has no IPv6`,
    });
  });
});

t.test('resolvers are those of the settings, else well-known ones of several operators', async (t) => {
  const defaults = resolversOf({});
  t.ok(defaults.urls.length >= 3);
  t.equal(new Set(defaults.urls.map((url) => new URL(url).hostname)).size, defaults.urls.length);
  t.ok(defaults.urls.every((url) => url.startsWith('https://')));
  t.match(defaults, { userAgent: 'spa-client', mayBePrivate: false });
  t.same(resolversOf({ resolveUrls: ['https://a/'], httpUserAgent: 'b' }), {
    urls: ['https://a/'],
    userAgent: 'b',
    mayBePrivate: true,
  });
});

t.test('plain HTTP is asked only where the user wrote both http:// and that he wants it', async (t) => {
  const plain = { resolveUrls: ['http://a/'] };
  t.throws(() => resolversOf(plain), { name: 'UsageError', message: /^http:\/\/a\/: on plain HTTP anybody/ });
  t.same(resolversOf({ ...plain, resolveHttpOnly: true }).urls, ['http://a/']);
  for (const settings of [{}, { resolveUrls: ['http://a/', 'https://b/'] }]) {
    t.throws(() => resolversOf({ ...settings, resolveHttpOnly: true }), {
      name: 'UsageError',
      message: /contradicts --resolve-http-only/,
    });
  }
});
