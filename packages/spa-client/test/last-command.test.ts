import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import { formatWords, readSavedArguments } from '../src/saved-arguments.ts';
import { createClientHome, withoutChance } from './client-support.ts';

const PACKET = ['-A', 'tcp/22', '-a', '192.0.2.7', '-D', '127.0.0.1', '-T'];
const KEYS = ['--key-rijndael', 'secret-key', '--key-hmac', 'secret-mac'];

t.test('nothing is saved unless it is asked for', async (t) => {
  const { path, ours } = createClientHome(t);
  t.match(ours(...PACKET, ...KEYS), { code: 0 });
  writeFileSync(path('rc'), '[default]\nNO_SAVE_ARGS N\n', { mode: 0o600 });
  t.match(ours(...PACKET, ...KEYS, '--rc-file', path('rc'), '--no-save-args'), { code: 0 });
  t.notOk(existsSync(path('.fwknop.run')));
  t.match(ours(...PACKET, ...KEYS, '--rc-file', path('rc')), { code: 0 });
  t.ok(existsSync(path('.fwknop.run')), 'NO_SAVE_ARGS N asks for it');
});

t.test('-E saves the options, keys left out, and -l repeats them', async (t) => {
  const { path, ours } = createClientHome(t);
  const file = path('args');
  const more = ['-v', '-v', '-u', "an 'agent'", '--rc-file', path('rc')];
  writeFileSync(path('rc'), '', { mode: 0o600 });
  t.match(ours(...PACKET, ...KEYS, ...more, '-E', file), { code: 0 });
  t.equal(statSync(file).mode & 0o777, 0o600);
  const line =
    "--access=tcp/22 --allow-ip=192.0.2.7 '--user-agent=an '\\''agent'\\''' --destination=127.0.0.1 --use-hmac";
  t.equal(
    readFileSync(file, 'utf8'),
    `spa-client ${line} --rc-file=${path('rc')} --test --verbose --verbose\n`,
  );
  const saved = readFileSync(file, 'utf8').trimEnd();
  t.same(ours('--show-last', '-E', file), {
    code: 0,
    stdout: `Last fwknop client command line: ${saved}\n\n`,
    stderr: '',
  });
  t.match(
    ours('-l', '-E', file),
    { code: 64, stderr: /no encryption key is given/ },
    'a key is asked for again',
  );
  const again = ours('-l', '-E', file, ...KEYS, '-A', 'udp/53', '-v');
  t.match(again, { code: 0, stdout: `Executing: ${saved}\n\n` });
  t.match(again.stdout, /Message String: 192\.0\.2\.7,udp\/53\n/, 'what is given goes after what was saved');
  t.match(again.stdout, /HMAC Type: 3/, 'no HMAC is lost');
  t.equal(readFileSync(file, 'utf8').trimEnd(), saved, 'a repetition is not saved');
});

t.test('what cannot be repeated is one line', async (t) => {
  const { path, ours } = createClientHome(t);
  const run = path('.fwknop.run');
  const rows: readonly (readonly [string, number, readonly string[], number, string])[] = [
    [
      'fwknop -l\n',
      0o600,
      [],
      64,
      `${run}: what is saved there is itself an order to repeat; write the options again`,
    ],
    ['', 0o600, [], 78, `${run}: no command line is saved here; a run with -E FILE saves one`],
    [
      'x'.repeat(70_000),
      0o600,
      [],
      78,
      `${run}: no command line is saved here; a run with -E FILE saves one`,
    ],
    ['fwknop -A tcp/22\n', 0o666, [], 78, `${run}: others can change it; run: chmod go-w ${run}`],
    [
      'fwknop --key-hmac x\n',
      0o644,
      [],
      78,
      `${run}: holds a secret and others have access to it; run: chmod 600 ${run}`,
    ],
    [
      'fwknop -A tcp/22 -Q 1.2.3.4\n',
      0o600,
      [],
      64,
      '--spoof-source: that takes a raw socket, which only root has; leave it out, and send by -P udp, tcp or http',
    ],
    [
      'fwknop\n',
      0o600,
      ['--no-home-dir'],
      64,
      'the last command line is in the home directory; give -E FILE, or leave --no-home-dir out',
    ],
  ];
  for (const [text, mode, argv, code, message] of rows) {
    writeFileSync(run, text);
    chmodSync(run, mode);
    t.same(ours('-l', ...argv), { code, stdout: '', stderr: `spa-client: ${message}\n` }, text.slice(0, 40));
  }
  t.match(ours('-l', '-E', path('none')), { code: 78, stderr: /there is no such file/ });
});

t.test('words come back as they were, and lines that are not well quoted are split at blanks', async (t) => {
  const { path } = createClientHome(t);
  const file = path('args');
  const words = ['-C', 'echo \'a  b\' \\ "c"', '', "'", '\u00e9', '--fd=3'];
  writeFileSync(file, `x ${formatWords(words)}\n-n other\n`, { mode: 0o600 });
  t.same(readSavedArguments(file).words, words);
  writeFileSync(file, "fwknop  -U o'neil -A tcp/22 \n", { mode: 0o600 });
  t.same(readSavedArguments(file).words, ['-U', "o'neil", '-A', 'tcp/22']);
});

t.test('each client repeats what the other saved', { skip: lackingPrograms('fwknop') }, async (t) => {
  const { path, ours, theirs } = createClientHome(t);
  const run = path('.fwknop.run');
  writeFileSync(path('.fwknoprc'), '', { mode: 0o600 });
  const made = theirs(...PACKET, ...KEYS, '-v', '-N', '10.0.0.5:23', '-f', '30');
  t.match(readFileSync(run, 'utf8'), 'secret-key', 'theirs holds the key');
  const repeated = ours('-l');
  t.same(repeated, { ...made, stdout: repeated.stdout });
  t.equal(withoutChance(repeated.stdout), withoutChance(made.stdout));
  const shown = ours('--show-last');
  t.match(shown, { code: 0, stdout: /--key-rijndael=\[secret\] --key-hmac=\[secret\] -v -N 10\.0\.0\.5:23/ });
  t.notMatch(shown.stdout, /secret-/);

  const keys = path('keys');
  writeFileSync(keys, '127.0.0.1: k\n', { mode: 0o600 });
  const argv = [...PACKET, '-G', keys, '-v', '--nat-local', '--nat-port', '2222', '-m', 'md5', '-E', run];
  t.equal(withoutChance(theirs('-l').stdout), withoutChance(made.stdout));
  const mine = ours(...argv);
  t.equal(withoutChance(theirs('-l').stdout), withoutChance(mine.stdout));
});
