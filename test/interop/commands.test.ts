import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  addresses,
  createLab,
  type Daemon,
  doorCloses,
  doorOpens,
  type Lab,
  lacking,
  PROGRAMS,
  type Reach,
  reach,
  startSpaServer,
  until,
} from 'spa-lab';
import t from 'tap';

t.setTimeout(180_000);

/** Long enough for another door to open meanwhile on a busy machine. */
const COMMAND_SECONDS = 5;
const CYCLE_SECONDS = 4;

/** Nothing listens there: a port that the firewall lets through refuses, one that it drops is silent. */
const NFT_PORT = 2200;
const DOOR_PORT = 2201;

/** A firewall that knows nothing of ours, and guards one port. */
const NFT_DOORS = `
table inet elsewhere {
  set doors { type ipv4_addr; }
  chain input {
    type filter hook input priority filter - 10;
    tcp dport ${NFT_PORT} ip saddr != @doors drop
  }
}
`;

const skip =
  process.getuid?.() === 0
    ? lacking('fwknop', 'iptables', 'ipset', 'nft', 'sshd', 'ssh')
    : 'root only: commands run as other users';

t.test('stock fwknop runs commands, and opens firewalls that we do not know', { skip }, async (t) => {
  const lab = await createLab('iptables');
  t.teardown(lab.dispose);
  const bastion = await prepare(lab);
  let daemon = await bastion.start();

  await t.test('a command runs as its user, in his group and no other', async (t) => {
    await bastion.command('user', `${bastion.script} "a  b" $HOME;id`);
    await daemon.logged(
      /Running command '\S+tell "a b" \$HOME;id' setuid\/setgid user\/group to nobody\/tty/,
    );
    await daemon.logged('CMD_EXEC: command returned 0, pid_status: 0');
    t.same(bastion.said(), ['uid=65534 gid=5 groups=5', 'cwd=/', 'words="a b" $HOME;id', 'PATH']);
  });

  await t.test('sudo gets no option from a packet', async (t) => {
    await bastion.command('sudo', `-u root ${bastion.script}`);
    await daemon.logged(/Running command '\S+sudo -n -u nobody -g tty -- -u root/);
    await daemon.logged('pid_status: 127');
    await bastion.command('sudo', `${bastion.script} through sudo`, OUR_CLIENT);
    await until('it has run', () => bastion.said()[2] === 'words=through sudo');
    t.equal(bastion.said()[0], 'uid=65534 gid=5 groups=5');
  });

  await t.test('a command that hangs is ended, and meanwhile doors open', async (t) => {
    await bastion.command('user', `${bastion.script} hang`);
    await until('it hangs', () => bastion.said()[2] === 'words=hang');
    await bastion.access('door', `tcp/${DOOR_PORT}`);
    await until('the door opens', async () => (await port(lab, DOOR_PORT)) === 'refused');
    t.notMatch(daemon.log(), /was killed/, 'it is still running');
    await daemon.logged(/CMD_EXEC: command returned 0, pid_status: 137\n.*was killed: it took too long/);
    const pids = readFileSync(bastion.pids, 'utf8').trim().split('\n');
    await until('it is gone, and what it has started', () => !pids.some(isRunning));
    t.equal(pids.length, 2);
  });

  await t.test('a stanza without ENABLE_CMD_EXEC runs nothing', async (t) => {
    await bastion.command('door', `${bastion.script} no`);
    await daemon.logged('SPA Command messages are not allowed in the current configuration.');
    t.not(bastion.said()[2], 'words=no');
  });

  await t.test('an ipset opens ssh and closes again; of ports only those of the stanza count', async (t) => {
    await bastion.access('ipset', 'tcp/23');
    await daemon.logged('One or more requested protocol/ports was denied per access.conf.');
    t.notMatch(await lab.bastion.must(['ipset', 'list', 'doors']), addresses.client4);
    await bastion.access('ipset', 'tcp/22');
    await doorOpens(lab);
    t.equal((await lab.login('echo in')).trim(), 'in');
    await daemon.logged(
      `Running CMD_CYCLE_CLOSE command in ${CYCLE_SECONDS} seconds: ipset del doors 10.77.0.1,6:22`,
    );
    await doorCloses(lab);
    t.match(daemon.log(), 'Timer expired, running CMD_CYCLE_CLOSE command: ipset del doors 10.77.0.1,6:22');
  });

  await t.test('what is open when the daemon is killed, the next one closes', async (t) => {
    await bastion.access('nft', `tcp/${NFT_PORT}`, '-f', '2');
    await until('it opens', async () => (await port(lab, NFT_PORT)) === 'refused');
    await daemon.stop('SIGKILL');
    await until('nobody has closed it', async () => (await port(lab, NFT_PORT)) === 'refused');
    daemon = await bastion.start();
    await until('it closes', async () => (await port(lab, NFT_PORT)) === 'silent');
    t.match(
      daemon.log(),
      /\[10\.77\.0\.1\] \(stanza #5\) Timer expired, running CMD_CYCLE_CLOSE command: nft delete/,
    );
  });

  await t.test('what is open when the daemon ends, it closes', async (t) => {
    await bastion.access('nft', `tcp/${NFT_PORT}`, '-f', '65536');
    await daemon.logged('Running CMD_CYCLE_CLOSE command in 300 seconds', 0);
    await until('it opens', async () => (await port(lab, NFT_PORT)) === 'refused');
    t.equal(await daemon.stop(), 0);
    t.equal(await port(lab, NFT_PORT), 'silent');
  });
});

const OUR_CLIENT = [process.execPath, PROGRAMS.spaClient];

type StanzaName = 'user' | 'sudo' | 'door' | 'ipset' | 'nft';

interface Bastion {
  /** Says who runs it, and with what; `hang` as its first word makes it stay, with a child. */
  readonly script: string;
  readonly pids: string;
  said(): readonly string[];
  start(): Promise<Daemon>;
  /** Has stock fwknop send a command to a stanza, or ask it for ports. */
  command(stanza: StanzaName, command: string, client?: readonly string[]): Promise<void>;
  access(stanza: StanzaName, ports: string, ...options: readonly string[]): Promise<void>;
}

const SCRIPT = `#!/bin/sh
if [ "$1" = hang ]; then
  trap '' TERM
  sleep 600 &
  printf '%s\\n' $$ $! > OUT/pids
fi
{
  echo "uid=$(id -u) gid=$(id -g) groups=$(id -G)"
  echo "cwd=$(pwd)"
  echo "words=$*"
  tr '\\0' '\\n' < /proc/$$/environ | cut -d= -f1
} > OUT/said.new
mv OUT/said.new OUT/said
[ "$1" != hang ] || wait
`;

/** In the place of sudo, which may not be installed: it takes the options that we give it, and believes them. */
const SUDO = `#!/bin/sh
[ "$1 $2 $4 $6" = "-n -u -g --" ] || exit 1
user=$3 group=$5
shift 6
exec setpriv --reuid "$user" --regid "$group" --clear-groups -- "$@"
`;

/** Rules, scripts, and a stanza with keys of its own for each name. */
async function prepare({ bastion, operator, scratch }: Lab): Promise<Bastion> {
  await bastion.must(['ipset', 'create', 'doors', 'hash:ip,port']);
  for (const rule of [
    ['-m', 'set', '--match-set', 'doors', 'src,dst'],
    ['-p', 'tcp', '--dport', String(NFT_PORT)],
  ]) {
    await bastion.must(['iptables', '-A', 'INPUT', ...rule, '-j', 'ACCEPT']);
  }
  await bastion.must(['nft', '-f', '-'], NFT_DOORS);
  const out = scratch.path('out');
  mkdirSync(out);
  chmodSync(out, 0o777);
  chmodSync(scratch.path(), 0o711);
  const [script, sudo] = [scratch.path('tell'), scratch.path('sudo')];
  writeFileSync(script, SCRIPT.replaceAll('OUT', out), { mode: 0o755 });
  writeFileSync(sudo, SUDO, { mode: 0o755 });
  const keys = Object.fromEntries(
    Object.keys(STANZAS).map((name) => [
      name,
      [32, 64].map((bytes) => randomBytes(bytes).toString('base64')),
    ]),
  );
  const access = Object.entries(STANZAS).flatMap(([name, lines]) => [
    'SOURCE ANY',
    ...['KEY_BASE64', 'HMAC_KEY_BASE64'].map((keyword, index) => `${keyword} ${keys[name]?.[index]}`),
    ...lines,
  ]);
  const server = ['FIREWALL iptables', `CMD_EXEC_TIMEOUT ${COMMAND_SECONDS}`, `SUDO_EXE ${sudo}`];
  const knock = async (
    stanza: StanzaName,
    options: readonly string[],
    client: readonly string[] = ['fwknop'],
  ): Promise<void> => {
    const [key = '', hmac = ''] = keys[stanza] ?? [];
    await operator.must([
      ...[...client, '-a', addresses.client4, '-D', addresses.server4, '--no-rc-file', '--no-save-args'],
      ...['--key-base64-rijndael', key, '--use-hmac', '--key-base64-hmac', hmac],
      ...options,
    ]);
  };
  return {
    script,
    pids: scratch.path('out', 'pids'),
    said: () => readFileSync(scratch.path('out', 'said'), 'utf8').trim().split('\n'),
    start: () => startSpaServer(bastion, scratch, { server, access }),
    command: (stanza, command, client) => knock(stanza, ['-C', command], client),
    access: (stanza, ports, ...options) => knock(stanza, ['-A', ports, ...options]),
  };
}

const STANZAS: Readonly<Record<StanzaName, readonly string[]>> = {
  user: ['ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER nobody', 'CMD_EXEC_GROUP tty'],
  sudo: [
    ...['ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER root', 'ENABLE_CMD_SUDO_EXEC Y'],
    ...['CMD_SUDO_EXEC_USER nobody', 'CMD_SUDO_EXEC_GROUP tty'],
  ],
  door: [`OPEN_PORTS tcp/${DOOR_PORT}`],
  ipset: [
    'OPEN_PORTS tcp/22',
    'CMD_CYCLE_OPEN ipset -exist add doors $SRC,$PROTO:$PORT',
    'CMD_CYCLE_CLOSE ipset del doors $SRC,$PROTO:$PORT',
    `CMD_CYCLE_TIMER ${CYCLE_SECONDS}`,
  ],
  nft: [
    `OPEN_PORTS tcp/${NFT_PORT}`,
    'CMD_CYCLE_OPEN nft add element inet elsewhere doors { $SRC }',
    'CMD_CYCLE_CLOSE nft delete element inet elsewhere doors { $SRC }',
    'CMD_CYCLE_TIMER 600',
  ],
};

/** Not if only its remains are there, which nobody may collect. */
function isRunning(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

function port({ operator }: Lab, port: number): Promise<Reach> {
  return reach(operator, addresses.server4, { port });
}
