import t from 'tap';
import {
  type AddedSignature,
  auditRoster,
  type CertificationPolicy,
  certify,
  certifyingKey,
  type Fingerprint,
  isCleanPlan,
  isSoundPlan,
  makeKey,
  type Operator,
  type Plan,
  planRoster,
  type RawCertificate,
  type Roster,
  readSecretKeys,
  revokeCertification,
  type SecretKey,
  wantedCertifications,
  withSignatures,
} from '../src/index.ts';

const NOW = 1_790_000_000;
const DAY = 86_400;
const YEAR = 365 * DAY;

interface Key {
  certificate: RawCertificate;
  readonly secret: SecretKey;
}

async function keyOf(userId: string, expiresAtSeconds: number | null): Promise<Key> {
  const made = await makeKey({
    userId,
    expiresAtSeconds,
    nowSeconds: NOW - YEAR,
    passphrase: null,
    algorithm: 'ecc',
  });
  const [secret] = await readSecretKeys(Buffer.from(made.secretKey));
  if (secret === undefined) throw new Error('no key');
  return { certificate: made.certificate, secret };
}

interface Fleet {
  readonly keys: Readonly<Record<'authority' | 'alice' | 'bob' | 'b1', Key>>;
  readonly roster: Roster;
}

const POLICY: CertificationPolicy = { isExportable: true, days: 365, renewDays: 30 };

/** Alice and Bob may open b1. */
async function fleetOf(ends: Partial<Record<'alice', number>> = {}): Promise<Fleet> {
  const keys = {
    authority: await keyOf('Example Org', null),
    alice: await keyOf('Alice <alice@example.org>', ends.alice ?? null),
    bob: await keyOf('Bob <bob@example.org>', null),
    b1: await keyOf('b1', null),
  };
  const keyOfParty = (name: keyof typeof keys) => ({
    key: { fingerprint: keys[name].certificate.fingerprint, certificateFile: `${name}.asc` },
    retiring: null,
  });
  const operator = (name: 'alice' | 'bob'): Operator => ({
    ...{ kind: 'operator', name, fullName: null, email: null, ...keyOfParty(name), roles: [] },
    ...{ regions: null, notAfterSeconds: null, revoked: null },
  });
  return {
    keys,
    roster: {
      name: 'example',
      version: 1,
      topology: 'mutual',
      certifications: POLICY,
      authority: { kind: 'authority', name: 'Example Org', ...keyOfParty('authority') },
      operators: [operator('alice'), operator('bob')],
      bastions: [
        {
          ...{ kind: 'bastion', name: 'b1', region: 'r1', host: 'h', sshPort: 22, spaPort: 62_201 },
          ...{ ...keyOfParty('b1'), hmac: { kind: 'file', file: 'hmac/b1' }, capabilities: [] },
        },
      ],
      groups: new Map(),
      access: [
        {
          who: ['everybody'],
          where: ['everywhere'],
          ports: [{ protocol: 'tcp', port: 22 }],
          timeoutSeconds: 30,
        },
      ],
    },
  };
}

type Name = keyof Fleet['keys'];

async function certification(
  { keys }: Fleet,
  certifier: Name,
  subject: Name,
  terms: { readonly madeAt?: number; readonly end?: number | null; readonly isExportable?: boolean } = {},
): Promise<void> {
  const { certificate } = keys[subject];
  const userId = certificate.users[0]?.userId ?? '';
  const signature = await certify(certifyingKey(keys[certifier].secret), certificate, userId, {
    madeAtSeconds: terms.madeAt ?? NOW - DAY,
    expiresAtSeconds: terms.end === undefined ? NOW + YEAR : terms.end,
    isExportable: terms.isExportable ?? true,
  });
  add(keys[subject], { userId, signature });
}

function add(key: Key, signature: AddedSignature): void {
  key.certificate = withSignatures(key.certificate, [signature]);
}

async function mutual(fleet: Fleet): Promise<void> {
  for (const name of ['alice', 'bob'] as const) {
    await certification(fleet, 'b1', name);
    await certification(fleet, name, 'b1');
  }
}

function certificatesOf({ keys }: Fleet): Map<Fingerprint, RawCertificate> {
  return new Map(Object.values(keys).map(({ certificate }) => [certificate.fingerprint, certificate]));
}

