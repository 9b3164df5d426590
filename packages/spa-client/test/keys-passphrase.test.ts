import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lackingPrograms, openTerminal, type Terminal } from 'spa-lab';
import t, { type Test } from 'tap';
import { fleetOf, SPA_KEYS } from './keys-support.ts';

const skip = lackingPrograms('tmux', 'setpriv');
const PASSPHRASE = 'correct horse battery staple';

t.setTimeout(120_000);

/** `spa-keys` on a terminal, with its exit code said at the end. */
function onTerminal(t: Test, argv: readonly string[]): Promise<Terminal> {
  const script = '"$0" "$@"; echo "ended with $?"';
  return openTerminal(t, ['sh', '-c', script, process.execPath, SPA_KEYS, ...argv], { columns: 160 });
}

t.test('a key that is made with a passphrase, typed twice, wants it for each use', { skip }, async (t) => {
  const { roster, secrets, keys, mustKeys } = fleetOf(t);
  const places = ['--roster', roster, '--secrets', secrets];
  const init = ['init', '--name', 'fleet', '--make-authority', 'Org', '--passphrase', ...places];
  const made = await onTerminal(t, init);
  await made.shows(/Enter passphrase for the new key of Org:/);
  made.type(PASSPHRASE);
  made.press('Enter');
  await made.shows(/Enter the same passphrase again:/);
  made.type(PASSPHRASE);
  made.press('Enter');
  await made.shows(/Enter passphrase (of|for the key)/);
  made.type(PASSPHRASE);
  made.press('Enter');
  await made.shows(/ended with 0/);
  t.notMatch(made.screen(), PASSPHRASE);
  const [file = ''] = readdirSync(join(secrets, 'keys'));
  t.match(readFileSync(join(secrets, 'keys', file), 'utf8'), /BEGIN PGP PRIVATE KEY/);
  mustKeys('verify');

  const none = keys('sign', '--roster', roster);
  t.match(none, { status: 0, stderr: /nothing to do/ }, none.stderr);
});

t.test('two passphrases that differ make no key', { skip }, async (t) => {
  const { roster, secrets } = fleetOf(t);
  const init = ['init', '--name', 'fleet', '--make-authority', 'Org', '--passphrase'];
  const made = await onTerminal(t, [...init, '--roster', roster, '--secrets', secrets]);
  await made.shows(/Enter passphrase for the new key of Org:/);
  made.type(PASSPHRASE);
  made.press('Enter');
  await made.shows(/Enter the same passphrase again:/);
  made.type('correct horse');
  made.press('Enter');
  await made.shows(/two different passphrases; nothing was made[\s\S]*ended with 64/);
  t.notOk(existsSync(roster));
  t.notOk(existsSync(secrets));
});

t.test('Ctrl-C while a passphrase is asked for leaves nothing', { skip }, async (t) => {
  const { roster, secrets, mustKeys } = fleetOf(t);
  mustKeys('init', '--name', 'fleet', '--make-authority', 'Org');
  const before = readdirSync(join(secrets, 'keys'));
  const add = [
    'add',
    'operator',
    'alice',
    '--make',
    '--passphrase',
    '--roster',
    roster,
    '--secrets',
    secrets,
  ];
  const made = await onTerminal(t, add);
  await made.shows(/Enter passphrase for the new key of alice:/);
  made.press('C-c');
  // The shell ends with the signal, too.
  await made.shows(/ended with 130|Pane is dead/);
  t.same(readdirSync(join(secrets, 'keys')), before);
  mustKeys('verify');
});
