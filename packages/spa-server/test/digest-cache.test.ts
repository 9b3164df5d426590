import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspectPacket } from 'spa-core';
import t from 'tap';
import {
  type DigestCache,
  formerPackets,
  isAmong,
  readDigestCache,
  rotateDigestCache,
  usefulSince,
} from '../src/replay/digest-cache.ts';

const HEADER = '# <digest> <proto> <src_ip> <src_port> <dst_ip> <dst_port> <time>\n';
const NOW = 1_795_361_500;
const digest = (letter: string): string => letter.repeat(43);
const line = (letter: string, seconds: number): string =>
  `${digest(letter)} 17 192.0.2.7 52771 0.0.0.0 62201 ${seconds}\n`;

t.test('its digests are those of the packets as they came', async (t) => {
  const path = new URL('../../../../test/vectors/01-cbc-digest-hmac-matrix.json', import.meta.url);
  const { vectors } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly vectors: readonly { readonly packet: string; readonly replay_digest: string }[];
  };
  t.ok(vectors.length > 10);
  for (const vector of vectors) {
    const packet = inspectPacket(Buffer.from(vector.packet));
    if (typeof packet === 'string') throw new Error(packet);
    t.ok(isAmong(new Set([vector.replay_digest]), packet));
    t.notOk(isAmong(new Set([digest('A')]), packet));
    t.notOk(isAmong(new Set(), packet));
  }
});

t.test('what may still be accepted counts, lines that are none are passed over', async (t) => {
  const read = (text: string, maxBytes: number | null = null): DigestCache | null => {
    const path = join(t.testdir({ 'digest.cache': text }), 'digest.cache');
    return readDigestCache(path, { sinceSeconds: usefulSince(NOW, 120), maxBytes });
  };
  t.same(read(`${HEADER}${line('A', NOW - 241)}${line('B', NOW - 240)}${line('C', NOW)}`), {
    packetCount: 3,
    badLineCount: 0,
    recent: new Set([digest('B'), digest('C')]),
  });
  const bad = [
    'nonsense',
    'A 17 192.0.2.7 1 0.0.0.0 2 3',
    `${digest('A')} 17 here 1 there 2 3`,
    'A'.repeat(9999),
  ];
  t.same(read(`${HEADER}${bad.join('\n')}\n${line('D', NOW)}`), {
    packetCount: 1,
    badLineCount: 4,
    recent: new Set([digest('D')]),
  });
  t.match(read(`${line('A', NOW)}${line('B', NOW)}`, line('B', NOW).length + 5), {
    packetCount: 1,
    badLineCount: 0,
    recent: new Set([digest('B')]),
  });
  t.match(read(''), { packetCount: 0 });
  t.equal(readDigestCache('/nowhere/digest.cache', { sinceSeconds: 0, maxBytes: null }), null);
  t.throws(() => readDigestCache('/', { sinceSeconds: 0, maxBytes: null }), {
    name: 'ConfigError',
    message: /^\/: cannot be read: EISDIR/,
  });
});

t.test('the daemon says what it takes over, and what it passes over', async (t) => {
  const digestFile = join(t.testdir({}), 'digest.cache');
  const lines: string[] = [];
  const tell = {
    info: (text: string) => void lines.push(`info: ${text}`),
    warning: (text: string) => void lines.push(`warning: ${text}`),
  };
  const take = (): ReadonlySet<string> => formerPackets({ digestFile, maxPacketAgeSeconds: 120 }, NOW, tell);
  t.same(take(), new Set());
  writeFileSync(digestFile, `${HEADER}junk\n${line('A', NOW - 1000)}${line('B', NOW)}`);
  t.same(take(), new Set([digest('B')]));
  t.same(lines, [
    `warning: ${digestFile}: 1 lines are none of a digest.cache, and are passed over`,
    `info: ${digestFile}: 1 packets that fwknopd took lately stay refused`,
  ]);
});

t.test('nobody who writes to a pipe is waited for', async (t) => {
  const digestFile = join(t.testdir({}), 'digest.cache');
  execFileSync('mkfifo', [digestFile]);
  t.match(readDigestCache(digestFile, { sinceSeconds: 0, maxBytes: null }), { packetCount: 0 });
});

t.test('it is put aside when that is asked for', async (t) => {
  const path = join(t.testdir({ 'digest.cache': HEADER }), 'digest.cache');
  rotateDigestCache(path);
  t.notOk(existsSync(path));
  t.ok(existsSync(`${path}-old`));
  t.doesNotThrow(() => rotateDigestCache(path));
});
