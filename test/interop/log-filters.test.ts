import { readFileSync, writeFileSync } from 'node:fs';
import {
  addresses,
  createGnupgHome,
  createLab,
  type Daemon,
  type DaemonConfig,
  type Lab,
  lacking,
  sendDatagram,
  startFwknopd,
  startSpaServer,
  until,
} from 'spa-lab';
import t, { type Test } from 'tap';

t.setTimeout(120_000);

const { client4, other4, server4 } = addresses;
const NAT = 'ENABLE_IPT_FORWARDING Y';
const KEY = Buffer.alloc(32, 1).toString('base64');
const HMAC = Buffer.alloc(64, 2).toString('base64');
const [OTHER = '', THIRD = ''] = [3, 4].map((octet) => Buffer.alloc(32, octet).toString('base64'));

/** Something that happens, and what the filters of whoever watches fwknopd's log look for then: whole lines. */
interface Scene {
  readonly name: string;
  readonly happens: (lab: Lab, daemon: Daemon) => Promise<unknown>;
  readonly filters: readonly RegExp[];
  /** What `LOG_FORMAT json` calls it. */
  readonly event: string;
}

t.test(
  'filters made for the log of fwknopd find the same in ours, and with LOG_FORMAT json each event is an object',
  { skip: lacking('fwknop', 'fwknopd', 'iptables', 'gpg', 'sshd', 'tcpdump') },
  async (t) => {
    const lab = await createLab('iptables');
    t.teardown(lab.dispose);
    const homes = await Promise.all([
      createGnupgHome(lab.scratch.path('b'), 'bastion <b@log.example>', 'rsa2048'),
      createGnupgHome(lab.scratch.path('o'), 'operator <o@log.example>', 'rsa2048'),
    ]);
    t.teardown(() => {
      for (const home of homes) home.close();
    });
    const [bastion, operator] = homes;
    await bastion.certify(operator);
    await operator.certify(bastion);
    const packet = lab.scratch.path('packet');
    const access = [
      ...[`SOURCE ${client4}`, `KEY_BASE64 ${KEY}`, `HMAC_KEY_BASE64 ${HMAC}`, 'OPEN_PORTS tcp/22'],
      ...['FW_ACCESS_TIMEOUT 1', 'REQUIRE_USERNAME alice', 'REQUIRE_SOURCE_ADDRESS Y'],
      ...[`SOURCE ${client4}`, `GPG_HOME_DIR ${bastion.path}`, `GPG_DECRYPT_ID ${bastion.fingerprint}`],
      ...['GPG_ALLOW_NO_PW Y', `GPG_FINGERPRINT_ID ${operator.fingerprint}`, 'OPEN_PORTS tcp/22'],
      ...['FW_ACCESS_TIMEOUT 1', `SOURCE ${client4}`, `KEY_BASE64 ${OTHER}`, `HMAC_KEY_BASE64 ${HMAC}`],
      ...['ENABLE_CMD_EXEC Y', `SOURCE ${client4}`, `KEY_BASE64 ${THIRD}`, `HMAC_KEY_BASE64 ${HMAC}`],
      ...['OPEN_PORTS tcp/22', 'CMD_CYCLE_OPEN /bin/echo open $IP', 'CMD_CYCLE_CLOSE /bin/echo close $IP'],
      'CMD_CYCLE_TIMER 1',
    ];
    const alice = ['-a', client4, '-U', 'alice'];
    const gpg = [
      ...['--gpg-encryption', '--gpg-home-dir', operator.path, '--gpg-no-signing-pw'],
      ...['--gpg-recipient-key', bastion.fingerprint, '--gpg-signer-key', operator.fingerprint],
    ];
    const scenes: readonly Scene[] = [
      {
        name: 'a door opens, and closes',
        happens: knock('-A', 'tcp/22', ...alice, '-B', packet),
        filters: [
          /^\(stanza #1\) SPA Packet from IP: 10\.77\.0\.1 received with access source match$/m,
          /^Added access rule to FWKNOP_INPUT for 10\.77\.0\.1 -> 0\.0\.0\.0\/0 tcp\/22, expires at \d+$/m,
          /^Removed rule \d+ from FWKNOP_INPUT with expire time of \d+$/m,
        ],
        event: 'granted',
      },
      {
        name: 'a packet comes again',
        happens: (lab) => sendDatagram(lab.operator, server4, readFileSync(packet, 'utf8').trim()),
        filters: [/^Replay detected from source IP: 10\.77\.0\.1, .+$/m],
        event: 'not-claimed',
      },
      {
        name: 'another user',
        happens: knock('-A', 'tcp/22', '-a', client4, '-U', 'bob'),
        filters: [
          /^\[10\.77\.0\.1\] \(stanza #1\) Username in SPA data \(bob\) does not match required username: alice$/m,
        ],
        event: 'denied',
      },
      {
        name: 'no address',
        happens: knock('-A', 'tcp/22', '-s', '-U', 'alice'),
        filters: [/^\[10\.77\.0\.1\] \(stanza #1\) Got 0\.0\.0\.0 when valid source IP was required\.$/m],
        event: 'denied',
      },
      {
        name: 'another port',
        happens: knock('-A', 'tcp/23', ...alice),
        filters: [
          /^\[10\.77\.0\.1\] \(stanza #1\) One or more requested protocol\/ports was denied per access\.conf\.$/m,
        ],
        event: 'denied',
      },
      {
        name: 'a clock that is wrong',
        happens: knock('-A', 'tcp/22', ...alice, '--time-offset-minus', '500s'),
        filters: [
          /^\[10\.77\.0\.1\] \(stanza #1\) SPA data time difference is too great \(5\d\d seconds\)\.$/m,
        ],
        event: 'outdated',
      },
      {
        name: 'a command where none is allowed',
        happens: knock('-C', 'id', ...alice),
        filters: [
          /^\[10\.77\.0\.1\] \(stanza #1\) SPA Command messages are not allowed in the current configuration\.$/m,
        ],
        event: 'denied',
      },
      {
        name: 'NAT where none is allowed',
        happens: knock('-A', 'tcp/22', '--nat-local', '--nat-port', '22', ...alice),
        filters: [
          /^\(stanza #1\) SPA packet from 10\.77\.0\.1 requested NAT access, but is not enabled\/supported$/m,
        ],
        event: 'denied',
      },
      {
        name: 'a door that leads to another host',
        happens: knock('-A', 'tcp/22', '-N', '10.88.0.1:80', ...alice),
        filters: [
          /^Added FORWARD rule to FWKNOP_FORWARD for 10\.77\.0\.1 -> 0\.0\.0\.0\/0 tcp\/22, expires at \d+$/m,
          /^Added DNAT rule to FWKNOP_PREROUTING for 10\.77\.0\.1 -> 0\.0\.0\.0\/0 tcp\/22, expires at \d+$/m,
          /^Removed rule \d+ from FWKNOP_FORWARD with expire time of \d+$/m,
          /^Removed rule \d+ from FWKNOP_PREROUTING with expire time of \d+$/m,
        ],
        event: 'granted',
      },
      {
        name: 'a wrong HMAC',
        happens: knock('-A', 'tcp/22', ...alice, '--key-base64-hmac', OTHER),
        filters: [/^\[10\.77\.0\.1\] \(stanza #1\) Error creating fko context: .+$/m],
        event: 'ignored',
      },
      {
        name: 'a source that no stanza is for',
        happens: (lab) =>
          sendDatagram(lab.operator, server4, readFileSync(packet, 'utf8').trim(), { localAddress: other4 }),
        filters: [/^No access data found for source IP: 10\.77\.0\.3$/m],
        event: 'ignored',
      },
      {
        name: 'a signature',
        happens: (lab) =>
          lab.operator.must(['fwknop', '-A', 'tcp/22', '-a', client4, '-D', server4, ...CLIENT, ...gpg]),
        filters: [
          new RegExp(
            `^\\[10\\.77\\.0\\.1\\] \\(stanza #2\\) Incoming SPA data signed by '${operator.fingerprint.slice(-8)}' \\(fingerprint '${operator.fingerprint}'\\)\\.$`,
            'm',
          ),
        ],
        event: 'granted',
      },
      {
        name: 'a command',
        happens: knock('-C', '/bin/echo hallo', '-a', client4, '--key-base64-rijndael', OTHER),
        filters: [
          /^\[10\.77\.0\.1\] \(stanza #3\) Processing SPA Command message: command='\/bin\/echo hallo'\.$/m,
          /^\[10\.77\.0\.1\] \(stanza #3\) Running command '\/bin\/echo hallo'$/m,
          /^\[10\.77\.0\.1\] \(stanza #3\) CMD_EXEC: command returned 0, pid_status: 0$/m,
        ],
        event: 'command-ended',
      },
      {
        name: 'commands instead of a door',
        happens: knock('-A', 'tcp/22', '-a', client4, '--key-base64-rijndael', THIRD),
        filters: [
          /^\[10\.77\.0\.1\] \(stanza #4\) Running CMD_CYCLE_OPEN command: \/bin\/echo open 10\.77\.0\.1$/m,
          /^\[10\.77\.0\.1\] \(stanza #4\) Running CMD_CYCLE_CLOSE command in 1 seconds: \/bin\/echo close 10\.77\.0\.1$/m,
          /^\[10\.77\.0\.1\] \(stanza #4\) Timer expired, running CMD_CYCLE_CLOSE command: \/bin\/echo close 10\.77\.0\.1$/m,
        ],
        event: 'cycle-closing',
      },
      {
        name: 'SIGHUP',
        happens: async (_, daemon) => daemon.process.kill('SIGHUP'),
        filters: [/^Got SIGHUP\. Re-reading configs\.$/m, /^Re-starting fwknopd$/m],
        event: 'reloaded',
      },
    ];

    await t.test('fwknopd', async (t) => {
      const daemon = await startFwknopd(lab.bastion, lab.scratch, { access, server: [NAT] });
      await watch(t, lab, daemon, scenes);
    });
    await t.test('spa-server', async (t) => {
      const config: DaemonConfig = {
        access,
        server: ['FIREWALL iptables', NAT, `PCAP_INTF ${lab.bastion.device}`],
      };
      const daemon = await startSpaServer(lab.bastion, lab.scratch, config);
      await watch(t, lab, daemon, scenes);
    });
    await t.test('spa-server with LOG_FORMAT json', async (t) => {
      const daemon = await startSpaServer(lab.bastion, lab.scratch, {
        access,
        server: ['FIREWALL iptables', NAT],
      });
      const since = daemon.log().length;
      const config = readFileSync(daemon.configFile, 'utf8');
      writeFileSync(daemon.configFile, `${config}LOG_FORMAT json\n`);
      daemon.process.kill('SIGHUP');
      await daemon.logged('"event":"reloaded"', since);
      const from = daemon.log().lastIndexOf('\n', daemon.log().indexOf('"event":"reloaded"')) + 1;
      const objects = (): readonly Record<string, unknown>[] =>
        daemon
          .log()
          .slice(from)
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
      for (const { name, happens, event } of scenes) {
        const before = objects().length;
        await happens(lab, daemon);
        await until(`${name}: ${event}`, () =>
          objects()
            .slice(before)
            .some((object) => object.event === event),
        );
      }
      await until('the end of a grant', () => objects().some(({ event }) => event === 'ended'));
      t.equal(await daemon.stop(), 0);
      const all = objects();
      t.ok(all.every(({ time, level }) => !Number.isNaN(Date.parse(String(time))) && level !== undefined));
      t.match(all.at(-1), { event: 'stopped', level: 'info' });
      t.match(
        all.filter(({ event }) => event === 'granted'),
        [
          { source: client4, stanza: 1, username: 'alice', fingerprint: null, ports: ['tcp/22'] },
          {
            source: client4,
            stanza: 1,
            forward: { kind: 'nat', target: { address: '10.88.0.1', port: 80 } },
          },
          { source: client4, stanza: 2, fingerprint: operator.fingerprint, timeoutSeconds: 1 },
        ],
      );
      t.notMatch(daemon.log(), new RegExp([KEY, HMAC].map((key) => key.replaceAll(/[+=/]/g, '.')).join('|')));
    });
  },
);

const CLIENT = ['--no-rc-file', '--no-save-args'] as const;

/** The stock client asks; whoever gives an option twice means the second. */
function knock(...options: readonly string[]): Scene['happens'] {
  const keys = ['--key-base64-rijndael', KEY, '--use-hmac', '--key-base64-hmac', HMAC];
  return (lab) => lab.operator.must(['fwknop', '-D', server4, ...CLIENT, ...keys, ...options]);
}

/** Lets all that happen, and looks for it in the log as it grows. */
async function watch(t: Test, lab: Lab, daemon: Daemon, scenes: readonly Scene[]): Promise<void> {
  t.match(daemon.log(), /^Starting fwknopd$/m);
  t.match(daemon.log(), /^Sniffing interface: veth0$/m);
  t.match(daemon.log(), /^PCAP filter is: 'udp port 62201'$/m);
  await daemon.logged(/^Starting fwknopd main event loop\.$/m);
  for (const { name, happens, filters } of scenes) {
    const since = daemon.log().length;
    await happens(lab, daemon);
    for (const filter of filters) await daemon.logged(filter, since);
    t.pass(name);
  }
  await daemon.stop();
  t.match(daemon.log(), /^Got SIGTERM\. Exiting\.\.\.$/m);
  t.match(daemon.log(), /^Shutting Down fwknopd\.$/m);
}
