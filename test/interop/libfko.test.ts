import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import {
  encodeMessage,
  HmacKey,
  type Message,
  openPacket,
  parsePacket,
  SpaError,
  SymmetricKey,
  sealPacket,
} from 'spa-core';
import { lackingPerlModule } from 'spa-lab';
import t from 'tap';
import { type Deviation, dissect, EXAMPLE_SECRETS, LOOSER, READ_OTHERWISE, STRICTER } from './deviations.ts';
import { forge } from './forge.ts';
import { type Fields, type Libfko, type Secrets, startLibfko } from './libfko.ts';
import { fieldsOf, message, secrets } from './messages.ts';
import { mutant } from './mutations.ts';

/** How many mutations; honest messages are a fifth of that, each way. `SPA_RUNS=100000` looks longer. */
const RUNS = Number(process.env.SPA_RUNS ?? 8_000);
/** The same ones each time, so that a failure is the change's; `SPA_SEED=2` looks elsewhere. A failure names its seed. */
const SEED = Number(process.env.SPA_SEED ?? 1);
const HONEST = { numRuns: RUNS / 5, seed: SEED };

t.setTimeout(600_000);

t.test('libfko and spa-core', { skip: lackingPerlModule('FKO') }, async (t) => {
  const libfko = startLibfko();
  t.teardown(libfko.close);

  await t.test('what libfko seals opens here, and every field is the same', async (t) => {
    const serverAuths = fc.constantFrom('', 'x', 'some text');
    await t.resolves(
      fc.assert(
        fc.asyncProperty(message, secrets, serverAuths, async (message, secrets, serverAuth) => {
          const { timestampSeconds, ...fields } = fieldsOf(message, serverAuth);
          const sealed = await libfko.seal({ ...fields, offsetSeconds: timestampSeconds - 1.8e9 }, secrets);
          if ('refused' in sealed) throw new Error(`libfko does not seal it: ${sealed.refused}`);
          const opened = await open(sealed.packet, secrets);
          // None that fwknopd would take: it looks at the length first.
          if (opened === null) return sealed.packet.length < 140;
          const sealedAt = Number(sealed.encoded.split(':')[2]);
          const wanted = { ...shared(fieldsOf(message)), timestampSeconds: sealedAt };
          return isDeepStrictEqual(shared(fieldsOf(opened)), wanted);
        }),
        HONEST,
      ),
    );
  });

  await t.test('what is sealed here libfko opens, and every field is the same', async (t) => {
    await t.resolves(
      fc.assert(
        fc.asyncProperty(message, secrets, async (message, secrets) => {
          const packet = await seal(message, secrets);
          if (packet === null) return isRefusedByFwknopd(libfko, message, secrets);
          const opened = await libfko.open(packet, secrets);
          if ('refused' in opened) throw new Error(`libfko does not open it: ${opened.refused}`);
          return isDeepStrictEqual(shared(opened), shared(fieldsOf(message)));
        }),
        HONEST,
      ),
    );
  });

  await t.test(
    'packets that were tampered with are judged alike, but for the listed deviations',
    async (t) => {
      const counts = new Map<string, number>();
      await t.resolves(
        fc.assert(
          fc.asyncProperty(mutant, async ({ packet, opening }) => {
            const { relation, reasons } = await compare(libfko, packet, opening);
            if (reasons?.length === 0)
              throw new Error(`spa-core is ${relation}, and no listed deviation is why`);
            counts.set(relation, (counts.get(relation) ?? 0) + 1);
          }),
          { numRuns: RUNS, seed: SEED },
        ),
      );
      // Mutations that are all refused, or all accepted, would show nothing.
      for (const relation of ['alike, accepting', 'alike, refusing', 'stricter', 'looser']) {
        t.ok((counts.get(relation) ?? 0) > RUNS / 100, `${relation}: ${counts.get(relation)} of ${RUNS}`);
      }
    },
  );

  await t.test('each listed deviation is one', async (t) => {
    for (const [relation, deviations] of Object.entries(DEVIATIONS)) {
      for (const { name, example } of deviations) {
        t.strictSame(await compare(libfko, example(), EXAMPLE_SECRETS), { relation, reasons: [name] }, name);
      }
    }
  });
});

