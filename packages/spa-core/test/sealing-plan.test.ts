import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import {
  Certificate,
  openPacket,
  type PlannedSealing,
  parsePacket,
  planSealing,
  readCertificates,
  readSecretKeys,
  type SealingPlan,
  sealPacket,
} from 'spa-core';
import t from 'tap';
import { splitPackets } from '../src/openpgp-packets.ts';
import { sealByPlan } from '../src/openpgp-seal.ts';
import { message, plainRequest } from './generators.ts';
import { type OpenPgpVectors, readVectors } from './vectors.ts';

const PAIRS = [
  ['cli-ecc', 'srv-ecc'],
  ['cli-rsa2048', 'srv-rsa2048'],
  ['cli-rsa3072', 'srv-rsa3072'],
  ['cli-ecc', 'srv-rsa2048'],
  ['cli-rsa2048', 'srv-ecc'],
] as const;

const { timestampSeconds: nowSeconds } = plainRequest;
const vectors = readVectors<OpenPgpVectors>('06-gpg');
const hasGpg = spawnSync('gpg', ['--version']).status === 0;
if (!hasGpg && process.env.CI !== undefined) throw new Error('gpg is missing');

for (const [signerName, recipientName] of PAIRS) {
  t.test(`by plan, ${signerName} to ${recipientName}`, async (t) => {
    const { keys, plan, binary, armored, opening } = await setUp(signerName, recipientName);

    await t.test('any message that is sealed without the library is opened with it', async (t) => {
      await t.resolves(
        fc.assert(
          fc.asyncProperty(message, fc.boolean(), async (wanted, isArmored) => {
            const files = isArmored ? armored : binary;
            const encryption = { kind: 'openpgp', plan, files, load: notNeeded } as const;
            const packet = await seal(wanted, encryption);
            if (packet === null) return;
            const opened = await openPacket(parsePacket(Buffer.from(packet)), opening, { nowSeconds });
            t.same(opened.message, wanted);
            t.equal(opened.signer, keys.signer.fingerprint);
            t.equal(opened.signedAtSeconds, nowSeconds);
          }),
          { numRuns: 40 },
        ),
      );
    });

    await t.test('the library itself finds it good', async (t) => {
      const openpgp = await import('openpgp');
      for (let run = 0; run < 20; run++) {
        const sealed = sealByPlan(plan, binary, 'a text', nowSeconds) ?? Buffer.alloc(0);
        const { data, signatures } = await openpgp.decrypt({
          message: await openpgp.readMessage({ binaryMessage: sealed }),
          decryptionKeys: opening.secretKeys.map((key) => key.openpgpKey()),
          verificationKeys: keys.signer.openpgpKey().toPublic(),
          expectSigned: true,
          date: new Date(nowSeconds * 1000),
        });
        t.equal(data, 'a text');
        t.ok(await signatures[0]?.verified);
      }
    });

    await t.test('it is as long as what the library makes, packet by packet', async (t) => {
      const planned = sealByPlan(plan, binary, 'a text', nowSeconds) ?? Buffer.alloc(0);
      const byLibrary = await sealByLibrary(keys, 'a text');
      const ours = splitPackets(planned) ?? [];
      const theirs = splitPackets(Buffer.from(byLibrary)) ?? [];
      t.same(
        ours.map(({ tag }) => tag),
        theirs.map(({ tag }) => tag),
      );
      // Numbers that begin with zeros are shorter.
      for (const [index, { body }] of ours.entries()) {
        t.ok(Math.abs(body.length - (theirs[index]?.body.length ?? 0)) <= 3);
      }
    });

    await t.test('gpg finds it good', { skip: !hasGpg }, async (t) => {
      const home = mkdtempSync(join(tmpdir(), 'g'));
      t.teardown(() => {
        spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
        rmSync(home, { recursive: true, force: true });
      });
      const gpg = (args: readonly string[], input: string | Uint8Array) =>
        spawnSync('gpg', ['--homedir', home, '--batch', '--status-fd', '2', ...args], { input });
      gpg(['--import'], vectors.server_secret_keys[recipientName] ?? '');
      gpg(['--import'], keys.signer.openpgpKey().toPublic().write());
      const sealed = sealByPlan(plan, armored, 'a text', nowSeconds) ?? Buffer.alloc(0);
      const { stdout, stderr } = gpg(['--decrypt'], sealed);
      t.equal(stdout.toString(), 'a text');
      t.match(stderr.toString(), /\[GNUPG:\] GOODSIG/);
      t.match(stderr.toString(), /\[GNUPG:\] GOODMDC/);
    });
  });
}

