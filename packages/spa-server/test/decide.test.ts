import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import {
  type CipherMode,
  type OpeningKeys,
  parseIpNetwork,
  readCertificates,
  readSecretKeys,
  SymmetricKey,
} from 'spa-core';
import t from 'tap';
import { decide } from '../src/decision/decide.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import type { Verdict } from '../src/decision/verdict.ts';
import {
  addressOf,
  createSharedKeys,
  messageOf,
  portsOf,
  type SharedKeys,
  sealOf,
  stanzaOf,
} from './gate.ts';

const now = 1_795_310_900;
const clock = { nowSeconds: now, maxAgeSeconds: 120 };
const here = addressOf('192.0.2.7');
const [ours, theirs] = [createSharedKeys(), createSharedKeys()];
const elsewhere = ['198.51.100.0/24'].map(parseIpNetwork).filter((network) => network !== null);

interface Case {
  readonly stanzas: readonly Stanza[];
  readonly gets: object;
}

const CASES: Readonly<Record<string, Case>> = {
  'the stanza whose keys open the packet grants it': {
    stanzas: [stanzaWith(1, theirs), stanzaWith(2, ours)],
    gets: { kind: 'grant', opened: { stanzaNumber: 2 } },
  },
  'of two stanzas that would grant, the first does': {
    stanzas: [stanzaWith(1, ours, { accessTimeoutSeconds: 10 }), stanzaWith(2, ours)],
    gets: { kind: 'grant', grant: { timeoutSeconds: 10 }, opened: { stanzaNumber: 1 } },
  },
  'a refusal by one stanza does not keep the next from granting': {
    stanzas: [stanzaWith(1, ours, { requireUsername: 'bob' }), stanzaWith(2, ours)],
    gets: { kind: 'grant', opened: { stanzaNumber: 2 } },
  },
  'of several refusals the first stands': {
    stanzas: [
      stanzaWith(1, ours, { requireUsername: 'bob' }),
      stanzaWith(2, ours, { openPorts: portsOf('tcp/23') }),
    ],
    gets: { kind: 'deny', reason: 'user', opened: { stanzaNumber: 1 } },
  },
  'a refusal counts more than a packet that other stanzas cannot open': {
    stanzas: [stanzaWith(1, ours, { requireUsername: 'bob' }), stanzaWith(2, theirs)],
    gets: { kind: 'deny', reason: 'user' },
  },
  'a packet that no keys open is ignored, with how far it got': {
    stanzas: [stanzaWith(1, theirs, { sources: elsewhere }), stanzaWith(2, theirs)],
    gets: { kind: 'ignore', code: 'hmac' },
  },
  'a stanza without our HMAC key gets further, to what does not decrypt': {
    stanzas: [stanzaOf({ keys: [{ ...theirs.opening, hmac: ours.opening.hmac }] }), stanzaWith(2, theirs)],
    gets: { kind: 'ignore', code: 'decrypt' },
  },
  'without a stanza for its source it is ignored': {
    stanzas: [stanzaWith(1, ours, { sources: elsewhere })],
    gets: { kind: 'ignore', code: 'no-stanza' },
  },
  'without any stanza it is ignored': { stanzas: [], gets: { kind: 'ignore', code: 'no-stanza' } },
  'of a stanza with keys of two kinds the fitting ones are used': {
    stanzas: [stanzaOf({ keys: [openPgpOfNobody(), ours.opening] })],
    gets: { kind: 'grant' },
  },
};

for (const [title, { stanzas, gets }] of Object.entries(CASES)) {
  t.test(title, async (t) => {
    const packet = await sealOf(messageOf({ timestampSeconds: now }), ours.sealing);
    t.match(
      await decide({ packet, source: here, destination: null, forwardedFor: null }, stanzas, clock),
      gets,
    );
  });
}