t.test('docs/PROTOCOL.md says why, of each deviation', async (t) => {
  const text = readFileSync(new URL('../../../docs/PROTOCOL.md', import.meta.url), 'utf8');
  const documented = [...text.matchAll(/^\| \*\*(.+?)\*\* \|/gm)].map(([, name]) => name);
  const listed = [...STRICTER, ...LOOSER].map(({ name }) => name);
  t.strictSame(documented, listed);
});

/** How spa-core is to libfko, if not alike. */
const DEVIATIONS = {
  stricter: STRICTER,
  looser: LOOSER,
  'reading otherwise': READ_OTHERWISE,
} satisfies Readonly<Record<string, readonly Deviation[]>>;

/** How two judgements compare. `reasons`: names of the deviations that explain it; absent if nothing is to be explained. */
interface Comparison {
  readonly relation: 'alike, accepting' | 'alike, refusing' | keyof typeof DEVIATIONS;
  readonly reasons?: readonly string[];
}

async function compare(libfko: Libfko, packet: string, opening: Secrets): Promise<Comparison> {
  const ours = await open(packet, opening);
  const theirs = await libfko.open(packet, opening);
  const explained = (relation: keyof typeof DEVIATIONS): Comparison => {
    const anatomy = dissect(packet, opening);
    const reasons = DEVIATIONS[relation].filter(({ holds }) => holds(anatomy));
    return { relation, reasons: reasons.map(({ name }) => name) };
  };
  if (ours === null) return 'refused' in theirs ? { relation: 'alike, refusing' } : explained('stricter');
  if ('refused' in theirs) return explained('looser');
  if (!isDeepStrictEqual(shared(fieldsOf(ours)), shared(theirs))) return explained('reading otherwise');
  return { relation: 'alike, accepting' };
}

/** The message; null if it is refused. */
async function open(packet: string, { key, mode, hmac }: Secrets): Promise<Message | null> {
  const keys = { kind: 'aes', key: new SymmetricKey(key, mode), hmac: hmacKeyOf(hmac) } as const;
  try {
    const opened = await openPacket(parsePacket(Buffer.from(packet, 'latin1')), keys, { nowSeconds: 0 });
    return opened.message;
  } catch (error) {
    if (error instanceof SpaError) return null;
    throw error;
  }
}

/** The packet; null if fwknopd would not take it. */
async function seal(message: Message, { key, mode, hmac }: Secrets): Promise<string | null> {
  const keys = {
    encryption: { kind: 'aes', key: new SymmetricKey(key, mode) },
    hmac: hmacKeyOf(hmac),
  } as const;
  try {
    return await sealPacket(message, keys, { nowSeconds: 0, random: randomBytes });
  } catch (error) {
    if (error instanceof SpaError) return null;
    throw error;
  }
}

/** fwknopd looks at the length first, and then asks libfko. */
async function isRefusedByFwknopd(libfko: Libfko, message: Message, secrets: Secrets): Promise<boolean> {
  const packet = forge(encodeMessage(message), secrets, Buffer.from('saltsalt'));
  return packet.length < 140 || packet.length >= 400 || 'refused' in (await libfko.open(packet, secrets));
}

function hmacKeyOf(hmac: Secrets['hmac']): HmacKey | null {
  return hmac === null ? null : new HmacKey(hmac.key, hmac.digest);
}

/** What both can tell of a message. */
function shared(fields: Fields): Omit<Fields, 'serverAuth'> {
  const { randomValue, username, timestampSeconds, type, message, nat, timeoutSeconds, digest } = fields;
  return { randomValue, username, timestampSeconds, type, message, nat, timeoutSeconds, digest };
}