t.test('a plan serves only its day and its keys; else the library is asked', async (t) => {
  const { plan, binary, armored, keys } = await setUp('cli-ecc', 'srv-ecc');
  const other = await setUp('cli-rsa2048', 'srv-rsa2048');
  const locked = Buffer.from(await lock(keys.signer));
  const damaged = Buffer.from(binary.signer);
  // The last octets of the first packet: key material and its checksum.
  const [first] = splitPackets(damaged) ?? [];
  first?.body.writeUInt8((first.body.at(-4) ?? 0) ^ 1, first.body.length - 4);
  const cases: Readonly<Record<string, readonly [SealingPlan, typeof binary, number]>> = {
    'a second too early': [plan, binary, nowSeconds - 1],
    'a day later': [plan, binary, nowSeconds + 86_400],
    'another signer': [plan, { ...binary, signer: other.binary.signer }, nowSeconds],
    'another recipient': [plan, { ...binary, recipient: other.binary.recipient }, nowSeconds],
    'a plan for others': [other.plan, binary, nowSeconds],
    'a locked key': [plan, { ...binary, signer: locked }, nowSeconds],
    'a damaged key': [plan, { ...binary, signer: damaged }, nowSeconds],
    'a signing key that encrypts': [
      { ...plan, encryptTo: plan.signWith },
      { ...binary, recipient: binary.signer },
      nowSeconds,
    ],
    'no key at all': [plan, { ...binary, recipient: Buffer.from('junk') }, nowSeconds],
    nothing: [plan, { ...binary, recipient: Buffer.alloc(0) }, nowSeconds],
    'two armored blocks': [
      plan,
      { ...armored, recipient: Buffer.concat([armored.recipient, armored.recipient]) },
      nowSeconds,
    ],
  };
  for (const [title, [wrongPlan, files, atSeconds]] of Object.entries(cases)) {
    t.equal(sealByPlan(wrongPlan, files, 'a text', atSeconds), null, title);
  }
  t.ok(sealByPlan(plan, binary, 'a text', nowSeconds + 86_399));
  let loads = 0;
  const load = async () => {
    loads++;
    return keys;
  };
  const encryption = { kind: 'openpgp', plan: other.plan, files: binary, load } as const;
  t.ok(await seal(plainRequest, encryption));
  t.equal(loads, 1);
});

t.test('keys that change within a day are not planned with', async (t) => {
  const openpgp = await import('openpgp');
  const { keys } = await setUp('cli-ecc', 'srv-ecc');
  const date = new Date((nowSeconds - 1000) * 1000);
  const made = await openpgp.generateKey({ userIDs: { name: 'bastion' }, date, format: 'object' });
  const expiring = async (keyExpirationTime: number) => {
    const userIDs = { name: 'bastion' };
    const options = {
      privateKey: made.privateKey,
      userIDs,
      date,
      keyExpirationTime,
      format: 'object',
    } as const;
    return new Certificate((await openpgp.reformatKey(options)).publicKey);
  };
  t.ok(await planSealing({ ...keys, recipient: await expiring(90_000) }, nowSeconds));
  t.equal(await planSealing({ ...keys, recipient: await expiring(80_000) }, nowSeconds), null);
  await t.rejects(planSealing({ ...keys, recipient: await expiring(500) }, nowSeconds), { name: 'KeyError' });
  const revoked = await openpgp.revokeKey({ key: made.privateKey, date, format: 'object' });
  const recipient = new Certificate(revoked.publicKey);
  await t.rejects(planSealing({ ...keys, recipient }, nowSeconds), { name: 'KeyError' });
});

