import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import {
  type Certificate,
  HmacKey,
  type IpNetwork,
  type OpeningKeys,
  parseIpNetwork,
  readCertificates,
  readSecretKeys,
  type Sealing,
  type SecretKey,
  SymmetricKey,
} from 'spa-core';
import t from 'tap';
import { createGate } from '../src/decision/gate.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import type { Datagram, Verdict } from '../src/decision/verdict.ts';
import { addressOf, messageOf, portsOf, sealOf, stanzaOf } from './gate.ts';
import { decidePlainly } from './plain-decision.ts';

const now = 1_795_310_900;
const clock = { nowSeconds: now, maxAgeSeconds: 120 };
const symmetricBytes = [1, 2].map((fill) => Buffer.alloc(32, fill));
const hmacBytes = [3, 4].map((fill) => Buffer.alloc(64, fill));

t.test('the gate decides as if each stanza was tried on its own, in order', async (t) => {
  const people = await readPeople();
  const packets = await somePackets(people);
  const scenario = fc.record({
    stanzas: fc.array(stanza(people), { maxLength: 6 }),
    packet: fc.constantFrom(...packets),
    damage: fc.option(fc.record({ at: fc.nat(), to: fc.constantFrom(...'AQgw09+/=') }), { freq: 3 }),
    source: fc.constantFrom('192.0.2.7', '198.51.100.9', '2001:db8::7', '10.0.0.1'),
  });
  const seen = new Set<string>();
  await t.resolves(
    fc.assert(
      fc.asyncProperty(scenario, async ({ stanzas, packet, damage, source }) => {
        const numbered = stanzas.map((one, index) => ({ ...one, number: index + 1 }));
        const bytes = damage === null ? packet : damaged(packet, damage.at, damage.to);
        const datagram = { packet: bytes, source: addressOf(source), destination: null, forwardedFor: null };
        const verdict = await decideLater(datagram, numbered);
        seen.add(verdict.kind === 'ignore' ? verdict.code : verdict.kind);
        return isDeepStrictEqual(verdict, await decidePlainly(datagram, numbered, clock));
      }),
      { numRuns: 600 },
    ),
  );
  const verdicts = ['grant', 'deny', 'outdated', 'no-stanza', 'packet-kind', 'hmac', 'decrypt', 'signature'];
  for (const verdict of verdicts) t.ok(seen.has(verdict), `${verdict} was among them`);
});

/** The datagram's memory is another's before anything is looked at that takes time. */
async function decideLater(datagram: Datagram, stanzas: readonly Stanza[]): Promise<Verdict> {
  const gate = createGate(stanzas);
  const packet = Uint8Array.from(datagram.packet);
  const glimpse = gate.glance({ ...datagram, packet });
  packet.fill(0);
  if (glimpse.kind === 'ignore') return glimpse;
  const candidate = gate.screen(glimpse);
  return candidate.kind === 'ignore' ? candidate : gate.decide(candidate, clock);
}

interface People {
  readonly bastions: readonly (readonly SecretKey[])[];
  readonly operators: readonly {
    readonly signer: SecretKey;
    readonly certificates: readonly Certificate[];
  }[];
}

/** Fresh objects each time: the gate has to see for itself that keys are equal. */
function stanza({ bastions, operators }: People): fc.Arbitrary<Stanza> {
  const hmac = fc
    .constantFrom(null, ...hmacBytes)
    .map((bytes) => (bytes === null ? null : new HmacKey(bytes, 'sha256')));
  const aes = fc.record({
    kind: fc.constant('aes' as const),
    key: fc.constantFrom(...symmetricBytes).map((bytes) => new SymmetricKey(bytes)),
    hmac,
  });
  const openpgp = fc.record({
    kind: fc.constant('openpgp' as const),
    secretKeys: fc.constantFrom(...bastions).map((keys) => [...keys]),
    certificates: fc.subarray([...operators]).map((some) => some.flatMap(({ certificates }) => certificates)),
    requireSignature: fc.boolean(),
    hmac,
  });
  const keys: fc.Arbitrary<OpeningKeys> = fc.oneof(
    { weight: 1, arbitrary: aes },
    { weight: 2, arbitrary: openpgp },
  );
  const networks = fc.subarray(
    ['192.0.2.0/24', '192.0.2.7', '198.51.100.0/25', '0.0.0.0/0', '2001:db8::/32', '::/0'].map(networkOf),
  );
  return fc
    .record({
      keys: fc.array(keys, { minLength: 0, maxLength: 2 }),
      sources: fc.oneof(fc.constant('any' as const), networks),
      requireUsername: fc.constantFrom(null, null, 'alice', 'bob'),
      openPorts: fc.constantFrom(null, portsOf('tcp/22'), portsOf('tcp/23')),
      accessTimeoutSeconds: fc.constantFrom(10, 30),
    })
    .map(stanzaOf);
}

async function somePackets({ bastions, operators }: People): Promise<readonly Buffer[]> {
  const sealings: Sealing[] = symmetricBytes.map((bytes) => ({ kind: 'aes', key: new SymmetricKey(bytes) }));
  for (const secretKeys of bastions) {
    const [recipient] = await certificatesOf(secretKeys);
    if (recipient === undefined) throw new Error('a bastion without key');
    for (const { signer } of operators) sealings.push({ kind: 'openpgp', signer, recipient });
  }
  const hmacs = [null, ...hmacBytes.map((bytes) => new HmacKey(bytes, 'sha256'))];
  const packets: Buffer[] = [Buffer.alloc(300, 'A'), Buffer.from(randomBytes(600).toString('base64url'))];
  for (const encryption of sealings) {
    for (const hmac of hmacs) {
      packets.push(await sealOf(messageOf({ timestampSeconds: now }), { encryption, hmac }));
    }
    const old = messageOf({ timestampSeconds: now - 500 });
    packets.push(await sealOf(old, { encryption, hmac: null }));
  }
  return packets;
}

async function readPeople(): Promise<People> {
  const file = JSON.parse(
    readFileSync(new URL('../../../../test/vectors/06-gpg.json', import.meta.url), 'utf8'),
  ) as Readonly<Record<'server_secret_keys' | 'client_secret_keys', Readonly<Record<string, string>>>>;
  const secret = (text = '') => readSecretKeys(Buffer.from(text));
  const operators = ['cli-ecc', 'cli-rsa2048'].map(async (name) => {
    const [signer] = await secret(file.client_secret_keys[name]);
    if (signer === undefined) throw new Error('a vector file without keys');
    return { signer, certificates: await certificatesOf([signer]) };
  });
  return {
    bastions: await Promise.all(
      ['srv-ecc', 'srv-rsa2048'].map((name) => secret(file.server_secret_keys[name])),
    ),
    operators: await Promise.all(operators),
  };
}

async function certificatesOf(keys: readonly SecretKey[]): Promise<readonly Certificate[]> {
  const binary = keys.map((key) => readCertificates(key.openpgpKey().toPublic().write()));
  return (await Promise.all(binary)).flat();
}

function damaged(packet: Buffer, at: number, to: string): Buffer {
  const bytes = Buffer.from(packet);
  bytes.write(to, at % bytes.length);
  return bytes;
}

function networkOf(text: string): IpNetwork {
  const network = parseIpNetwork(text);
  if (network === null) throw new TypeError(text);
  return network;
}
