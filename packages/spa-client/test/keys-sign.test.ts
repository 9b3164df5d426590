import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import {
  gnupgHome,
  goodCertifications,
  gpg,
  importRoster,
  type KeysFleet,
  makeFleet,
  SPA_KEYS,
} from './keys-fleet.ts';

t.setTimeout(120_000);

const skip = lackingPrograms('gpg', 'gpgconf');

/** All files of the roster's folder that git would keep. */
function contents(fleet: KeysFleet): ReadonlyMap<string, string> {
  const names = readdirSync(fleet.roster, { recursive: true, encoding: 'utf8' });
  const kept = names.filter((name) => /\.(asc|yaml)$/.test(name)).sort();
  return new Map(kept.map((name) => [name, readFileSync(join(fleet.roster, name), 'utf8')]));
}

function keyIds(parties: readonly { readonly fingerprint: string }[]): readonly string[] {
  return parties.map(({ fingerprint }) => fingerprint.slice(-16)).sort();
}

t.test(
  'mutual: each bastion certifies each operator and the reverse, as gpg finds good',
  { skip },
  async (t) => {
    const fleet = await makeFleet(t, 'mutual', { operators: 3, bastions: 2 });
    t.equal((await fleet.run('plan')).code, 1);
    const signed = await fleet.run('sign');
    t.same(signed, { code: 0, stdout: '', stderr: 'made 12 certifications\n' });
    const home = importRoster(t, fleet);
    for (const { fingerprint } of fleet.operators) {
      t.same([...goodCertifications(home, fingerprint)].sort(), keyIds(fleet.bastions));
    }
    for (const { fingerprint } of fleet.bastions) {
      t.same([...goodCertifications(home, fingerprint)].sort(), keyIds(fleet.operators));
    }
    t.equal((await fleet.run('plan')).code, 0);
    const before = contents(fleet);
    t.same(await fleet.run('sign'), { code: 0, stdout: '', stderr: 'there is nothing to do\n' });
    t.same(contents(fleet), before, 'a second run changes nothing');
  },
);

t.test('authority: one key certifies all and signs the roster', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'authority', { operators: 3, bastions: 2 });
  const signed = await fleet.run('sign', '--json');
  t.equal(signed.code, 0);
  t.match(JSON.parse(signed.stdout), {
    certifications: 5,
    roster: 'signed',
    version: 1,
    lacking: [],
    unfit: [],
  });
  const home = importRoster(t, fleet);
  for (const { fingerprint } of [...fleet.operators, ...fleet.bastions]) {
    t.same(goodCertifications(home, fingerprint), keyIds(fleet.authority === null ? [] : [fleet.authority]));
  }
  const roster = join(fleet.roster, 'roster.yaml');
  const status = gpg(home, ['--status-fd', '1', '--verify', `${roster}.asc`, roster]);
  t.match(status, `VALIDSIG ${fleet.authority?.fingerprint}`);
  t.match(await fleet.run('sign'), { code: 0, stderr: 'there is nothing to do\n' });

  t.test(
    'a roster that has changed is signed with a higher version, and nothing else in it changes',
    async (t) => {
      const changed = readFileSync(roster, 'utf8').replace('host: b1.example.org', 'host: b9.example.org');
      writeFileSync(roster, changed);
      t.equal((await fleet.run('plan')).code, 1);
      t.match(await fleet.run('sign'), { code: 0, stderr: 'signed the roster, version 2\n' });
      t.equal(readFileSync(roster, 'utf8'), changed.replace('version: 1', 'version: 2'));
      t.equal((await fleet.run('plan')).code, 0);
    },
  );
});

t.test(
  'keys that are elsewhere are named, with what to do there; the rest is signed',
  { skip },
  async (t) => {
    const fleet = await makeFleet(t, 'mutual', { operators: 2, bastions: 2 });
    const [op1] = fleet.operators;
    const file = join(fleet.secrets, 'keys', `${op1?.fingerprint}.asc`);
    rmSync(file);
    const signed = await fleet.run('sign');
    t.equal(signed.code, 1);
    t.equal(
      signed.stderr,
      'made 6 certifications\n' +
        `op1: 2 certifications must be made with ${op1?.fingerprint}, which is not here; ` +
        `where it is: spa-keys sign (--gnupg-home default if gpg has it), or by hand: spa-keys plan --export FILE --for ${op1?.fingerprint}\n`,
    );
    // It turns up in a GnuPG home.
    const home = gnupgHome(t);
    gpg(home, ['--import'], op1?.secretKey);
    t.match(await fleet.run('sign', '--gnupg-home', home), { code: 0, stderr: 'made 2 certifications\n' });
    t.equal((await fleet.run('plan')).code, 0);
  },
);

t.test('a run that is killed at any moment loses nothing and doubles nothing', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'mutual', { operators: 12, bastions: 8 });
  for (let round = 0; round < 12; round += 1) {
    const args = [SPA_KEYS, 'sign', '--roster', fleet.roster, '--secrets', fleet.secrets];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    const end = once(child, 'exit');
    await sleep(100 + Math.random() * 350);
    child.kill('SIGKILL');
    await end;
  }
  t.equal((await fleet.run('sign')).code, 0);
  t.equal((await fleet.run('plan')).code, 0);
  const home = importRoster(t, fleet);
  for (const { fingerprint } of fleet.operators) {
    t.same([...goodCertifications(home, fingerprint)].sort(), keyIds(fleet.bastions));
  }
  for (const { fingerprint } of fleet.bastions) {
    t.same([...goodCertifications(home, fingerprint)].sort(), keyIds(fleet.operators));
  }
  const work = readdirSync(join(fleet.roster, '.spa-keys'));
  t.same(
    work.filter((name) => /^(draft|pending)/.test(name)),
    [],
  );
});

t.test('two runs at once do not mix: the second says who is at it', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'mutual', { operators: 6, bastions: 6 });
  const runs = await Promise.all([fleet.run('sign'), fleet.run('sign'), fleet.run('sign')]);
  for (const { code, stderr } of runs.filter((run) => run.code !== 0)) {
    t.equal(code, 75);
    t.match(stderr, /^spa-keys: .*\/roster: spa-keys.js sign works on it since .*Z, as process \d+\n$/);
  }
  t.ok(runs.some(({ code }) => code === 0));
  t.match(await fleet.run('sign'), { code: 0, stderr: 'there is nothing to do\n' });
});
