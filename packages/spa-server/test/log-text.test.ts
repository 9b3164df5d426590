import { readFileSync } from 'node:fs';
import { parseIpAddress } from 'spa-core';
import t from 'tap';
import type { LogEvent } from '../src/log/event.ts';
import { levelOf } from '../src/log/json.ts';
import { linesOf } from '../src/log/text.ts';
import { addressOf } from './gate.ts';

const fingerprint = '07982EDFCC45F6F575FBC6E3E1E57C788582F3C5';
const asked = {
  source: addressOf('192.0.2.7'),
  stanza: 2,
  username: 'alice',
  operator: null,
  fingerprint: null,
  packet: '62c7edd78ac6df1e'.repeat(4),
  request: 'tcp/22 for 192.0.2.7',
};
const door: Extract<LogEvent, { readonly event: 'granted' }> = {
  ...{ event: 'granted', ...asked, address: asked.source, ports: ['tcp/22', 'udp/53'] },
  ...{ timeoutSeconds: 30, expiresAtSeconds: 1_795_360_364, destination: null, forward: null },
};
const ran = { source: asked.source, stanza: 2, packet: asked.packet };
const who = 'user alice, stanza #2, packet 62c7edd78ac6df1e from 192.0.2.7';
const matched = 'info: (stanza #2) SPA Packet from IP: 192.0.2.7 received with access source match';

