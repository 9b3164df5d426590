import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from 'spa-host';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import {
  checkCommand,
  formatSshConfig,
  isSshWord,
  type SshConfigOptions,
  type SshConfigRegion,
  shellWords,
} from '../src/ssh-config-text.ts';

const EAST: SshConfigRegion = {
  name: 'us-east-1',
  host: 'bastion.example.com',
  hostname: 'bastion.example.com',
  sshPort: 22,
  fallback: [],
  privateHosts: [],
  style: 'match',
};
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const OPTIONS: SshConfigOptions = { command: 'sshbh', rcFile: null, sharing: null, remarks: [] };

t.test('a region is a host of ssh with a hook, and its private hosts are behind it', async (t) => {
  const region = { ...EAST, sshPort: 2222, privateHosts: ['10.0.1.*', '*.internal'] };
  const text = formatSshConfig([region], { ...OPTIONS, rcFile: '/etc/our regions', remarks: ['a remark'] });
  t.equal(
    text,
    `# Written by "sshbh config". The next run replaces it: do not edit.
# a remark

Host us-east-1
    HostName bastion.example.com

Host us-east-1 bastion.example.com
    Port 2222

Match !canonical originalhost us-east-1,bastion.example.com !exec "/bin/sh -c 'test -z $SSHBH || exit 0; exec sshbh open --if-needed --rc-file /etc/our\\ regions us-east-1'"
    ProxyCommand false
    LogLevel quiet

Host 10.0.1.* *.internal
    ProxyJump us-east-1
`,
  );
});

t.test('only a plain word is a host of ssh', async (t) => {
  for (const name of ['us-east-1', 'a_b.c', '9']) t.ok(isSshWord(name), name);
  for (const name of ['', '-x', 'a b', '*', '!a', 'a,b', 'ä', 'a\n']) t.notOk(isSshWord(name), name);
});

t.test('what no escape gets through ssh and shell is refused', async (t) => {
  for (const path of ["/o'brien/node", '/a"b', '/a\\b', '/a\nb', '']) {
    t.throws(() => shellWords([path]), ConfigError, path);
    t.throws(() => checkCommand(path.replace('\\', '\\\\')), ConfigError, path);
  }
  t.equal(shellWords(['/a b', '$x~', 'ä%']), '/a\\ b \\$x\\~ ä%');
  t.equal(checkCommand('nice sshbh'), 'nice sshbh');
  t.equal(checkCommand('/a\\ b/sshbh'), '/a\\ b/sshbh');
});

interface Ssh {
  /** Everything that ssh said, and its exit status. */
  readonly run: (args: readonly string[], env?: NodeJS.ProcessEnv) => Promise<Answer>;
  /** What `ssh -G` says of a host: null if nothing. */
  readonly ask: (host: string, keyword: string) => Promise<string | null>;
  /** How sshbh was called since the last time, a line each. */
  readonly calls: () => readonly string[];
}

interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Setting extends Partial<SshConfigOptions> {
  readonly exitCode?: number;
  /** What the person's own configuration says below. */
  readonly below?: string;
  /** Where sshbh is, in the test's own directory. */
  readonly folder?: string;
}

