import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { readRosterFolder } from '../src/roster/roster-folder.ts';
import { importAnswer, parseAnswer } from '../src/roster/signing-request.ts';
import {
  type FleetParty,
  gnupgHome,
  goodCertifications,
  gpg,
  importRoster,
  type KeysFleet,
  makeFleet,
  makeParty,
  type Ran,
  scratchFolder,
  spaKeys,
} from './keys-fleet.ts';

t.setTimeout(120_000);

const skip = lackingPrograms('gpg', 'gpgconf');

/** A fleet whose authority's secret key is only on another machine, in a GnuPG home. */
interface OfflineFleet extends KeysFleet {
  readonly org: FleetParty;
  /** What is carried. */
  readonly request: string;
  readonly answer: string;
  /** Runs spa-keys on the other machine, which has no roster. */
  readonly elsewhere: (...args: string[]) => Promise<Ran>;
}

async function makeOfflineFleet(t: Test): Promise<OfflineFleet> {
  const fleet = await makeFleet(t, 'authority', { operators: 3, bastions: 2 });
  const org = fleet.authority;
  if (org === null) throw new Error('no authority');
  rmSync(join(fleet.secrets, 'keys', `${org.fingerprint}.asc`));
  const home = gnupgHome(t);
  gpg(home, ['--import'], org.secretKey);
  const scratch = scratchFolder(t);
  const elsewhere = (...args: string[]): Promise<Ran> =>
    spaKeys([...args, '--gnupg-home', home, '--secrets', join(scratch, 'none')], { HOME: scratch });
  return {
    ...fleet,
    org,
    request: join(scratch, 'request.json'),
    answer: join(scratch, 'answer.json'),
    elsewhere,
  };
}

t.test('an authority without a network signs what is carried to it by hand', { skip }, async (t) => {
  const fleet = await makeOfflineFleet(t);
  const { request, answer, org, elsewhere } = fleet;
  t.match(await fleet.run('sign'), { code: 1, stderr: /plan --export FILE --for / });
  t.match(await fleet.run('plan', '--export', request), {
    code: 0,
    stderr: /^wrote .*request.json; where the key is/,
  });
  const unasked = await elsewhere('sign', '--import', request, '--export', answer);
  t.match(unasked, { code: 64, stderr: /nobody can be asked here .* add --yes/ }, 'nobody agreed');
  t.notOk(existsSync(answer), 'nothing was signed');
  const signed = await elsewhere('sign', '--yes', '--import', request, '--export', answer);
  t.equal(signed.code, 0, signed.stderr);
  t.match(signed.stderr, `5 certifications by the authority, ${org.fingerprint}:`);
  for (const { name, fingerprint } of [...fleet.operators, ...fleet.bastions]) {
    t.match(
      signed.stderr,
      new RegExp(`${fingerprint}  (operator|bastion) ${name}  ${name} <${name}@example.org>`),
    );
  }
  t.match(signed.stderr, /made 5 certifications and signed the roster; carry .*answer.json back/);
  const taken = await fleet.run('sign', '--import', answer);
  t.equal(taken.code, 0, taken.stderr);
  t.match(taken.stderr, 'took 5 certifications from');
  t.match(taken.stderr, 'the roster is signed');
  t.equal((await fleet.run('plan')).code, 0);
  const home = importRoster(t, fleet);
  for (const { fingerprint } of [...fleet.operators, ...fleet.bastions]) {
    t.same(goodCertifications(home, fingerprint), [org.fingerprint.slice(-16)]);
  }
  const roster = join(fleet.roster, 'roster.yaml');
  t.match(
    gpg(home, ['--status-fd', '1', '--verify', `${roster}.asc`, roster]),
    `VALIDSIG ${org.fingerprint}`,
  );
  t.match(await fleet.run('plan', '--export', request), { code: 0, stderr: 'there is nothing to ask for\n' });
  const again = await fleet.run('sign', '--import', answer);
  t.match(again.stderr, /took 0 certifications .*\nleft 5 out: they are here already/);
});

t.test('a request asks for no more than its own roster does', { skip }, async (t) => {
  const fleet = await makeOfflineFleet(t);
  const { request, answer, elsewhere } = fleet;
  await fleet.run('plan', '--export', request);
  const mallory = await makeParty('mallory');
  const asked = JSON.parse(readFileSync(request, 'utf8'));
  asked.wanted[0].subjects.push(mallory.fingerprint);
  asked.certificates += mallory.certificate;
  writeFileSync(request, JSON.stringify(asked));
  const signed = await elsewhere('sign', '--yes', '--import', request, '--export', answer);
  t.equal(signed.code, 0, signed.stderr);
  t.notMatch(signed.stderr, /mallory/);
  t.notOk(readFileSync(answer, 'utf8').includes(mallory.fingerprint));
});

