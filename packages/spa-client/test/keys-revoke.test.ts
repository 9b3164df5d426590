import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import { gnupgHome, gpg, importRoster, type KeysFleet, makeFleet, scratchFolder } from './keys-fleet.ts';

t.setTimeout(120_000);

const skip = lackingPrograms('gpg', 'gpgconf');

function rosterOf(fleet: KeysFleet): string {
  return readFileSync(join(fleet.roster, 'roster.yaml'), 'utf8');
}

/** The state of a key by gpg: `r` is revoked, `-` unknown. */
function stateOf(home: string, fingerprint: string): string {
  return gpg(home, ['--with-colons', '--list-keys', fingerprint]).match(/^pub:(.)/m)?.[1] ?? '';
}

/** Types of the signatures on a key that gpg finds good, its own left out. */
function signatureTypes(home: string, fingerprint: string): readonly string[] {
  const rows = gpg(home, ['--with-colons', '--check-sigs', fingerprint])
    .split('\n')
    .map((line) => line.split(':'));
  return rows
    .filter(
      ([type, state, , , keyId = '']) =>
        ['sig', 'rev'].includes(type ?? '') && state === '!' && keyId !== fingerprint.slice(-16),
    )
    .map(([type = '', , , , keyId = '']) => `${type} ${keyId}`)
    .sort();
}

t.test(
  'an operator is revoked: in the roster, by all who vouched for him, and by his own key',
  { skip },
  async (t) => {
    const fleet = await makeFleet(t, 'mutual', { operators: 2, bastions: 2 });
    await fleet.run('sign');
    const [op1] = fleet.operators;
    if (op1 === undefined) throw new Error('no operator');
    const before = rosterOf(fleet);
    const revoked = await fleet.run('revoke', 'op1', '--reason', 'left: "for good" # really', '--no-push');
    t.equal(revoked.code, 0, revoked.stderr);
    t.match(revoked.stderr, /op1 is revoked in the roster\ntook back 2 certifications\nrevoked his key/);
    const home = importRoster(t, fleet);
    t.equal(stateOf(home, op1.fingerprint), 'r');
    const bastions = fleet.bastions.map(({ fingerprint }) => fingerprint.slice(-16));
    t.same(
      signatureTypes(home, op1.fingerprint).filter((one) => one.startsWith('rev')),
      bastions.map((keyId) => `rev ${keyId}`).sort(),
    );
    const after = rosterOf(fleet);
    t.match(after, /# checked by telephone/);
    t.match(after, /version: 2/);
    t.equal(after.split('\n').length, before.split('\n').length + 3);
    t.equal((await fleet.run('plan')).code, 0, 'the others are as they were');
    const again = await fleet.run('revoke', 'op1', '--reason', 'another', '--no-push');
    t.match(again, { code: 0, stderr: 'op1 is revoked in the roster\nnext: spa-keys push\n' });
    t.equal(rosterOf(fleet), after, 'a second time changes nothing');
    t.match(await fleet.run('revoke', 'nobody', '--reason', 'x'), {
      code: 78,
      stderr: /there is no operator "nobody"/,
    });
    t.match(await fleet.run('revoke', 'op1'), { code: 64, stderr: /say why/ });
  },
);

t.test('his key is revoked by what he made with gpg, and only by that', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'authority', { operators: 2, bastions: 1 });
  await fleet.run('sign');
  const [op1, op2] = fleet.operators;
  if (op1 === undefined || op2 === undefined) throw new Error('no operators');
  const scratch = scratchFolder(t);
  const file = join(scratch, 'revocation.asc');
  const home = gnupgHome(t);
  for (const one of [op1, op2]) {
    gpg(home, ['--import'], one.secretKey);
    rmSync(join(fleet.secrets, 'keys', `${one.fingerprint}.asc`));
  }
  const revocationOf = (fingerprint: string): string =>
    spawnSync(
      'gpg',
      ['--homedir', home, '--no-tty', '--command-fd', '0', '--armor', '--gen-revoke', fingerprint],
      { input: 'y\n1\nlost\n\ny\n', encoding: 'utf8' },
    ).stdout;
  writeFileSync(file, revocationOf(op2.fingerprint));
  const false_ = await fleet.run('revoke', 'op1', '--reason', 'x', '--revocation', file);
  t.match(false_, { code: 78, stderr: `holds no revocation of ${op1.fingerprint} by itself` });
  t.notMatch(rosterOf(fleet), /revoked/, 'nothing has changed');
  writeFileSync(file, revocationOf(op1.fingerprint));
  const revoked = await fleet.run('revoke', 'op1', '--reason', 'x', '--revocation', file, '--no-push');
  t.equal(revoked.code, 0, revoked.stderr);
  t.match(
    revoked.stderr,
    `op1 is revoked in the roster, which is signed: version 2\ntook back 1 certification\nrevoked his key ${op1.fingerprint}`,
  );
  const all = importRoster(t, fleet);
  t.equal(stateOf(all, op1.fingerprint), 'r');
  t.not(stateOf(all, op2.fingerprint), 'r');
  t.equal((await fleet.run('plan')).code, 0);
});
