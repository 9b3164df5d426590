import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import {
  goodCertifications,
  gpg,
  importRoster,
  type KeysFleet,
  makeFleet,
  makeParty,
  scratchFolder,
} from './keys-fleet.ts';

t.setTimeout(120_000);

const skip = lackingPrograms('gpg', 'gpgconf');

function rosterOf(fleet: KeysFleet): string {
  return readFileSync(join(fleet.roster, 'roster.yaml'), 'utf8');
}

t.test('a new key is certified while the old one retires', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'mutual', { operators: 2, bastions: 2 });
  await fleet.run('sign');
  const [op1, op2] = fleet.operators;
  const [b1] = fleet.bastions;
  if (op1 === undefined || op2 === undefined || b1 === undefined) throw new Error('nobody');
  const made = await fleet.run('rotate', 'op1', '--make', '--json');
  t.equal(made.code, 0, made.stderr);
  const { fingerprint, certifications } = JSON.parse(made.stdout);
  t.equal(certifications, 4, 'by two bastions, and of two bastions');
  t.equal(statSync(join(fleet.secrets, 'keys', `${fingerprint}.asc`)).mode & 0o777, 0o600);
  const roster = rosterOf(fleet);
  t.match(roster, `fingerprint: ${fingerprint} # checked by telephone`);
  t.match(
    roster,
    new RegExp(
      `retiring:\\n +fingerprint: ${op1.fingerprint}\\n +certificate: certificates/operators/op1-${op1.fingerprint.slice(-8)}.asc\\n +until: `,
    ),
  );
  t.equal((await fleet.run('plan')).code, 0);
  const home = importRoster(t, fleet);
  for (const one of [fingerprint, op1.fingerprint]) {
    t.same(
      [...goodCertifications(home, one)].sort(),
      fleet.bastions.map((bastion) => bastion.fingerprint.slice(-16)).sort(),
    );
  }
  t.match(gpg(home, ['--list-keys', fingerprint]), 'op1 <op1@example.org>');
  t.match(await fleet.run('rotate', 'op1', '--make'), {
    code: 78,
    stderr: /has a key that retires until .*--overlap 0/,
  });

  t.test('one that is imported is taken by its full fingerprint', async (t) => {
    const next = await makeParty('op2');
    const file = join(scratchFolder(t), 'next.asc');
    writeFileSync(file, next.certificate);
    t.match(await fleet.run('rotate', 'op2', '--import', file), { code: 64 });
    t.match(await fleet.run('rotate', 'op2', '--import', file, '--fingerprint', op1.fingerprint), {
      code: 78,
    });
    const rotated = await fleet.run(
      'rotate',
      'operator',
      'op2',
      '--import',
      file,
      '--fingerprint',
      next.fingerprint,
      '--overlap',
      '0',
    );
    t.match(rotated, { code: 1, stderr: /op2: 2 certifications must be made with/ });
    t.match(rosterOf(fleet), next.fingerprint);
    t.notMatch(rosterOf(fleet), op2.fingerprint, 'no overlap: the old one is out');
  });

  t.test("a bastion's HMAC secret is made anew", async (t) => {
    t.match(await fleet.run('rotate', 'b1', '--hmac'), { code: 0 });
    const file = join(fleet.secrets, 'hmac', 'b1');
    const secret = readFileSync(file, 'utf8');
    t.equal(Buffer.from(secret, 'base64').length, 32);
    t.equal(statSync(file).mode & 0o777, 0o600);
    await fleet.run('rotate', 'b1', '--hmac');
    t.not(readFileSync(file, 'utf8'), secret);
    t.match(await fleet.run('rotate', 'op1', '--hmac'), { code: 64, stderr: /--hmac is for bastions/ });
  });
});

t.test('the authority has a new key, which certifies all and signs the roster', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'authority', { operators: 2, bastions: 1 });
  await fleet.run('sign');
  const made = await fleet.run('rotate', 'authority', '--make', '--json');
  t.equal(made.code, 0, made.stderr);
  const { fingerprint, certifications, roster, version } = JSON.parse(made.stdout);
  t.match({ certifications, roster, version }, { certifications: 3, roster: 'signed', version: 2 });
  t.equal((await fleet.run('plan')).code, 0);
  const home = importRoster(t, fleet);
  for (const one of fleet.operators) {
    t.ok(goodCertifications(home, one.fingerprint).includes(fingerprint.slice(-16)));
  }
});