/** fwknopd's own lines were read off fwknopd 2.6.10; those that begin in lower case are ours. */
const LINES: readonly (readonly [event: LogEvent, lines: readonly string[]])[] = [
  [
    { event: 'starting', version: '1.0.0', pid: 7 },
    ['info: Starting fwknopd', 'info: this is spa-server 1.0.0 (pid=7)'],
  ],
  [
    { event: 'receiving', by: { kind: 'udp', port: 62_201 } },
    ['info: Kicking off UDP server to listen on port 62201.'],
  ],
  [
    { event: 'receiving', by: { kind: 'capture', interface: 'eth0', filter: 'udp port 62201' } },
    ['info: Sniffing interface: eth0', "info: PCAP filter is: 'udp port 62201'"],
  ],
  [
    { event: 'ready', places: ['0.0.0.0:62201', '[::]:62201'], firewall: 'nftables', stanzas: 3 },
    [
      'info: listening on 0.0.0.0:62201 and [::]:62201; firewall: nftables; 3 stanzas',
      'info: Starting fwknopd main event loop.',
    ],
  ],
  [{ event: 'signal', signal: 'SIGHUP' }, ['warning: Got SIGHUP. Re-reading configs.']],
  [{ event: 'signal', signal: 'SIGTERM' }, ['warning: Got SIGTERM. Exiting...']],
  [{ event: 'reloaded' }, ['info: Re-starting fwknopd', 'info: The new configuration is in force.']],
  [
    { event: 'reload-failed', problem: 'access.conf:6: no' },
    ['error: access.conf:6: no; the old configuration stays in force'],
  ],
  [{ event: 'failed-to-serve', problem: 'no' }, ['error: spa-server: no']],
  [{ event: 'stopped' }, ['info: Shutting Down fwknopd.']],
  [
    { event: 'configuration-warning', text: 'access.conf:1: SOURCE: no' },
    ['warning: access.conf:1: SOURCE: no'],
  ],
  [
    { ...door, fingerprint, operator: 'alice' },
    [
      matched,
      `info: [192.0.2.7] (stanza #2) Incoming SPA data signed by '8582F3C5' (fingerprint '${fingerprint}').`,
      'info: Added access rule to FWKNOP_INPUT for 192.0.2.7 -> 0.0.0.0/0 tcp/22, expires at 1795360364',
      'info: Added access rule to FWKNOP_INPUT for 192.0.2.7 -> 0.0.0.0/0 udp/53, expires at 1795360364',
      `info: opened tcp/22,udp/53 for 192.0.2.7, 30 s until 15:12:44 UTC: user alice, operator alice, signed by ${fingerprint}, stanza #2, packet 62c7edd78ac6df1e from 192.0.2.7`,
    ],
  ],
  [
    { ...door, address: addressOf('2001:db8::7'), ports: ['tcp/22'] },
    [
      matched,
      'info: Added access rule to FWKNOP_INPUT for 2001:db8::7 -> ::/0 tcp/22, expires at 1795360364',
      `info: opened tcp/22 for 2001:db8::7, 30 s until 15:12:44 UTC: ${who}`,
    ],
  ],
  [
    {
      ...{ ...door, ports: ['tcp/22'], destination: parseIpAddress('203.0.113.1') },
      forward: {
        kind: 'nat',
        target: { address: addressOf('10.0.0.5'), port: 22 },
        translates: true,
        sourceAs: 'masquerade',
        all: false,
      },
    },
    [
      matched,
      'info: Added FORWARD rule to FWKNOP_FORWARD for 192.0.2.7 -> 203.0.113.1 tcp/22, expires at 1795360364',
      'info: Added DNAT rule to FWKNOP_PREROUTING for 192.0.2.7 -> 203.0.113.1 tcp/22, expires at 1795360364',
      'info: Added SNAT rule to FWKNOP_MASQUERADE for 192.0.2.7 -> 203.0.113.1 tcp/22, expires at 1795360364',
      `info: opened tcp/22 for 192.0.2.7 to 10.0.0.5:22, 30 s until 15:12:44 UTC: ${who}`,
    ],
  ],
  [
    {
      ...{ ...door, ports: ['tcp/22'] },
      forward: {
        kind: 'local',
        target: { address: addressOf('10.0.0.1'), port: 2222 },
        translates: true,
        sourceAs: null,
        all: false,
      },
    },
    [
      matched,
      'info: Added local NAT rule to FWKNOP_INPUT for 192.0.2.7 -> 0.0.0.0/0 tcp/22, expires at 1795360364',
      'info: Added DNAT rule to FWKNOP_PREROUTING for 192.0.2.7 -> 0.0.0.0/0 tcp/22, expires at 1795360364',
      `info: opened tcp/22 for 192.0.2.7 to 10.0.0.1:2222, 30 s until 15:12:44 UTC: ${who}`,
    ],
  ],
  [
    {
      ...{ ...door, ports: ['tcp/22'] },
      forward: { kind: 'nat', target: null, translates: false, sourceAs: addressOf('10.0.0.1'), all: true },
    },
    [
      matched,
      'info: Added FORWARD ALL rule to FWKNOP_FORWARD for 192.0.2.7 -> 0.0.0.0/0 */*, expires at 1795360364',
      'info: Added SNAT ALL rule to FWKNOP_POSTROUTING for 192.0.2.7 -> 0.0.0.0/0 */*, expires at 1795360364',
      `info: opened tcp/22 for 192.0.2.7 to wherever it sends to, 30 s until 15:12:44 UTC: ${who}`,
    ],
  ],
  [
    {
      ...{ event: 'ended', packet: asked.packet, address: asked.source, ports: ['tcp/22'] },
      ...{ username: 'alice', fingerprint: null, expiresAtSeconds: 1_795_360_364, forward: null },
    },
    [
      'info: Removed rule 1 from FWKNOP_INPUT with expire time of 1795360364',
      'info: ended tcp/22 for 192.0.2.7: user alice, packet 62c7edd78ac6df1e',
    ],
  ],
  [
    {
      ...{ event: 'ended', packet: asked.packet, address: asked.source, ports: ['tcp/22'] },
      ...{ username: 'alice', fingerprint: null, expiresAtSeconds: 1_795_360_364 },
      forward: { kind: 'nat', target: null, translates: true, sourceAs: null, all: true },
    },
    [
      'info: Removed rule 1 from FWKNOP_FORWARD with expire time of 1795360364',
      'info: Removed rule 1 from FWKNOP_PREROUTING with expire time of 1795360364',
      'info: ended tcp/22 for 192.0.2.7 to wherever it sends to: user alice, packet 62c7edd78ac6df1e',
    ],
  ],
  [
    { event: 'denied', ...asked, reason: 'user', requiredUsername: 'bob' },
    [
      matched,
      'warning: [192.0.2.7] (stanza #2) Username in SPA data (alice) does not match required username: bob',
      `warning: denied tcp/22 for 192.0.2.7: the stanza requires another user name (REQUIRE_USERNAME); ${who}`,
    ],
  ],
  [
    { event: 'denied', ...asked, reason: 'source-required', requiredUsername: null },
    [
      matched,
      'warning: [192.0.2.7] (stanza #2) Got 0.0.0.0 when valid source IP was required.',
      `warning: denied tcp/22 for 192.0.2.7: it names no address, which the stanza requires (REQUIRE_SOURCE_ADDRESS); ${who}`,
    ],
  ],
  [
    { event: 'denied', ...asked, reason: 'port-not-open', requiredUsername: null },
    [
      matched,
      'warning: [192.0.2.7] (stanza #2) One or more requested protocol/ports was denied per access.conf.',
      `warning: denied tcp/22 for 192.0.2.7: the stanza does not open all of the ports (OPEN_PORTS); ${who}`,
    ],
  ],
  [
    { event: 'denied', ...asked, reason: 'revoked', requiredUsername: null },
    [matched, `warning: denied tcp/22 for 192.0.2.7: it was revoked while it was being opened; ${who}`],
  ],
  [
    { event: 'outdated', ...asked, differenceSeconds: -500 },
    [
      matched,
      'warning: [192.0.2.7] (stanza #2) SPA data time difference is too great (500 seconds).',
      `warning: denied tcp/22 for 192.0.2.7: it is 500 s ahead, check both clocks; ${who}`,
    ],
  ],
  [
    { event: 'not-claimed', ...asked, reason: 'replayed' },
    [
      'warning: Replay detected from source IP: 192.0.2.7, packet 62c7edd78ac6df1e',
      `warning: denied tcp/22 for 192.0.2.7: replay: this message was accepted before; ${who}`,
    ],
  ],
  [
    { event: 'failed', ...asked, problem: 'nft: no such table' },
    [matched, `error: could not open tcp/22 for 192.0.2.7: nft: no such table; ${who}`],
  ],
  [
    { event: 'ignored', source: asked.source, stanza: null, code: 'no-stanza', detail: 'no stanza' },
    ['warning: No access data found for source IP: 192.0.2.7'],
  ],
  [
    { event: 'ignored', source: asked.source, stanza: 2, code: 'hmac', detail: 'the HMAC does not fit' },
    ['warning: [192.0.2.7] (stanza #2) Error creating fko context: the HMAC does not fit (hmac)'],
  ],
  [
    { event: 'ignored', source: asked.source, stanza: null, code: 'packet-alphabet', detail: 'no base64' },
    ['info: ignored a packet from 192.0.2.7: no base64 (packet-alphabet)'],
  ],
  [
    { event: 'summary', what: 'ignored', packets: { hmac: 2, decrypt: 1 } },
    ['info: ignored 3 more packets: hmac 2, decrypt 1'],
  ],
  [
    { event: 'summary', what: 'denied', packets: { replayed: 2 } },
    ['warning: denied 2 more packets: replayed 2'],
  ],
  [{ event: 'dropped-by-kernel', packets: { rate: 2 } }, ['info: the kernel dropped 2 packets: rate 2']],
  [
    { event: 'dropped-by-kernel', packets: { rate: 2, 'receive-buffer': 1 } },
    ['warning: the kernel dropped 3 packets: rate 2, receive-buffer 1'],
  ],
  [
    {
      ...{ event: 'revoked', of: 'user=alice', grants: 1 },
      closed: { count: 7, first: ['tcp/22 for 192.0.2.7', 'udp/53 for 192.0.2.7'] },
      kept: { count: 0, first: [] },
    },
    ['warning: revoked 1 grant of user=alice; closed tcp/22 for 192.0.2.7, udp/53 for 192.0.2.7 and 5 more'],
  ],
  [
    {
      ...{ event: 'revoked', of: 'user=alice', grants: 2, closed: { count: 0, first: [] } },
      kept: { count: 1, first: ['tcp/22 for 192.0.2.7'] },
    },
    ['warning: revoked 2 grants of user=alice; closed no door; others still hold open tcp/22 for 192.0.2.7'],
  ],
  [
    { event: 'cut', connections: 1, problem: 'conntrack is not installed' },
    ['warning: cut 1 connection; conntrack is not installed'],
  ],
  [
    {
      ...{ event: 'command-started', ...asked, command: 'id -u', request: "command 'id -u'" },
      ...{ runs: 'sudo -n -- id -u', account: { name: 'nobody:nogroup', uid: 65_534, gid: 65_533 } },
    },
    [
      matched,
      "info: [192.0.2.7] (stanza #2) Processing SPA Command message: command='id -u'.",
      "info: [192.0.2.7] (stanza #2) Running command 'sudo -n -- id -u' setuid/setgid user/group to nobody/nogroup (UID=65534,GID=65533)",
      `info: runs command 'id -u': ${who}`,
    ],
  ],
  [
    { event: 'command-ended', ...ran, ending: { kind: 'ended', status: 0 } },
    ['info: [192.0.2.7] (stanza #2) CMD_EXEC: command returned 0, pid_status: 0'],
  ],
  [
    { event: 'command-ended', ...ran, ending: { kind: 'ended', status: 3 } },
    ['warning: [192.0.2.7] (stanza #2) CMD_EXEC: command returned 0, pid_status: 3'],
  ],
  [
    { event: 'command-ended', ...ran, ending: { kind: 'killed' } },
    [
      'warning: [192.0.2.7] (stanza #2) CMD_EXEC: command returned 0, pid_status: 137',
      'warning: the command of packet 62c7edd78ac6df1e was killed: it took too long (CMD_EXEC_TIMEOUT), or the daemon ended',
    ],
  ],
  [
    { event: 'command-ended', ...ran, ending: { kind: 'not-started', problem: 'there is no /bin/x' } },
    [
      'warning: [192.0.2.7] (stanza #2) CMD_EXEC: command returned 0, pid_status: 255',
      'warning: the command of packet 62c7edd78ac6df1e was not started: there is no /bin/x',
    ],
  ],
  [
    { event: 'cycle-ended', ...ran, command: '/bin/close', ending: { kind: 'ended', status: 1 } },
    ["warning: '/bin/close' of packet 62c7edd78ac6df1e returned 1"],
  ],
  [
    {
      ...{ event: 'cycle-opening', ...asked, command: '/bin/open 192.0.2.7' },
      ...{ closeCommand: '/bin/close 192.0.2.7', closesAfterSeconds: 30 },
    },
    [
      matched,
      'info: [192.0.2.7] (stanza #2) Running CMD_CYCLE_OPEN command: /bin/open 192.0.2.7',
      'info: [192.0.2.7] (stanza #2) Running CMD_CYCLE_CLOSE command in 30 seconds: /bin/close 192.0.2.7',
      `info: opens tcp/22 for 192.0.2.7 by a command: ${who}`,
    ],
  ],
  [
    { event: 'cycle-closing', ...ran, command: '/bin/close' },
    ['info: [192.0.2.7] (stanza #2) Timer expired, running CMD_CYCLE_CLOSE command: /bin/close'],
  ],
  [{ event: 'note', level: 'error', text: 'the firewall' }, ['error: the firewall']],
];

