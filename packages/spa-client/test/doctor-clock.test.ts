import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { formatDuration } from '../src/doctor/finding.ts';
import { ntpServersIn, systemNtpServers } from '../src/doctor/ntp-servers.ts';
import { askClock } from '../src/doctor/sntp.ts';
import { examine, file, folder, only, timeServer } from './doctor-support.ts';

const skip = lackingPrograms('ssh');
const LIMIT_MS = 5_000;

async function ask(port: number, limitMs = LIMIT_MS): ReturnType<typeof askClock> {
  return askClock({ address: '127.0.0.1', port }, limitMs);
}

function rcFile(t: Test, lines = ''): string {
  return file(folder(t), 'rc', `[x]\nSPA_SERVER 127.0.0.1\nKEY k\nHMAC_KEY h\n${lines}`);
}

t.test('a time server says how far this clock is ahead or behind', async (t) => {
  for (const aheadMs of [0, 250_000, -250_000, 40 * 365 * 86_400_000]) {
    const reading = await ask(await timeServer(t, aheadMs));
    t.ok(Math.abs((reading?.aheadMs ?? Number.NaN) + aheadMs) < 2_000, `${aheadMs}: ${reading?.aheadMs}`);
  }
});

t.test('an answer that is no use is no answer', async (t) => {
  const spoilt: readonly (readonly [string, (answer: Buffer) => Buffer])[] = [
    ['to another question', (answer) => answer.fill(1, 24, 32)],
    ['of a server that does not know the time', (answer) => answer.fill(0xe4, 0, 1)],
    ['a kiss of death', (answer) => answer.fill(0, 1, 2)],
    ['not synchronized', (answer) => answer.fill(16, 1, 2)],
    ['a question', (answer) => answer.fill(0x23, 0, 1)],
    ['cut short', (answer) => answer.subarray(0, 47)],
    ['empty', () => Buffer.alloc(0)],
  ];
  const readings = await Promise.all(
    spoilt.map(async ([, spoil]) => ask(await timeServer(t, 0, spoil), 300)),
  );
  for (const [index, [what]] of spoilt.entries()) t.equal(readings[index], null, what);
});

t.test('a question that nobody answers ends in time', async (t) => {
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  await once(silent, 'listening');
  t.equal(await ask(silent.address().port, 50), null);
  silent.close();
  t.equal(await ask(1, 50), null, 'a closed port');
});

t.test('the clock line', { skip }, async (t) => {
  const look = async (aheadMs: number, lines = '') => {
    const clock = { servers: [], port: await timeServer(t, aheadMs), limitMs: LIMIT_MS };
    return only(await examine(rcFile(t, lines), { clock }), 'clock');
  };
  t.match(await look(0), { state: 'ok', says: /^this machine agrees with 127\.0\.0\.1 to \d/, todo: null });
  t.match(await look(250_000), {
    state: 'bad',
    says: /^this machine is 4 min \d+ s behind 127\.0\.0\.1$/,
    todo: process.platform === 'linux' ? 'run timedatectl set-ntp true' : String,
  });
  t.match(await look(-30_000), { state: 'warn', says: /^this machine is \d+(\.\d)? s ahead of 127/ });
  t.match(await look(0, 'TIME_OFFSET 200\n'), {
    state: 'bad',
    says: /^packets are stamped 3 min 20 s ahead of 127\.0\.0\.1, with TIME_OFFSET$/,
    todo: /take it out/,
  });
  t.match(await look(200_000, 'TIME_OFFSET 200\n'), { state: 'ok', says: /with TIME_OFFSET$/ });
});

t.test('the clock line, when only another server or nobody answers', { skip }, async (t) => {
  const port = await timeServer(t, -300_000);
  const rc = file(folder(t), 'rc', '[x]\nSPA_SERVER 127.0.0.9\nKEY k\nHMAC_KEY h\n');
  const clock = { servers: ['127.0.0.1'], port, limitMs: 1_000 };
  t.match(only(await examine(rc, { clock }), 'clock'), {
    state: 'bad',
    says: /5 min ahead of 127\.0\.0\.1$/,
  });
  const nobody = only(await examine(rc, { clock: { servers: [], port: 9, limitMs: 50 } }), 'clock');
  t.match(nobody, {
    state: 'skipped',
    says: 'no time server answered within 50 ms (127.0.0.9)',
    todo: /date -u/,
  });
});

t.test('the servers of the usual configuration files', async (t) => {
  t.same(ntpServersIn('# NTP=no\n[Time]\nNTP=time1.example.com 192.0.2.1\nFallbackNTP=b.example.com\n'), [
    'time1.example.com',
    '192.0.2.1',
    'b.example.com',
  ]);
  const ntpConf = 'pool 2.debian.pool.ntp.org iburst\n server -6 2001:db8::1\n#server x\nserver 127.127.1.0';
  t.same(ntpServersIn(ntpConf), ['2.debian.pool.ntp.org', '2001:db8::1']);
  const root = folder(t);
  t.same(systemNtpServers(root), ['pool.ntp.org']);
  mkdirSync(join(root, 'etc/chrony/sources.d'), { recursive: true });
  file(root, 'etc/chrony/chrony.conf', 'server a\npool b\n');
  file(root, 'etc/chrony/sources.d/dhcp.sources', 'server c\nserver d\n');
  t.same(systemNtpServers(root), ['a', 'b', 'c']);
});

t.test('durations are said as people say them', async (t) => {
  const table: readonly (readonly [number, string])[] = [
    [3.2, '3 ms'],
    [999.7, '1 s'],
    [4_240, '4.2 s'],
    [59_990, '1 min'],
    [250_000, '4 min 10 s'],
    [11_100_000, '3 h 5 min'],
    [3 * 86_400_000, '3 days'],
  ];
  for (const [ms, text] of table) t.equal(formatDuration(ms), text);
});