t.test('of keys of another kind nothing is sealed by plan', async (t) => {
  const openpgp = await import('openpgp');
  const date = new Date((nowSeconds - 1000) * 1000);
  const options = { userIDs: { name: 'x' }, date, format: 'object', type: 'ecc', curve: 'nistP256' } as const;
  const { privateKey, publicKey } = await openpgp.generateKey(options);
  const { keys, binary } = await setUp('cli-ecc', 'srv-ecc');
  const recipient = new Certificate(publicKey);
  const plan = await planSealing({ ...keys, recipient }, nowSeconds);
  const files = { ...binary, recipient: publicKey.write() };
  t.equal(plan && sealByPlan(plan, files, 'a text', nowSeconds), null);
  const [signer] = await readSecretKeys(privateKey.write());
  const back = signer && (await planSealing({ signer, recipient: keys.recipient }, nowSeconds));
  t.equal(back && sealByPlan(back, { ...binary, signer: privateKey.write() }, 'a text', nowSeconds), null);
});

async function notNeeded(): Promise<never> {
  throw new Error('the library is not needed here');
}

type Keys = Awaited<ReturnType<PlannedSealing['load']>>;

async function setUp(signerName: string, recipientName: string) {
  const secret = Buffer.from(vectors.client_secret_keys[signerName] ?? '');
  const secretKeys = await readSecretKeys(Buffer.from(vectors.server_secret_keys[recipientName] ?? ''));
  const [recipient] = await readCertificates(Buffer.from(vectors.server_secret_keys[recipientName] ?? ''));
  const [signer] = await readSecretKeys(secret);
  if (signer === undefined || recipient === undefined) throw new Error('vector file without keys');
  const keys: Keys = { signer, recipient };
  const plan = await planSealing(keys, nowSeconds);
  if (plan === null) throw new Error('no plan');
  const publicKey = recipient.openpgpKey();
  return {
    keys,
    plan,
    binary: { signer: signer.openpgpKey().write(), recipient: publicKey.write() },
    armored: { signer: secret, recipient: Buffer.from(publicKey.armor()) },
    opening: {
      kind: 'openpgp',
      secretKeys,
      certificates: await readCertificates(secret),
      requireSignature: true,
      hmac: null,
    } as const,
  };
}

/** Null: the message is too long for a packet. */
async function seal(
  wanted: typeof plainRequest,
  encryption: { readonly kind: 'openpgp' } & (Keys | PlannedSealing),
): Promise<string | null> {
  const host = { nowSeconds, random: (bytes: number) => Buffer.alloc(bytes, 7) };
  try {
    return await sealPacket(wanted, { encryption, hmac: null }, host);
  } catch (error) {
    if ((error as { readonly code?: string }).code === 'packet-too-long') return null;
    throw error;
  }
}

async function sealByLibrary({ signer, recipient }: Keys, text: string): Promise<Uint8Array> {
  const openpgp = await import('openpgp');
  return openpgp.encrypt({
    message: await openpgp.createMessage({ binary: Buffer.from(text) }),
    encryptionKeys: recipient.openpgpKey(),
    signingKeys: signer.openpgpKey(),
    format: 'binary',
    date: new Date(nowSeconds * 1000),
    config: { aeadProtect: false, nonDeterministicSignaturesViaNotation: false },
  });
}

async function lock(key: Keys['signer']): Promise<Uint8Array> {
  const openpgp = await import('openpgp');
  const locked = await openpgp.encryptKey({ privateKey: key.openpgpKey(), passphrase: 'a' });
  return locked.write();
}
