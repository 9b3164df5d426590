import { identify } from 'spa-core';
import t from 'tap';
import type { Authentic } from '../src/decision/verdict.ts';
import { createReport } from '../src/report.ts';
import { addressOf, createReadableLog, messageOf, portsOf } from './gate.ts';

const source = addressOf('192.0.2.7');
const datagram = { packet: Buffer.from('a packet'), source, destination: null, forwardedFor: null };
const ownPorts = { destination: null };
const opened: Authentic = {
  id: identify('a message'),
  message: messageOf({}),
  signer: null,
  signedAtSeconds: null,
  stanzaNumber: 2,
  operatorName: null,
};

t.test('an opened door says which, for whom, until when, and who asked', async (t) => {
  const log = createReadableLog();
  const grant = {
    id: opened.id,
    address: source,
    ports: portsOf('tcp/22,udp/53'),
    timeoutSeconds: 30,
    ...ownPorts,
  };
  const signer = 'A'.repeat(40) as Authentic['signer'];
  createReport(log).granted(datagram, { ...opened, signer }, grant, Date.UTC(2026, 1, 3, 4, 5, 6));
  t.equal(
    log.lines.at(-1),
    `info: opened tcp/22,udp/53 for 192.0.2.7, 30 s until 04:05:06 UTC: user alice, signed by ${signer}, stanza #2, packet ${opened.id.slice(0, 16)} from 192.0.2.7`,
  );
});

t.test('each denial says why', async (t) => {
  const log = createReadableLog();
  const report = createReport(log);
  report.denied(datagram, opened, 'user', 'bob');
  report.outdated(datagram, opened, 500);
  report.outdated(datagram, opened, -500);
  report.notClaimed(datagram, opened, 'replayed');
  report.notClaimed(datagram, opened, 'before-floor');
  report.failed(datagram, opened, new Error('nft: no such table (status 1)'));
  const ours = log.lines.filter((line) => / (denied|could not open) /.test(line));
  t.match(ours, [
    /^warning: denied tcp\/22 for its source: .*REQUIRE_USERNAME.*; user alice, stanza #2/,
    /^warning: denied .*: it is 500 s old, check both clocks; user alice/,
    /^warning: denied .*: it is 500 s ahead/,
    /^warning: denied .*: replay: this message was accepted before; user alice/,
    /^warning: denied .*send a new one; user alice/,
    /^error: could not open tcp\/22 for its source: nft: no such table \(status 1\); user alice/,
  ]);
});

t.test(
  'of a flood of junk twenty packets have a line, the rest is summed up by what was wrong',
  async (t) => {
    const log = createReadableLog();
    const report = createReport(log);
    for (let i = 0; i < 50; i++) report.ignored(source, 1, i < 40 ? 'hmac' : 'overload', 'no good');
    t.equal(log.lines.length, 20);
    t.equal(log.lines[0], 'warning: [192.0.2.7] (stanza #1) Error creating fko context: no good (hmac)');
    report.summarize();
    t.same(log.lines.slice(20), ['info: ignored 30 more packets: hmac 20, overload 10']);
    t.equal(log.debugLines.length, 30, 'with --verbose each has a line');
  },
);

t.test('a packet that was caught and is sent again and again fills no log', async (t) => {
  const log = createReadableLog();
  const report = createReport(log);
  for (let i = 0; i < 100; i++) report.notClaimed(datagram, opened, 'replayed');
  for (let i = 0; i < 100; i++) report.outdated(datagram, opened, 300);
  for (let i = 0; i < 100; i++) report.failed(datagram, opened, new Error('no space left'));
  t.equal(log.events.length, 20);
  report.denied(datagram, opened, 'user', 'bob');
  t.match(log.lines.at(-1), /^warning: denied/, 'what was never seen before still has its line');
  report.summarize();
  t.equal(log.lines.at(-1), 'warning: denied 280 more packets: replayed 80, outdated 100, failed 100');
  t.equal(log.events.length, 22);
});

t.test('junk does not hide what is authentic', async (t) => {
  const log = createReadableLog();
  const report = createReport(log);
  for (let i = 0; i < 100; i++) report.ignored(source, 1, 'hmac', 'no good');
  report.notClaimed(datagram, opened, 'replayed');
  t.match(log.lines[20], /Replay/);
});

t.test('a new period has new lines, and one without packets has none', async (t) => {
  const log = createReadableLog();
  const report = createReport(log);
  for (let i = 0; i < 21; i++) report.ignored(source, 1, 'hmac', 'no good');
  report.summarize();
  report.ignored(source, 1, 'hmac', 'no good');
  report.summarize();
  report.summarize();
  t.equal(log.lines.length, 22);
  t.match(log.lines[20], /1 more packets/);
});

t.test('what the kernel dropped is summed up by reason, and a full buffer is a warning', async (t) => {
  const log = createReadableLog();
  const report = createReport(log);
  report.lost('rate', 100);
  report.lost('length', 0);
  report.summarize();
  report.lost('receive-buffer', 5);
  report.lost('rate', 2);
  report.lost('receive-buffer', 1);
  report.summarize();
  report.summarize();
  t.same(log.lines, [
    'info: the kernel dropped 100 packets: rate 100',
    'warning: the kernel dropped 8 packets: receive-buffer 6, rate 2',
  ]);
});

t.test('everything is counted from the start, whether it had a line or not', async (t) => {
  const report = createReport(createReadableLog());
  const grant = { id: opened.id, address: source, ports: portsOf('tcp/22'), timeoutSeconds: 30, ...ownPorts };
  report.granted(datagram, opened, grant, 0);
  report.denied(datagram, opened, 'user', 'bob');
  for (let i = 0; i < 50; i++) report.ignored(source, 1, 'hmac', 'no good');
  report.summarize();
  report.ignored(source, 1, 'hmac', 'no good');
  report.ignored(source, 1, 'budget', 'no good');
  report.notClaimed(datagram, opened, 'replayed');
  t.same(report.counters(), [
    { what: 'opened', count: 1 },
    { what: 'denied: user', count: 1 },
    { what: 'denied: replayed', count: 1 },
    { what: 'ignored: hmac', count: 51 },
    { what: 'ignored: budget', count: 1 },
  ]);
});