t.test('each event has the lines that fwknopd has for it, and ours', async (t) => {
  for (const [event, lines] of LINES) {
    t.same(
      linesOf(event).map(({ level, text }) => `${level}: ${text}`),
      lines,
      event.event,
    );
  }
});

t.test('chains are called as they are in the firewall', async (t) => {
  const chains = { input: 'MINE', forward: 'F', dnat: 'D', snat: 'S', masquerade: 'M' };
  const texts = (event: LogEvent): string =>
    linesOf(event, chains)
      .map(({ text }) => text)
      .join('\n');
  t.match(texts(door), 'Added access rule to MINE for 192.0.2.7');
  const forward = { kind: 'nat', target: null, translates: true, sourceAs: 'masquerade', all: true } as const;
  t.match(texts({ ...door, forward }), /FORWARD ALL rule to F .*DNAT ALL rule to D .*SNAT ALL rule to M /s);
});

t.test('with --test no rule is said to be added or removed', async (t) => {
  const texts = (event: LogEvent): readonly string[] => linesOf(event, null).map(({ text }) => text);
  const [, theirs, ours, ...more] = texts(door);
  t.equal(theirs, '[192.0.2.7] (stanza #2) --test mode enabled, skipping firewall manipulation.');
  t.match(ours, /^would have opened tcp\/22,udp\/53 for 192\.0\.2\.7, /);
  t.same(more, []);
  for (const [event] of LINES) if (event.event === 'ended') t.same(texts(event), []);
});

t.test('docs/FWKNOP.md has a row for each event, and for no other', async (t) => {
  const document = readFileSync(new URL('../../../../docs/FWKNOP.md', import.meta.url), 'utf8');
  const [table = ''] = document.split('| Event | Fields |').slice(1);
  const rows = table.split('\n\n')[0]?.split('\n').slice(2) ?? [];
  const named = rows.flatMap((row) =>
    Array.from(row.split('|')[1]?.matchAll(/`([\w-]+)`/g) ?? [], ([, name]) => name),
  );
  const provoked = new Set(LINES.map(([{ event }]) => event));
  t.same(named.sort(), [...provoked].sort());
});

t.test('an event is as grave as the gravest of its lines', async (t) => {
  t.equal(levelOf({ event: 'denied', ...asked, reason: 'user', requiredUsername: null }), 'warning');
  t.equal(levelOf({ event: 'failed', ...asked, problem: 'x' }), 'error');
  t.equal(levelOf(door), 'info');
});
