import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lackingPrograms, openTerminal } from 'spa-lab';
import t from 'tap';
import { withRcLock } from '../src/rc-lock.ts';
import { replaceStanza } from '../src/rc-stanza.ts';
import { createClientHome, withoutChance } from './client-support.ts';

const PACKET = ['-A', 'tcp/22', '-a', '192.0.2.7', '-D', '127.0.0.1', '-T'];

t.test('--save-rc-stanza makes the rc file, for its owner only, and the stanza of the server', async (t) => {
  const { path, ours } = createClientHome(t);
  const rc = path('.fwknoprc');
  const saved = ours(...PACKET, '-s', '--key-rijndael', 'a key', '--save-rc-stanza');
  t.match(saved, { code: 64, stderr: /contradict/ });
  t.notOk(existsSync(rc), 'a wrong command line saves nothing');
  t.match(ours(...PACKET, '--key-rijndael', 'a key', '--save-rc-stanza'), {
    code: 0,
    stdout: /Final SPA Data/,
    stderr: `spa-client: ${rc}: [127.0.0.1] is saved\nspa-client: --key-rijndael shows the key to everybody who lists processes; write it into the rc file\n`,
  });
  t.equal(statSync(rc).mode & 0o777, 0o600);
  t.equal(
    readFileSync(rc, 'utf8'),
    '[127.0.0.1]\nACCESS                      tcp/22\nALLOW_IP                    192.0.2.7\n' +
      'SPA_SERVER                  127.0.0.1\nKEY_BASE64                  YSBrZXk=\n',
  );
  t.match(ours('-n', '127.0.0.1', '-T'), { code: 0, stdout: /Message String: 192\.0\.2\.7,tcp\/22\n/ });
});

t.test('of many who save at once nobody loses a stanza, whoever has died before', async (t) => {
  const file = join(t.testdir({}), 'rc');
  writeFileSync(`${file}.lock`, '');
  const numbers = Array.from({ length: 20 }, (_, index) => index);
  await Promise.all(
    numbers.map((number) =>
      withRcLock(file, () => {
        const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
        writeFileSync(file, replaceStanza(text, `s${number}`, [{ keyword: 'ACCESS', value: 'tcp/22' }]));
      }),
    ),
  );
  t.equal(readFileSync(file, 'utf8').match(/^\[s\d+\]$/gm)?.length, numbers.length);
  t.notOk(existsSync(`${file}.lock`));
  await t.rejects(
    withRcLock('/proc/none', () => {}),
    { message: /^\/proc\/none: cannot be written: / },
  );
});

t.test('what no keyword can say is not saved, and that is said', async (t) => {
  const { path, ours } = createClientHome(t);
  const rc = path('.fwknoprc');
  t.match(ours('-C', 'id', '-s', '-n', 'one', '-T', '-g', '--save-rc-stanza'), {
    stderr: `spa-client: ${rc}: [one] is saved\nspa-client: --server-cmd is not saved: an rc file has no keyword for it\n`,
  });
  t.match(readFileSync(rc, 'utf8'), /^\[one\]\nALLOW_IP +source\nUSE_GPG +Y\n$/);
});

t.test('a stanza that is there is replaced by force only, where nobody can be asked', async (t) => {
  const { path, ours } = createClientHome(t);
  const rc = path('.fwknoprc');
  writeFileSync(rc, '[default]\nKEY k\n\n[one]\nSPA_SERVER x\nFROB 1\n\n# two\n[two]\nKEY 2\n', {
    mode: 0o600,
  });
  const before = readFileSync(rc, 'utf8');
  const argv = [...PACKET, '-n', 'ONE', '--save-rc-stanza'];
  t.same(ours(...argv), {
    code: 64,
    stdout: '',
    stderr: `spa-client: ${rc} has [ONE] already, and nobody can be asked here: give --force-stanza, or another name with -n\n`,
  });
  t.equal(readFileSync(rc, 'utf8'), before);
  t.match(ours(...argv, '--force-stanza'), { code: 0 });
  t.equal(
    readFileSync(rc, 'utf8'),
    '[default]\nKEY k\n\n[one]\nACCESS                      tcp/22\nALLOW_IP                    192.0.2.7\n' +
      'SPA_SERVER                  127.0.0.1\n\n# two\n[two]\nKEY 2\n',
  );
  for (const [more, message] of [
    [['--force-stanza'], '--force-stanza goes with --save-rc-stanza; give that too'],
    [
      ['--save-rc-stanza', '--no-rc-file'],
      '--save-rc-stanza and --no-rc-file contradict each other; give one',
    ],
    [['--save-rc-stanza', '-n', 'a]b'], '-n: "a]b" is no name of a stanza; give one without brackets'],
    [
      ['--save-rc-stanza', '-u', 'my agent'],
      '"my agent" cannot stand in an rc file, where a value ends at a blank, ; or #',
    ],
  ] as const) {
    t.same(ours(...PACKET, ...more), { code: 64, stdout: '', stderr: `spa-client: ${message}\n` });
  }
});

