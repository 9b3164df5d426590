import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createGnupgHome, lacking } from 'spa-lab';
import t, { type Test } from 'tap';
import { handOut, keysOn, layOut, type Setting, startDaemons } from './keys-fleet.ts';
import { fingerprintsOf, mustBeIn, overlapHolds } from './keys-rotation.ts';

t.setTimeout(300_000);

const skip =
  process.getuid?.() === 0
    ? lacking('fwknopd', 'fwknop', 'iptables', 'nft', 'gpg', 'sshd', 'ssh', 'flock')
    : 'root only: a bastion has its own /etc/fwknop';

t.test('mutual, with keys that never leave the bastions', { skip }, async (t) => {
  const { fleet, lab, alice, bob, stock, ours, keys, program } = await setUpThere(t);
  const everywhere = ['--program', program];
  const bastions = ['stock', 'ours'] as const;

  await t.test('the bastions make their keys, and sign says how they certify', async (t) => {
    const place = ['--region', 'west', '--days', '30'];
    for (const [name, more] of [
      // Stock fwknop seals for RSA only.
      ['stock', ['--rsa']],
      ['ours', ['--capability', 'spa-server']],
    ] as const) {
      const host = `${name}.test`;
      const added = await keys('add', 'bastion', name, ...place, '--host', host, ...more, '--on', host);
      t.equal(added.status, 0, added.stderr);
    }
    const result = await keys('sign');
    t.match(
      result,
      {
        status: 1,
        stderr:
          /made 4 certifications\nstock: 2 certifications must be made with .*: spa-keys sign --on-bastions; /,
      },
      result.stderr,
    );
  });

  await t.test('they certify where they are, by one command', async (t) => {
    const result = await keys('sign', '--on-bastions', '--ssh', 'ssh');
    t.equal(result.status, 0, result.stderr);
    for (const name of bastions) t.match(result.stderr, new RegExp(`^${name}: made 2 certifications$`, 'm'));
    t.match(result.stderr, /^made 4 certifications$/m);
    t.notOk(readdirSync(lab.secrets).includes('keys'), 'no secret key is here');
    for (const { configuration } of [stock, ours]) {
      const left = readdirSync(configuration.path('spa-keys')).filter((file) => file.startsWith('.certify'));
      t.strictSame(left, [], 'nothing is left there');
    }
    const verified = await alice.host.run(['spa-keys', 'verify', '--roster', lab.folder]);
    t.equal(verified.status, 0, verified.stdout + verified.stderr);
    const ring = fleet.scratch.path('ring');
    mkdirSync(ring, { mode: 0o700 });
    const gpg = ['gpg', '--homedir', ring, '--batch', '--quiet', '--no-autostart'];
    const files = ['operators/alice', 'bastions/stock', 'bastions/ours'];
    await alice.host.must([
      ...gpg,
      '--import',
      ...files.map((file) => `${lab.folder}/certificates/${file}.asc`),
    ]);
    const listed = await alice.host.must([...gpg, '--with-colons', '--check-sigs', 'alice']);
    const signatures = Array.from(listed.matchAll(/^sig:!:.*:SPA bastion (stock|ours):10x:.*:10:$/gm));
    t.equal(signatures.length, 2, listed);
  });

  await t.test('a second time there is nothing to do', async (t) => {
    const before = readFileSync(`${lab.folder}/certificates/operators/alice.asc`, 'utf8');
    const result = await keys('sign', '--on-bastions', '--ssh', 'false');
    t.match(result, { status: 0, stderr: 'there is nothing to do\n' }, result.stderr);
    t.equal(readFileSync(`${lab.folder}/certificates/operators/alice.asc`, 'utf8'), before);
  });

  await t.test('everybody gets in, also with stock fwknop by region', async (t) => {
    const first = await keys('push', '--ssh', 'ssh', '--first', ...everywhere);
    t.equal(first.status, 0, first.stderr);
    const [stockLog] = await startDaemons(fleet, stock, ours, program);
    await handOut(keys, lab, fleet, 'fwknoprc.stock');
    // The region is its first bastion, with stock fwknopd.
    for (const [region, host] of [
      ['west', 'stock.test'],
      ['ours', 'ours.test'],
    ] as const) {
      const knock = await bob.host.run(['fwknop', '-n', region]);
      t.equal(knock.status, 0, `${region}: ${knock.stdout}${knock.stderr}`);
      const { status, stdout, stderr } = await bob.host.run([
        ...['ssh', '-o', 'ConnectTimeout=20', host, 'echo', 'in'],
      ]);
      t.match({ status, stdout }, { status: 0, stdout: 'in\n' }, `${region}: ${stderr}${stockLog()}`);
    }
    await handOut(keys, lab, fleet);
    for (const person of [alice, bob]) {
      for (const name of bastions) await mustBeIn(t, person, name);
    }
  });

  await t.test('a bastion gets a new key, which it makes itself', async (t) => {
    for (const name of bastions) {
      const before = fingerprintsOf(lab.folder, name);
      const result = await keys('rotate', 'bastion', name, '--on', name, '--days', '60');
      t.match(
        result,
        { status: 1, stderr: new RegExp(`^${name}: 2 certifications must be made with `, 'm') },
        result.stderr,
      );
      const [next, ...others] = fingerprintsOf(lab.folder, name);
      t.notOk(before.includes(next ?? ''), 'a new one');
      t.strictSame(others, before, 'the old one retires');
    }
    const unreachable = await keys('sign', '--on-bastions', '--ssh', 'false');
    t.match(unreachable, { status: 1, stderr: /^stock: cannot be reached: /m }, unreachable.stderr);
    const result = await keys('sign', '--on-bastions');
    t.equal(result.status, 0, result.stderr);
    const pushed = await keys('push', ...everywhere);
    t.equal(pushed.status, 0, pushed.stderr);
  });

  await overlapHolds(t, { fleet, lab, alice, bob, ours, keys, program });
});

/** A roster with operators and no bastion yet; the operators' keys are in GnuPG homes that alice's machine uses. */
async function setUpThere(
  t: Test,
): Promise<Omit<Setting, 'lab'> & { readonly lab: Pick<Setting['lab'], 'folder' | 'secrets' | 'homes'> }> {
  const ground = await layOut(t);
  const { fleet, alice, bob } = ground;
  const homes = new Map(
    await Promise.all(
      [alice, bob].map(async ({ name }) => {
        const home = await createGnupgHome(
          fleet.scratch.path(`h-${name}`),
          `${name} <${name}@example.org>`,
          'ecc',
        );
        t.teardown(home.close);
        return [name, home] as const;
      }),
    ),
  );
  const lab = { folder: fleet.scratch.path('roster'), secrets: fleet.scratch.path('secrets'), homes };
  const keys = keysOn(
    alice,
    lab,
    [...homes.values()].map(({ path }) => path),
  );
  const must = async (...args: readonly string[]): Promise<void> => {
    const { status, stderr } = await keys(...args);
    if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  };
  await must('init', '--name', 'lab', '--topology', 'mutual');
  for (const [name, { fingerprint }] of homes) {
    await must('add', 'operator', name, '--import-gnupg', '--fingerprint', fingerprint);
  }
  return { ...ground, lab, keys };
}