function plan(fleet: Fleet, roster: Roster = fleet.roster): Promise<Plan> {
  return planRoster(roster, certificatesOf(fleet), { nowSeconds: NOW, verified: null });
}

/** `b1 alice ok`, in the plan's order. */
function standingsOf({ certifications }: Plan): readonly string[] {
  return certifications.map(
    ({ certifier, subject, state }) => `${certifier.party.name} ${subject.party.name} ${state}`,
  );
}

t.test('a fleet with all that its roster asks for is clean', async (t) => {
  const fleet = await fleetOf();
  t.same(standingsOf(await plan(fleet)), [
    'b1 alice missing',
    'alice b1 missing',
    'b1 bob missing',
    'bob b1 missing',
  ]);
  await mutual(fleet);
  const clean = await plan(fleet);
  t.same(standingsOf(clean), ['b1 alice ok', 'alice b1 ok', 'b1 bob ok', 'bob b1 ok']);
  t.equal(isCleanPlan(clean), true);
  t.equal(isSoundPlan(clean), true);
  t.equal(clean.keys.length, 4);
  t.equal(clean.access.length, 2);
  t.same(clean.unwanted, []);
});

t.test('a certification that expired, was taken back, or is about to end is to be made anew', async (t) => {
  const fleet = await fleetOf();
  await certification(fleet, 'b1', 'alice', { end: NOW - 1 });
  await certification(fleet, 'alice', 'b1', { end: NOW + 29 * DAY });
  await certification(fleet, 'b1', 'bob');
  const { certificate } = fleet.keys.bob;
  const userId = certificate.users[0]?.userId ?? '';
  const signature = await revokeCertification(certifyingKey(fleet.keys.b1.secret), certificate, userId, {
    ...{ madeAtSeconds: NOW - 10, reason: 'none', text: '', isExportable: true },
  });
  add(fleet.keys.bob, { userId, signature });
  await certification(fleet, 'bob', 'b1');
  const found = await plan(fleet);
  t.same(standingsOf(found), ['b1 alice expired', 'alice b1 expiring', 'b1 bob revoked', 'bob b1 ok']);
  t.equal(isSoundPlan(found), false);
  await certification(fleet, 'b1', 'alice');
  await certification(fleet, 'b1', 'bob', { madeAt: NOW - 5 });
  const mended = await plan(fleet);
  t.equal(isSoundPlan(mended), true, 'what is about to end is valid today');
  t.equal(isCleanPlan(mended), false);
});

t.test('one that cannot last longer is not always due', async (t) => {
  const fleet = await fleetOf();
  const [alice, ...others] = fleet.roster.operators;
  const leaving = { ...(alice as Operator), notAfterSeconds: NOW + 10 * DAY };
  await mutual(fleet);
  await certification(fleet, 'b1', 'bob', { end: NOW + 20 * DAY });
  const soon = { ...fleet.roster, operators: [leaving, ...others] };
  const bySoon = wantedCertifications(soon, NOW).find(({ subject }) => subject.party.name === 'alice');
  t.equal(bySoon?.expiresAtSeconds, NOW + 10 * DAY);
  const short = await fleetOf();
  await certification(short, 'b1', 'alice', { end: NOW + 10 * DAY });
  const [standing] = (
    await plan(short, {
      ...short.roster,
      operators: [{ ...(short.roster.operators[0] as Operator), notAfterSeconds: NOW + 10 * DAY }],
    })
  ).certifications;
  t.equal(standing?.state, 'ok');
  const weekly = { ...fleet.roster, certifications: { ...POLICY, days: 20 } };
  t.notOk(
    standingsOf(await plan(fleet, weekly)).some((line) => line.endsWith('expiring')),
    'twenty days are no notice of thirty',
  );
});

t.test('a certification for its maker alone is as good as none where others need it', async (t) => {
  const fleet = await fleetOf();
  await mutual(fleet);
  const local = await fleetOf();
  await certification(local, 'b1', 'alice', { isExportable: false });
  t.equal(standingsOf(await plan(local))[0], 'b1 alice missing');
  const here = { ...local.roster, certifications: { ...POLICY, isExportable: false } };
  t.equal(standingsOf(await plan(local, here))[0], 'b1 alice ok');
});