t.test('an answer is taken as it was asked for, or not at all', { skip }, async (t) => {
  const fleet = await makeOfflineFleet(t);
  const { request, answer, elsewhere } = fleet;
  await fleet.run('plan', '--export', request);
  await elsewhere('sign', '--yes', '--import', request, '--export', answer);
  const good = JSON.parse(readFileSync(answer, 'utf8'));
  const [first, second] = good.certifications;
  const files = () =>
    fleet.operators.map(({ name }) =>
      readFileSync(join(fleet.roster, `certificates/operators/${name}.asc`), 'utf8'),
    );
  const before = files();
  const bend = (octets: string): string => {
    const bytes = Buffer.from(octets, 'base64');
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
    return bytes.toString('base64');
  };
  const bad: readonly (readonly [string, unknown, RegExp])[] = [
    [
      'a signature that is broken',
      { ...good, certifications: [{ ...first, signature: bend(first.signature) }] },
      /is not a good signature by .*nothing was taken/,
    ],
    [
      "another's signature",
      { ...good, certifications: [{ ...first, signature: second.signature }] },
      /is not a good signature/,
    ],
    [
      'no signature',
      { ...good, certifications: [{ ...first, signature: 'AAAA' }] },
      /is not a good signature/,
    ],
    [
      'another user ID',
      { ...good, certifications: [{ ...first, userId: 'root' }] },
      /is for the user ID "root"/,
    ],
    [
      "a roster's signature over another text",
      { ...good, roster: { ...good.roster, text: `${good.roster.text}#` } },
      /the roster's signature is none by/,
    ],
    ['no answer', { ...good, certifications: 'x' }, /is neither a signing request/],
    [
      'something else',
      { 'spa-keys': 'signing answer 1', roster: null, certifications: [null] },
      /is neither/,
    ],
  ];
  const folder = await readRosterFolder(fleet.roster);
  const options = { nowSeconds: Math.floor(Date.now() / 1000), verified: new Set<string>() };
  const take = async (document: unknown): Promise<unknown> =>
    importAnswer(answer, folder, parseAnswer(answer, JSON.stringify(document)), options);
  for (const [what, document, message] of bad) {
    await t.rejects(take(document), { name: 'ConfigError', message }, what);
    t.same(files(), before, 'nothing has changed');
    t.notOk(existsSync(join(fleet.roster, 'roster.yaml.asc')));
  }
  writeFileSync(answer, JSON.stringify(bad[0]?.[1]));
  const refused = await fleet.run('sign', '--import', answer);
  t.match(refused, { code: 78, stderr: /^spa-keys: .*nothing was taken\n$/ });
  writeFileSync(answer, 'x'.repeat(1000));
  t.match(await fleet.run('sign', '--import', answer), { code: 78 });

  // Who is not in the roster (any more) is left out.
  const roster = join(fleet.roster, 'roster.yaml');
  const text = readFileSync(roster, 'utf8');
  writeFileSync(roster, text.replace(/ {2}op3:\n( {4}.*\n)+/, ''));
  writeFileSync(answer, JSON.stringify(good));
  const taken = await fleet.run('sign', '--import', answer);
  t.match(taken, {
    code: 1,
    stderr: /took 4 certifications .*\nleft 1 out.*\nthe roster has changed since it was signed/,
  });
});

t.test('a mutual fleet asks each operator for his part', { skip }, async (t) => {
  const fleet = await makeFleet(t, 'mutual', { operators: 2, bastions: 2 });
  const [op1] = fleet.operators;
  if (op1 === undefined) throw new Error('no operator');
  rmSync(join(fleet.secrets, 'keys', `${op1.fingerprint}.asc`));
  t.equal((await fleet.run('sign')).code, 1);
  const home = gnupgHome(t);
  gpg(home, ['--import'], op1.secretKey);
  const scratch = scratchFolder(t);
  const [request, answer] = [join(scratch, 'request'), join(scratch, 'answer')];
  t.match(await fleet.run('plan', '--export', request, '--for', 'op1'), { code: 64 });
  t.equal((await fleet.run('plan', '--export', request, '--for', op1.fingerprint)).code, 0);
  const signed = await spaKeys(
    ['sign', '--yes', '--import', request, '--export', answer, '--gnupg-home', home],
    {
      HOME: scratch,
    },
  );
  t.match(signed, { code: 0, stderr: /2 certifications by op1/ });
  t.match(await fleet.run('sign', '--import', answer), { code: 0, stderr: /took 2 certifications/ });
  t.equal((await fleet.run('plan')).code, 0);
});