t.test('the keys of a stanza for other sources are never tried', async (t) => {
  const packet = await sealOf(messageOf({ timestampSeconds: now }), ours.sealing);
  const stanzas = [stanzaWith(1, ours, { sources: elsewhere }), stanzaWith(2, ours)];
  t.match(await decide({ packet, source: here, destination: null, forwardedFor: null }, stanzas, clock), {
    kind: 'grant',
    opened: { stanzaNumber: 2 },
  });
});

t.test('the same message has the same identity in whichever stanza it is opened', async (t) => {
  const packet = await sealOf(messageOf({ timestampSeconds: now }), ours.sealing);
  const ids = await Promise.all(
    [1, 2].map(async (number) => {
      const verdict = await decide(
        { packet, source: here, destination: null, forwardedFor: null },
        [stanzaWith(number, ours)],
        clock,
      );
      return verdict.kind === 'grant' ? verdict.grant.id : verdict.kind;
    }),
  );
  t.equal(ids[0], ids[1]);
});

t.test('a stanza takes packets in the mode that it names, and in no other', async (t) => {
  const secret = randomBytes(32);
  const modes: readonly CipherMode[] = ['cbc', 'cfb', 'ofb', 'ctr', 'ecb'];
  for (const hmac of [null, ours.sealing.hmac]) {
    for (const sealedIn of modes) {
      const key = new SymmetricKey(secret, sealedIn);
      const packet = await sealOf(messageOf({ timestampSeconds: now }), {
        encryption: { kind: 'aes', key },
        hmac,
      });
      for (const named of modes) {
        const keys = { kind: 'aes', key: new SymmetricKey(secret, named), hmac } as const;
        const arrival = { packet, source: here, destination: null, forwardedFor: null };
        const { kind } = await decide(arrival, [stanzaOf({ keys: [keys] })], clock);
        t.equal(kind, named === sealedIn ? 'grant' : 'ignore', `${sealedIn} where ${named} is named`);
      }
    }
  }
});

t.test('operators who share the key of a bastion are not let in by each other’s stanzas', async (t) => {
  const [alice, bob] = [await operator('cli-ecc'), await operator('cli-rsa2048')];
  const aliceOnly = stanzaOf({ number: 1, keys: [openPgpFor(alice)], openPorts: portsOf('tcp/22,tcp/443') });
  const bobOnly = stanzaOf({ number: 2, keys: [openPgpFor(bob)] });
  const ask = async (signer: Operator, ports: string, stanzas: readonly Stanza[]): Promise<Verdict> => {
    const message = messageOf({
      timestampSeconds: now,
      request: { kind: 'access', source: null, ports: portsOf(ports) },
    });
    const packet = await sealOf(message, { encryption: signer.sealing, hmac: null });
    return decide({ packet, source: here, destination: null, forwardedFor: null }, stanzas, clock);
  };
  for (const stanzas of [
    [aliceOnly, bobOnly],
    [bobOnly, aliceOnly],
  ]) {
    t.match(await ask(alice, 'tcp/443', stanzas), {
      kind: 'grant',
      opened: { stanzaNumber: 1, signer: alice.fingerprint },
    });
    t.match(await ask(bob, 'tcp/22', stanzas), {
      kind: 'grant',
      opened: { stanzaNumber: 2, signer: bob.fingerprint },
    });
    t.match(await ask(bob, 'tcp/443', stanzas), {
      kind: 'deny',
      reason: 'port-not-open',
      opened: { stanzaNumber: 2 },
    });
  }
  t.match(await ask(bob, 'tcp/22', [aliceOnly]), { kind: 'ignore', code: 'signature' });
});

t.test('an old signature around a fresh message is outdated', async (t) => {
  const alice = await operator('cli-ecc');
  const message = messageOf({ timestampSeconds: now });
  const sealing = { encryption: alice.sealing, hmac: null };
  const packet = await sealOf(message, sealing, now - 121);
  t.match(
    await decide(
      { packet, source: here, destination: null, forwardedFor: null },
      [stanzaOf({ keys: [openPgpFor(alice)] })],
      clock,
    ),
    {
      kind: 'outdated',
      differenceSeconds: 121,
    },
  );
});