t.test(
  'a key that is missing, about to end or expired is said once, and its certifications wait for it',
  async (t) => {
    const fleet = await fleetOf({ alice: NOW + 10 * DAY });
    await mutual(fleet);
    const due = await plan(fleet);
    t.match(
      due.keys.find(({ party }) => party.name === 'alice'),
      { state: 'expiring', expiresAtSeconds: NOW + 10 * DAY },
    );
    t.equal(isSoundPlan(due), true);
    const later = await planRoster(fleet.roster, certificatesOf(fleet), {
      nowSeconds: NOW + 11 * DAY,
      verified: null,
    });
    t.match(
      later.keys.find(({ party }) => party.name === 'alice'),
      { state: 'expired' },
    );
    t.same(standingsOf(later).slice(0, 2), ['b1 alice key', 'alice b1 key']);
    const certificates = certificatesOf(fleet);
    certificates.delete(fleet.keys.bob.certificate.fingerprint);
    const without = await planRoster(fleet.roster, certificates, { nowSeconds: NOW, verified: null });
    t.match(
      without.keys.find(({ party }) => party.name === 'bob'),
      { state: 'missing' },
    );
    t.equal(isSoundPlan(without), false);
  },
);

t.test('who is revoked needs nothing, and what is left of him is unwanted', async (t) => {
  const fleet = await fleetOf();
  await mutual(fleet);
  const [alice, bob] = fleet.roster.operators as readonly [Operator, Operator];
  const roster = {
    ...fleet.roster,
    operators: [alice, { ...bob, revoked: { atSeconds: NOW - 1, reason: 'left' } }],
  };
  const found = await plan(fleet, roster);
  t.same(standingsOf(found), ['b1 alice ok', 'alice b1 ok']);
  t.notOk(found.keys.some(({ party }) => party.name === 'bob'));
  t.same(
    found.unwanted.map(({ certifier, subject }) => `${certifier.name} ${subject.party.name}`),
    ['b1 bob', 'bob b1'],
  );
});

t.test('by one authority it takes one certification for each', async (t) => {
  const fleet = await fleetOf();
  await mutual(fleet);
  const roster: Roster = { ...fleet.roster, topology: 'authority' };
  for (const name of ['alice', 'bob', 'b1'] as const) await certification(fleet, 'authority', name);
  const found = await plan(fleet, roster);
  t.same(standingsOf(found), ['Example Org alice ok', 'Example Org bob ok', 'Example Org b1 ok']);
  t.equal(isCleanPlan(found), true, 'what nobody wants opens no door');
  t.equal(found.unwanted.length, 4);
  const all = await auditRoster(roster, certificatesOf(fleet), { nowSeconds: NOW, verified: null });
  t.equal(all.length, 7);
});

t.test('a key that retires is still certified, and what it certified still counts', async (t) => {
  const fleet = await fleetOf();
  await mutual(fleet);
  const [alice, bob] = fleet.roster.operators as readonly [Operator, Operator];
  const renewed = await keyOf('Alice <alice@example.org>', null);
  const key = { fingerprint: renewed.certificate.fingerprint, certificateFile: 'new.asc' };
  const retiring = { ...alice.key, untilSeconds: NOW + 20 * DAY };
  const roster = { ...fleet.roster, operators: [{ ...alice, key, retiring }, bob] };
  const certificates = certificatesOf(fleet).set(key.fingerprint, renewed.certificate);
  const found = await planRoster(roster, certificates, { nowSeconds: NOW, verified: null });
  t.same(
    [...standingsOf(found)].sort(),
    ['b1 alice missing', 'b1 alice ok', 'alice b1 missing', 'b1 bob ok', 'bob b1 ok'].sort(),
  );
  t.same(found.unwanted, []);
  t.equal(found.keys.length, 5);
});

t.test('a signature that was verified once is not verified again', async (t) => {
  const fleet = await fleetOf();
  await mutual(fleet);
  const digests = new Set<string>();
  const hits: string[] = [];
  const verified = {
    has: (digest: string) => digests.has(digest) && hits.push(digest) > 0,
    add: (digest: string) => {
      digests.add(digest);
    },
  };
  await planRoster(fleet.roster, certificatesOf(fleet), { nowSeconds: NOW, verified });
  const size = digests.size;
  t.ok(size >= 4);
  hits.length = 0;
  await planRoster(fleet.roster, certificatesOf(fleet), { nowSeconds: NOW, verified });
  t.equal(digests.size, size, 'nothing new');
  t.ok(hits.length > 0);
});
