import t from 'tap';
import type { OpenDoor } from '../src/door.ts';
import type { BastionDoorway, Passage } from '../src/region-door.ts';
import { connects, sshArguments } from '../src/ssh-command.ts';
import type { SshSettings } from '../src/ssh-settings.ts';

const SETTINGS: SshSettings = {
  hostname: 'bastion.test',
  port: 22,
  family: null,
  hostKeyAlias: null,
  controlPath: null,
  bindsAddress: false,
  hasProxy: false,
};
const BASTION = { name: 'r', settings: {}, host: 'bastion.test', sshPort: 22 };
const V4 = { address: '192.0.2.1', family: 4 } as const;
const OTHER_V4 = { address: '192.0.2.2', family: 4 } as const;
const V6 = { address: '2001:db8::1', family: 6 } as const;

/** A passage through the first of `servers`. */
function passage(
  servers: BastionDoorway['servers'],
  {
    port = 22,
    family = null,
    ssh = {},
  }: Partial<Pick<BastionDoorway, 'port' | 'family'>> & {
    readonly ssh?: Partial<SshSettings>;
  } = {},
): Passage {
  const [server = V4] = servers;
  const doorway = { bastion: BASTION, ssh: { ...SETTINGS, ...ssh }, servers, server, family, port };
  const localAddress = server.family === 6 ? '2001:db8::99' : '192.0.2.99';
  return {
    state: 'open',
    doorway,
    localAddress,
    packets: 1,
    roundTripMs: 1,
  } as unknown as OpenDoor<BastionDoorway>;
}

const ORDER = { user: null, target: null, sshOptions: [], command: [] };

t.test('to a host with one address ssh gets its name and nothing else', async (t) => {
  t.same(sshArguments('ssh', passage([V4]), ORDER), ['bastion.test']);
});

t.test('the user, the options and the command stand where ssh wants them', async (t) => {
  const order = { user: 'alice', target: null, sshOptions: ['-A'], command: ['--', 'uptime'] };
  t.same(sshArguments('ssh', passage([V4]), order), ['-A', 'alice@bastion.test', '--', 'uptime']);
});

t.test('of two families ssh takes the one that answered', async (t) => {
  t.same(sshArguments('ssh', passage([V4, V6]), ORDER), ['-4', 'bastion.test']);
  t.same(sshArguments('ssh', passage([V6, V4]), ORDER), ['-6', '-b', '2001:db8::99', 'bastion.test']);
  t.same(sshArguments('ssh', passage([V4], { family: 4 }), ORDER), ['-4', 'bastion.test'], 'as asked for');
});

t.test('a port that ssh forwards is one of both families, whichever the connection has', async (t) => {
  for (const option of ['-L8080:web:80', '-fNL', '-D', '-M']) {
    t.same(sshArguments('ssh', passage([V4, V6]), { ...ORDER, sshOptions: [option] }), [
      ...[option, '-o', 'HostName=192.0.2.1', '-o', 'HostKeyAlias=bastion.test', 'bastion.test'],
    ]);
  }
});

t.test(
  'of several addresses ssh takes the one that answered, under the name that known_hosts has',
  async (t) => {
    t.same(sshArguments('ssh', passage([V4, OTHER_V4]), ORDER), [
      ...['-o', 'HostName=192.0.2.1', '-o', 'HostKeyAlias=bastion.test', 'bastion.test'],
    ]);
    t.same(sshArguments('ssh', passage([V4, OTHER_V4], { port: 2222, ssh: { port: 2222 } }), ORDER), [
      ...['-p', '2222', '-o', 'HostName=192.0.2.1', '-o', 'HostKeyAlias=[bastion.test]:2222', 'bastion.test'],
    ]);
    const ssh = { hostKeyAlias: 'mine', controlPath: '/run/cm-100%' };
    t.same(sshArguments('ssh', passage([V4, OTHER_V4], { ssh }), ORDER), [
      ...[
        '-o',
        'HostName=192.0.2.1',
        '-o',
        'HostKeyAlias=mine',
        '-o',
        'ControlPath=/run/cm-100%%',
        'bastion.test',
      ],
    ]);
  },
);

t.test('a source address that ssh_config sets stays', async (t) => {
  const args = sshArguments('ssh', passage([V6], { ssh: { bindsAddress: true } }), ORDER);
  t.same(args, ['bastion.test']);
});

t.test('a host behind is reached through the door, with what ProxyJump would pass on', async (t) => {
  const order = {
    user: 'alice',
    target: 'root@db-3',
    sshOptions: ['-v', '-F', '/etc/my ssh/100%', '-A'],
    command: ['--', 'uptime'],
  };
  t.same(sshArguments('/usr/bin/ssh', passage([V4, V6]), order), [
    ...order.sshOptions,
    '-o',
    "ProxyCommand=/usr/bin/ssh -v -F '/etc/my ssh/100%%' -4 -W '[%h]:%p' alice@bastion.test",
    ...['root@db-3', '--', 'uptime'],
  ]);
});

t.test('a shared connection needs no options', async (t) => {
  const shared: Passage = { state: 'shared', bastion: BASTION, ssh: SETTINGS };
  t.same(sshArguments('ssh', shared, ORDER), ['bastion.test']);
});

t.test('an ssh that only tells or orders something needs no door', async (t) => {
  for (const options of [['-G'], ['-vG'], ['-V'], ['-Q', 'cipher'], ['-O', 'check'], ['-TOexit']]) {
    t.notOk(connects(options), options.join(' '));
  }
  for (const options of [[], ['-v'], ['-l', 'G'], ['-lG'], ['-oVisualHostKey=no'], ['-s'], ['-W', 'O:1']]) {
    t.ok(connects(options), options.join(' '));
  }
});