t.test('any bytes give a verdict, never an exception, and no new message', async (t) => {
  const alice = await operator('cli-ecc');
  const stanzas = [
    stanzaWith(1, ours),
    stanzaOf({ number: 2, keys: [{ ...ours.opening, hmac: null }, openPgpFor(alice)] }),
  ];
  const packets = await Promise.all([
    sealOf(messageOf({ timestampSeconds: now }), ours.sealing),
    sealOf(messageOf({ timestampSeconds: now }), { ...ours.sealing, hmac: null }),
    sealOf(messageOf({ timestampSeconds: now }), { encryption: alice.sealing, hmac: null }),
  ]);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 1600 }),
    fc.base64String({ minLength: 140, maxLength: 1500 }).map((text) => Buffer.from(text)),
    fc
      .tuple(
        fc.constantFrom(...packets),
        fc.nat(),
        fc.array(fc.constantFrom(...'AZaz09+/'), { maxLength: 9 }),
      )
      .map(([packet, at, text]) => spliced(packet, at % packet.length, Buffer.from(text.join('')))),
  );
  const verdicts = await Promise.all(
    packets.map((packet) =>
      decide({ packet, source: here, destination: null, forwardedFor: null }, stanzas, clock),
    ),
  );
  const known = verdicts.map(idOf);
  t.notMatch(known, [null]);
  await t.resolves(
    fc.assert(
      fc.asyncProperty(bytes, async (packet) => {
        const id = idOf(
          await decide({ packet, source: here, destination: null, forwardedFor: null }, stanzas, clock),
        );
        return id === null || known.includes(id);
      }),
      { numRuns: 300 },
    ),
  );
});

/** Writes over a part of the packet, or cuts it off there. */
function spliced(packet: Buffer, at: number, text: Buffer): Buffer {
  const rest = text.length === 0 ? Buffer.alloc(0) : packet.subarray(at + text.length);
  return Buffer.concat([packet.subarray(0, at), text, rest]);
}

function idOf(verdict: Verdict): string | null {
  return verdict.kind === 'ignore' ? null : verdict.opened.id;
}

function stanzaWith(number: number, { opening }: SharedKeys, changes: Partial<Stanza> = {}): Stanza {
  return stanzaOf({ number, keys: [opening], ...changes });
}

function openPgpOfNobody(): OpeningKeys {
  return { kind: 'openpgp', secretKeys: [], certificates: [], requireSignature: true, hmac: null };
}

type Operator = Awaited<ReturnType<typeof operator>>;

/** Somebody with a secret key of test/vectors, and the bastion that they knock at. */
async function operator(name: string) {
  const file = JSON.parse(
    readFileSync(new URL('../../../../test/vectors/06-gpg.json', import.meta.url), 'utf8'),
  ) as {
    readonly server_secret_keys: Readonly<Record<string, string>>;
    readonly client_secret_keys: Readonly<Record<string, string>>;
  };
  const own = Buffer.from(file.client_secret_keys[name] ?? '');
  const bastion = Buffer.from(file.server_secret_keys['srv-ecc'] ?? '');
  const [[signer], [recipient]] = [await readSecretKeys(own), await readCertificates(bastion)];
  if (signer === undefined || recipient === undefined) throw new Error('vector file without keys');
  return {
    fingerprint: signer.fingerprint,
    sealing: { kind: 'openpgp' as const, signer, recipient },
    certificates: await readCertificates(own),
    bastionKeys: await readSecretKeys(bastion),
  };
}

function openPgpFor({ bastionKeys, certificates }: Operator): OpeningKeys {
  return { kind: 'openpgp', secretKeys: bastionKeys, certificates, requireSignature: true, hmac: null };
}