function ssh(t: Test, regions: readonly SshConfigRegion[], setting: Setting = {}): Ssh {
  const { exitCode = 0, below = '', folder = 'bin', ...options } = setting;
  const directory = mkdtempSync(join(tmpdir(), 'ssh-config-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const log = join(directory, 'log');
  const program = join(directory, folder, 'sshbh');
  mkdirSync(join(directory, folder));
  writeFileSync(program, `#!/bin/sh\necho "$@" >> ${log}\necho "the door is shut" >&2\nexit ${exitCode}\n`);
  chmodSync(program, 0o755);
  const managed = join(directory, 'sshbh_config');
  const text = formatSshConfig(regions, { ...OPTIONS, command: shellWords([program]), ...options });
  writeFileSync(managed, text, { mode: 0o600 });
  const config = join(directory, 'config');
  writeFileSync(config, `Include ${managed}\n${below}`, { mode: 0o600 });
  const run: Ssh['run'] = (args, env = {}) =>
    new Promise((resolve) => {
      const argv = ['-F', config, '-T', '-o', 'BatchMode=yes', ...args];
      const options = { env: { ...process.env, PATH, LC_ALL: 'C', SHELL: '/bin/sh', ...env } };
      execFile('ssh', argv, options, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      ).stdin?.end();
    });
  return {
    run,
    ask: async (host, keyword) => {
      const { stdout } = await run(['-G', host], { SSHBH: '1' });
      return new RegExp(`^${keyword} (.*)$`, 'm').exec(stdout)?.[1] ?? null;
    },
    calls: () => {
      if (!existsSync(log)) return [];
      const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
      rmSync(log);
      return lines;
    },
  };
}

const OPEN = 'open --if-needed us-east-1';
const SHELLS = ['sh', 'bash', 'zsh', 'fish'];

t.test('real ssh', { skip: lackingPrograms('ssh', ...SHELLS) }, async (t) => {
  t.test('goes to the same place, and knows it as the same, by region and by host', async (t) => {
    const west = { ...EAST, name: 'us-west-1', host: 'west', hostname: '192.0.2.7', sshPort: 2222 };
    const { ask } = ssh(t, [EAST, west]);
    for (const host of ['us-east-1', 'bastion.example.com']) {
      t.equal(await ask(host, 'hostname'), 'bastion.example.com');
      t.equal(await ask(host, 'port'), '22');
      t.equal(await ask(host, 'hostkeyalias'), 'bastion.example.com');
    }
    t.equal(await ask('us-west-1', 'hostname'), '192.0.2.7', 'as the alias "west" has it');
    t.equal(await ask('west', 'hostname'), 'west', 'an alias stays what the person made it');
    t.equal(await ask('west', 'port'), '2222');
    t.equal(await ask('west', 'hostkeyalias'), null, 'host certificates hold for no alias with a port');
    t.equal(await ask('elsewhere', 'port'), '22');
  });

  t.test(
    'opens the door once before it connects, and says no more than sshbh if it stays shut',
    async (t) => {
      const below = 'Match final host nobody\n    Compression yes\n';
      for (const host of ['us-east-1', 'bastion.example.com', 'US-EAST-1']) {
        const { run, calls } = ssh(t, [EAST], { exitCode: 255, below });
        const { code, stderr } = await run([`alice@${host}`, 'uptime']);
        t.equal(code, 255);
        t.equal(stderr, 'the door is shut\n');
        t.same(calls(), [OPEN]);
      }
    },
  );

  t.test('connects when the door is open', async (t) => {
    const below = 'Host us-east-1\n    ProxyCommand echo SSH-9-none\n';
    const { run, calls } = ssh(t, [EAST], { below });
    t.match((await run(['us-east-1'])).stderr, /SSH-9-none/);
    t.same(calls(), [OPEN]);
  });

  t.test('leaves every other host alone', async (t) => {
    const { run, calls } = ssh(t, [{ ...EAST, privateHosts: ['10.0.1.*'] }]);
    await run(['-G', '10.0.2.1']);
    await run(['-G', 'us-east-11']);
    t.same(calls(), []);
  });

  t.test('opens nothing inside sshbh', async (t) => {
    for (const style of ['match', 'proxy'] as const) {
      const { run, calls } = ssh(t, [{ ...EAST, style }]);
      const { stdout } = await run(['-G', 'us-east-1'], { SSHBH: '1' });
      t.notMatch(stdout, /^proxycommand/m);
      t.same(calls(), []);
    }
  });

  for (const shell of [...SHELLS, 'tcsh']) {
    const SHELL = findProgram(shell);
    // Nobody has to install a C shell for this.
    if (SHELL === null) continue;
    t.test(`works with ${shell} as the person's shell, wherever sshbh is`, async (t) => {
      const folder = 'a b;$HOME!~ (%h) äé';
      for (const style of ['match', 'proxy'] as const) {
        const { run, calls } = ssh(t, [{ ...EAST, style }], { folder, exitCode: 255, rcFile: '/r c%$x' });
        const { code } = await run(['us-east-1'], { SHELL });
        t.equal(code, 255);
        const verb = style === 'match' ? 'open --if-needed' : 'connect';
        t.same(calls(), [`${verb} --rc-file /r c%$x us-east-1`]);
        await run(['us-east-1'], { SHELL, SSHBH: '1' });
        t.same(calls(), []);
      }
    });
  }

  t.test('asks for a connection as its proxy', async (t) => {
    const { run, calls, ask } = ssh(t, [{ ...EAST, style: 'proxy' }], { exitCode: 255 });
    const { code, stderr } = await run(['us-east-1']);
    t.equal(code, 255);
    t.match(stderr, /^the door is shut\n/);
    t.same(calls(), ['connect us-east-1']);
    const { stdout } = await run(['-G', 'us-east-1']);
    t.match(stdout, /^proxyusefdpass yes$/m);
    t.same(calls(), [], 'looking at the configuration opens nothing');
    t.equal(await ask('10.0.1.5', 'proxycommand'), null);
  });

  t.test('jumps through the region to its private hosts, but not to a bastion', async (t) => {
    const east = { ...EAST, privateHosts: ['10.0.1.*', '*.example.com', '!www.example.com'] };
    const west = { ...EAST, name: 'us-west-1', host: 'west.example.com', hostname: 'west.example.com' };
    const { ask, run, calls } = ssh(t, [east, west], { exitCode: 255 });
    for (const host of ['10.0.1.5', 'db.example.com']) t.equal(await ask(host, 'proxyjump'), 'us-east-1');
    const others = ['10.0.10.5', 'bastion.example.com', 'west.example.com', 'us-west-1', 'www.example.com'];
    for (const host of others) t.equal(await ask(host, 'proxyjump'), null, host);
    const { code, stderr } = await run(['10.0.1.5']);
    t.equal(code, 255);
    t.match(stderr, /^the door is shut$/m);
    t.same(calls(), [OPEN]);
    await run(['-J', 'us-east-1', 'elsewhere']);
    t.same(calls(), [OPEN]);
  });

  t.test('opens the door of the first region that has a host, and each by its name', async (t) => {
    const other = { ...EAST, name: 'other' };
    const { run, calls } = ssh(t, [EAST, other]);
    await run(['-G', 'bastion.example.com']);
    t.same(calls(), [OPEN]);
    await run(['-G', 'other']);
    t.same(calls(), ['open --if-needed other']);
  });

  t.test('shares connections, and sshbh looks at the very socket that ssh will', async (t) => {
    const sharing = { time: '10m', directory: '/tmp/p %q' };
    const below = 'Host us-east-1\n    User somebody-else\n';
    const { run, calls, ask } = ssh(t, [EAST], { sharing, below });
    const socket = await ask('us-east-1', 'controlpath');
    t.match(socket, /^\/tmp\/p %q\/sshbh-[0-9a-f]{40}$/);
    t.equal(await ask('us-east-1', 'controlpersist'), '600');
    t.match(await ask('us-east-1', 'controlmaster'), /auto|true/);
    await run(['-G', 'us-east-1']);
    t.same(calls(), [`open --if-needed --control ${socket} us-east-1`]);
  });

  t.test('with -p and -l the socket is that of the other connection', async (t) => {
    const { run, calls } = ssh(t, [EAST], { sharing: { time: '10m', directory: '/tmp' } });
    const { stdout } = await run(['-G', '-p', '2200', '-l', 'bob', 'us-east-1']);
    const socket = /^controlpath (.*)$/m.exec(stdout)?.[1];
    t.same(calls(), [`open --if-needed --control ${socket} us-east-1`]);
  });

  const skip = lackingPrograms('sshd', 'ssh-keygen', 'sed');
  t.test("takes a fallback's host key as the region's, if it is known", { skip }, async (t) => {
    const fallback = [{ hostname: 'second.example.com', sshPort: 2222 }];
    const { run } = ssh(t, [{ ...EAST, fallback }]);
    const { proxy, know, env } = hostWithKey(t);
    const args = ['-o', `ProxyCommand=${proxy}`, '-o', 'ProxyUseFdpass=no', 'us-east-1'];
    know('third.example.com');
    t.match((await run(args, env)).stderr, /Host key verification failed/);
    know('[second.example.com]:2222');
    t.match((await run(args, env)).stderr, /Permission denied/);
  });
});

/** An sshd that ssh starts itself, and a known_hosts file in the place of the person's. */
function hostWithKey(t: Test): {
  readonly proxy: string;
  readonly know: (name: string) => void;
  readonly env: NodeJS.ProcessEnv;
} {
  const directory = mkdtempSync(join(tmpdir(), 'ssh-host-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const file = (name: string): string => join(directory, name);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file('key')]);
  writeFileSync(
    file('sshd_config'),
    `HostKey ${file('key')}\nAuthorizedKeysFile none\nUsePAM no\nPidFile none\nKbdInteractiveAuthentication no\nPasswordAuthentication no\n`,
  );
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  // ssh-keygen reads the known_hosts of the home that the system knows, whatever HOME says.
  const real = findProgram('ssh-keygen') ?? '';
  mkdirSync(file('bin'));
  writeFileSync(file('bin/ssh-keygen'), `#!/bin/sh\nexec ${real} "$@" -f ${file('known_hosts')}\n`);
  chmodSync(file('bin/ssh-keygen'), 0o755);
  const [type, key] = readFileSync(file('key.pub'), 'utf8').split(' ');
  return {
    proxy: `${findProgram('sshd')} -i -f ${file('sshd_config')}`,
    know: (name) => {
      writeFileSync(file('known_hosts'), `${name} ${type} ${key}\n`);
      execFileSync(real, ['-q', '-H', '-f', file('known_hosts')], { stdio: 'ignore' });
    },
    env: { PATH: `${file('bin')}:${PATH}` },
  };
}

function findProgram(name: string): string | null {
  const candidates = PATH.split(':').map((directory) => join(directory, name));
  return candidates.find((file) => existsSync(file)) ?? null;
}
