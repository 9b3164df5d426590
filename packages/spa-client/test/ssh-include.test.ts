import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { ConfigError } from 'spa-host';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { SSH_CONFIG_MARK } from '../src/ssh-config-text.ts';
import {
  CONFIG_IS_OURS,
  installSshConfig,
  removeSshConfig,
  type SshFiles,
  sshFiles,
  tildePath,
  withInclude,
  withoutInclude,
} from '../src/ssh-include.ts';

const SSHBH = fileURLToPath(new URL('../src/bin/sshbh.js', import.meta.url));

interface Home extends SshFiles {
  readonly directory: string;
  readonly includeLine: string;
  /** Names in the directory of ssh's configuration. */
  readonly names: () => readonly string[];
  readonly read: () => string;
}

function home(t: Test, config: string | null): Home {
  const directory = mkdtempSync(join(tmpdir(), 'ssh-include-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const files = sshFiles(join(directory, '.ssh', 'config'));
  if (config !== null) {
    mkdirSync(join(directory, '.ssh'));
    writeFileSync(files.config, config, 'latin1');
  }
  return {
    ...files,
    directory,
    includeLine: `Include ${files.managed}`,
    names: () => readdirSync(join(directory, '.ssh')).sort(),
    read: () => readFileSync(files.config, 'latin1'),
  };
}

function format(isConfigOurs: boolean, body = 'Host a\n'): string {
  return `${SSH_CONFIG_MARK}\n${isConfigOurs ? `# ${CONFIG_IS_OURS}\n` : ''}${body}`;
}

function bothActs(files: SshFiles): readonly (() => Promise<unknown>)[] {
  return [() => installSshConfig(files, format), () => removeSshConfig(files)];
}

const ANY_CONFIG = fc.oneof(
  fc
    .array(
      fc.constantFrom(
        'Host a',
        'Match all',
        '\n',
        '\r\n',
        '\r',
        ' ',
        '\t',
        '# x',
        'Include other',
        '\xff',
        '\0',
      ),
    )
    .map((parts) => parts.join('')),
  fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1')),
);

t.test('whatever the configuration says, it is the same after install and remove', async (t) => {
  const paths = fc.constantFrom('~/.ssh/sshbh_config', '/a b/sshbh_config', '/ä');
  const property = fc.property(ANY_CONFIG, paths, (text, path) => {
    const included = withInclude(text, path);
    return included.endsWith(text) && withoutInclude(included, path) === text;
  });
  t.doesNotThrow(() => fc.assert(property));
});

t.test('so it is on disk, and a second install changes nothing', async (t) => {
  const files = home(t, '');
  await fc.assert(
    fc.asyncProperty(ANY_CONFIG, async (text) => {
      writeFileSync(files.config, text, 'latin1');
      const first = await installSshConfig(files, format);
      const before = statSync(files.config);
      const second = await installSshConfig(files, format);
      const isUntouched = statSync(files.config).ino === before.ino;
      const removed = await removeSshConfig(files);
      return (
        first.include === 'added' &&
        second.include === 'unchanged' &&
        second.managed === 'unchanged' &&
        isUntouched &&
        removed.include === 'removed' &&
        files.read() === text
      );
    }),
    { numRuns: 20 },
  );
  t.same(files.names(), ['config'], 'no file is left behind');
});

t.test('the line is the first, before any Host, and ends as the other lines do', async (t) => {
  const files = home(t, 'Host a\r\n  User b\r\n');
  await installSshConfig(files, format);
  t.equal(files.read(), `${files.includeLine}\r\nHost a\r\n  User b\r\n`);
  t.equal(readFileSync(files.managed, 'utf8'), format(false));
  t.equal(statSync(files.managed).mode & 0o777, 0o600);
});

t.test('a person may move the line, but not below a Host', async (t) => {
  const files = home(t, '');
  const above = `# mine\n\n  ${files.includeLine}  \nHost a\n`;
  writeFileSync(files.config, above);
  t.same(await installSshConfig(files, format), { managed: 'written', include: 'unchanged' });
  t.equal(files.read(), above);
  for (const below of [
    `Host a\n${files.includeLine}\n`,
    `match all\n${files.includeLine}`,
    `HOST="a"\n${files.includeLine}\n`,
  ]) {
    writeFileSync(files.config, below);
    t.equal((await installSshConfig(files, format)).include, 'added');
    t.equal(files.read(), `${files.includeLine}\n${below.slice(0, below.indexOf('\n') + 1)}`);
  }
});

t.test('without a configuration it makes one, and takes it away again', async (t) => {
  const files = home(t, null);
  t.same(await removeSshConfig(files), { managed: 'absent', include: 'absent' });
  t.same(await installSshConfig(files, format), { managed: 'written', include: 'created' });
  t.equal(statSync(join(files.directory, '.ssh')).mode & 0o777, 0o700);
  t.equal(statSync(files.config).mode & 0o777, 0o600);
  t.equal(files.read(), `${files.includeLine}\n`);
  t.same(await installSshConfig(files, format), { managed: 'unchanged', include: 'unchanged' });
  await installSshConfig(files, (isOurs) => format(isOurs, 'Host b\n'));
  t.same(await removeSshConfig(files), { managed: 'removed', include: 'deleted' });
  t.same(files.names(), []);
});

t.test('a configuration that it made stays if a person wrote into it', async (t) => {
  const files = home(t, null);
  await installSshConfig(files, format);
  writeFileSync(files.config, `${files.read()}Host a\n`);
  t.same(await removeSshConfig(files), { managed: 'removed', include: 'removed' });
  t.equal(files.read(), 'Host a\n');
});

t.test('an empty configuration that was there stays', async (t) => {
  const files = home(t, '');
  await installSshConfig(files, format);
  await removeSshConfig(files);
  t.equal(files.read(), '');
});

t.test('mode and owner stay, and a symbolic link', async (t) => {
  const files = home(t, 'Host a\n');
  const target = join(files.directory, 'dotfiles');
  linkSync(files.config, target);
  rmSync(files.config);
  symlinkSync('../dotfiles', files.config);
  chmodSync(target, 0o640);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(target, 12345, 12346);
  const before = statSync(target);
  for (const act of bothActs(files)) {
    await act();
    const { mode, uid, gid } = statSync(target);
    t.same({ mode, uid, gid }, { mode: before.mode, uid: before.uid, gid: before.gid });
    t.equal(readlinkSync(files.config), '../dotfiles');
  }
  t.equal(readFileSync(target, 'utf8'), 'Host a\n');
  t.same(readdirSync(files.directory).sort(), ['.ssh', 'dotfiles']);
});

t.test('what cannot be replaced is left alone, and the message has the line to write', async (t) => {
  const files = home(t, 'Host a\n');
  chmodSync(files.config, 0o400);
  await t.rejects(
    installSshConfig(files, format),
    new ConfigError(
      { file: files.config },
      `is read-only; write this as its first line yourself: ${files.includeLine}`,
    ),
  );
  t.equal(files.read(), 'Host a\n');
  t.same(files.names(), ['config', 'sshbh_config']);
  chmodSync(files.config, 0o600);
  await installSshConfig(files, format);
  chmodSync(files.config, 0o400);
  await t.rejects(removeSshConfig(files), { message: /is read-only; delete this line yourself: Include / });
  t.ok(existsSync(files.managed), 'nothing includes a file that is gone');
});

t.test('a link to nothing, a directory and a file of somebody else are errors', async (t) => {
  const dangling = home(t, '');
  rmSync(dangling.config);
  symlinkSync('nowhere', dangling.config);
  await t.rejects(installSshConfig(dangling, format), { message: /config: is a symbolic link to nothing/ });
  const directory = home(t, '');
  rmSync(directory.config);
  mkdirSync(directory.config);
  await t.rejects(installSshConfig(directory, format), { message: /config: cannot be read \(EISDIR\)/ });
  const foreign = home(t, 'Host a\n');
  writeFileSync(foreign.managed, 'Host mine\n');
  for (const act of bothActs(foreign)) {
    await t.rejects(act(), {
      name: 'ConfigError',
      message: /sshbh_config: is not from sshbh config; move it away/,
    });
  }
  t.equal(readFileSync(foreign.managed, 'utf8'), 'Host mine\n');
  t.equal(foreign.read(), 'Host a\n');
  for (const path of ['/a"b/config', '/a*/config', '/%h/config', "/a'b/config"])
    t.throws(() => sshFiles(path), ConfigError);
});

t.test('ssh reads the home that the system knows', async (t) => {
  const { homedir } = userInfo();
  t.equal(sshFiles(null).config, join(homedir, '.ssh', 'config'));
  t.equal(tildePath(sshFiles(null).managed), '~/.ssh/sshbh_config');
  t.equal(tildePath(`${homedir}-other/x`), `${homedir}-other/x`);
});

t.test('a lock of a dead process is cleared away', async (t) => {
  const files = home(t, '');
  writeFileSync(`${files.managed}.lock`, String(await deadProcess()));
  t.equal((await installSshConfig(files, format)).include, 'added');
  t.same(files.names(), ['config', 'sshbh_config']);
});

function deadProcess(): Promise<number> {
  return new Promise((resolve) => {
    const child = execFile('true', () => resolve(child.pid ?? 0));
  });
}

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const RC = `[default]
KEY a-key-of-the-test
HMAC_KEY another-key-of-the-test
[us-east-1]
SPA_SERVER 192.0.2.1
PRIVATE_HOSTS 10.0.1.*
[eu-west-1]
SPA_SERVER 192.0.2.2
ACCESS tcp/2222
FALLBACK us-east-1
[two words]
SPA_SERVER 192.0.2.3
[wrong]
SPA_SERVER 192.0.2.4
ACCESS tcp
`;

function sshbhConfig(t: Test, files: Home): (...args: readonly string[]) => Promise<Run> {
  const rcFile = join(files.directory, 'rc');
  writeFileSync(rcFile, RC, { mode: 0o600 });
  return (...args) =>
    new Promise((resolve) => {
      const argv = [SSHBH, 'config', '--rc-file', rcFile, '--ssh-config', files.config, ...args];
      const child = execFile(process.execPath, argv, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
      t.teardown(() => child.kill('SIGKILL'));
    });
}

t.test('sshbh config', { skip: lackingPrograms('ssh') }, async (t) => {
  const LEFT_OUT = /^sshbh: left out \[two words\]: .*\nsshbh: left out \[wrong\]: .*rc:15: ACCESS: .*\n/;

  t.test('says what it did, and the second time that there is nothing to do', async (t) => {
    const files = home(t, 'Host a\n    User b\n');
    const run = sshbhConfig(t, files);
    const first = await run();
    t.equal(first.code, 0);
    t.equal(first.stdout, '');
    t.match(first.stderr, LEFT_OUT);
    t.equal(
      first.stderr.replace(LEFT_OUT, ''),
      `sshbh: wrote ${files.managed}: 2 regions\nsshbh: added one line at the top of ${files.config}\n`,
    );
    const second = await run();
    t.equal(second.stderr.replace(LEFT_OUT, ''), 'sshbh: nothing to do\n');
    const third = await run('--control-persist', '10m');
    t.equal(third.stderr.replace(LEFT_OUT, ''), `sshbh: wrote ${files.managed}: 2 regions\n`);
    const removed = await run('--remove');
    t.equal(removed.code, 0);
    t.equal(removed.stderr, `sshbh: took our line out of ${files.config}\nsshbh: removed ${files.managed}\n`);
    t.equal(files.read(), 'Host a\n    User b\n');
    t.same(files.names(), ['config']);
    t.equal((await run('--remove')).stderr, 'sshbh: nothing to do\n');
  });

  t.test('--print writes nothing, and starts this sshbh with this Node and this rc file', async (t) => {
    const files = home(t, null);
    const { code, stdout } = await sshbhConfig(t, files)('--print');
    t.equal(code, 0);
    const rcFile = join(files.directory, 'rc');
    const match = `exec ${process.execPath} ${SSHBH} open --if-needed --rc-file ${rcFile} us-east-1'"\n`;
    const proxy = `ProxyCommand env NODE_CHANNEL_FD=1 ${process.execPath} ${SSHBH} connect --rc-file ${rcFile} eu-west-1\n`;
    t.ok(stdout.includes(match), 'one bastion, one address: match');
    t.ok(stdout.includes(proxy), 'a fallback: proxy');
    t.notOk(existsSync(join(files.directory, '.ssh')));
  });

  t.test('--style and --control-persist decide, and --command starts something else', async (t) => {
    const run = sshbhConfig(t, home(t, null));
    const count = (text: string, what: RegExp): number => text.match(what)?.length ?? 0;
    const proxies = /^ {4}ProxyCommand env NODE_CHANNEL_FD=1 nice sshbh connect /gm;
    const hooks = /exec nice sshbh open --if-needed /g;
    for (const [options, expected] of [
      [
        ['--style', 'proxy'],
        [2, 0],
      ],
      [
        ['--style', 'match'],
        [0, 2],
      ],
      [
        ['--control-persist', '1h30m'],
        [2, 0],
      ],
      [
        ['--control-persist', '600', '--style', 'match'],
        [0, 2],
      ],
    ] as const) {
      const { stdout } = await run('--print', '--command', 'nice sshbh', ...options);
      t.same([count(stdout, proxies), count(stdout, hooks)], expected, options.join(' '));
    }
  });

  t.test('an alias of the configuration is where that says', async (t) => {
    const files = home(t, 'Host 192.0.2.1\n    HostName inner.example.com\n');
    const run = sshbhConfig(t, files);
    t.match((await run('--print')).stdout, /^Host us-east-1\n {4}HostName inner\.example\.com$/m);
    await run();
    t.match((await run()).stderr, /nothing to do/, 'also when ssh reads our file');
  });

  t.test('two at once do not mix', async (t) => {
    const files = home(t, 'Host a\n');
    const run = sshbhConfig(t, files);
    const runs = await Promise.all([run(), run('--remove'), run('--style', 'proxy'), run('--remove')]);
    t.same(
      runs.map(({ code }) => code),
      [0, 0, 0, 0],
    );
    const isInstalled = existsSync(files.managed);
    t.equal(files.read(), isInstalled ? `${files.includeLine}\nHost a\n` : 'Host a\n');
    t.same(files.names(), isInstalled ? ['config', 'sshbh_config'] : ['config']);
  });

  t.test('tells in one line what is wrong', async (t) => {
    const run = sshbhConfig(t, home(t, null));
    const cases = [
      [['us-east-1'], 64, /^sshbh: what is "us-east-1"\?/],
      [['--style', 'magic'], 64, /^sshbh: --style: there is no "magic"; write match or proxy\n$/],
      [
        ['--control-persist', 'long'],
        64,
        /^sshbh: --control-persist: "long" is no time; write it as in 10m\n$/,
      ],
      [['--print', '--remove'], 64, /^sshbh: --print and --remove contradict/],
      [['--command', "it's"], 78, /^sshbh: --command: cannot stand in ssh_config/],
      [['--rc-file', '/nowhere'], 78, /^sshbh: \/nowhere: cannot be read/],
      [['--rc-file', '/dev/null'], 78, /^sshbh: \/dev\/null: has no region/],
    ] as const;
    const check = async ([args, code, message]: (typeof cases)[number]): Promise<void> => {
      const answer = await run(...args);
      t.equal(answer.code, code, args.join(' '));
      t.match(answer.stderr, message);
    };
    await Promise.all(cases.map(check));
  });
});