t.test('on a terminal the person decides', { skip: lackingPrograms('tmux', 'setpriv') }, async (t) => {
  const { path, command } = createClientHome(t);
  const rc = path('rc');
  const before = '[default]\nKEY k\n[one]\nSPA_SERVER x\n';
  const save = [...command, ...PACKET, '--rc-file', rc, '-n', 'one', '--save-rc-stanza'];
  for (const [answer, kept] of [
    ['n', true],
    ['y', false],
  ] as const) {
    writeFileSync(rc, before, { mode: 0o600 });
    const terminal = await openTerminal(t, [
      'sh',
      '-c',
      '"$@" >/dev/null; echo "ended with $?"',
      'sh',
      ...save,
    ]);
    await terminal.shows(/has \[one\] already\. Replace it\? \[y\/N\]/);
    terminal.type(answer);
    terminal.press('Enter');
    await terminal.shows(/^ended with 0$/m);
    t.equal(readFileSync(rc, 'utf8') === before, kept, answer);
    t.equal(/\[one\] stays as it is/.test(terminal.screen().replaceAll('\n', '')), kept);
  }
});

t.test('--key-gen with it writes the keys where both ends look for them', async (t) => {
  const { path, ours } = createClientHome(t);
  const rc = path('.fwknoprc');
  t.same(ours('-k', '-n', 'new', '-A', 'tcp/22', '-s', '-D', '127.0.0.1', '--use-hmac', '--save-rc-stanza'), {
    code: 0,
    stdout: `[+] Wrote Rijndael and HMAC keys to rc file: ${rc}\n`,
    stderr: `spa-client: ${rc}: [new] is saved\n`,
  });
  t.match(
    readFileSync(rc, 'utf8'),
    /\nUSE_HMAC +Y\nKEY_BASE64 +[\w+/]{43}=\nHMAC_KEY_BASE64 +[\w+/]{86}==\n$/,
  );
  t.match(ours('-n', 'new', '-T'), { code: 0, stdout: /HMAC Type: 3 \(SHA256\)/ });
});

t.test(
  'what one client saves, the other makes the same packet of',
  { skip: lackingPrograms('fwknop') },
  async (t) => {
    const home = createClientHome(t);
    const options: readonly (readonly string[])[] = [
      [
        ...[
          '-p',
          '62222',
          '-f',
          '30',
          '-U',
          'bob',
          '-m',
          'sha512',
          '--hmac-digest-type',
          'sha384',
          '-M',
          'ctr',
        ],
        ...[
          '--key-base64-hmac',
          'aG1hYw==',
          '--use-hmac',
          '--time-offset-minus',
          '90',
          '-A',
          'udp/53,tcp/22',
        ],
        ...['--key-base64-rijndael', 'a2V5'],
      ],
      ['-N', '10.0.0.5:23', '--nat-port', '2222', '--key-rijndael', 'k', '-M', 'legacy', '-m', 'md5'],
      [
        '--nat-local',
        '--nat-port',
        '2222',
        '--key-rijndael',
        'k',
        '--key-hmac',
        'h',
        '--server-resolve-ipv4',
      ],
    ];
    for (const [index, more] of options.entries()) {
      const name = `stanza-${index}`;
      const argv = [...PACKET, ...more, '-v', '-n', name, '--save-rc-stanza', '--no-save-args'];
      const ourRc = ['--rc-file', home.path('ours')];
      const theirRc = ['--rc-file', home.path('theirs')];
      // It wants a file to be there.
      if (index === 0) writeFileSync(home.path('theirs'), '', { mode: 0o600 });
      const made = withoutChance(home.ours(...argv, ...ourRc).stdout);
      t.equal(withoutChance(home.theirs(...argv, ...theirRc).stdout), made, more.join(' '));
      const again = ['-n', name, '-T', '-v', '--no-save-args'];
      t.equal(withoutChance(home.theirs(...again, ...ourRc).stdout), made, 'theirs, of our stanza');
      t.equal(withoutChance(home.ours(...again, ...theirRc).stdout), made, 'ours, of their stanza');
    }
  },
);
