import type {
  Certificate,
  DecryptionKeys,
  HmacKey,
  KeptKey,
  OpeningKeys,
  PacketKind,
  SecretKey,
  SymmetricKey,
} from 'spa-core';
import type { Stanza } from './stanza.ts';

/** One set of keys of a stanza. */
export interface Entry {
  /** Its place among all. */
  readonly order: number;
  readonly stanza: Stanza;
  readonly sources: Stanza['sources'];
  readonly keys: OpeningKeys;
  /** Who may sign; nobody has to with AES. */
  readonly certificates: readonly Certificate[];
}

/** Keys that decrypt a packet, and the entries that have them in common. */
export interface Opener {
  readonly keys: DecryptionKeys;
  /** The lowest number of their stanzas. */
  readonly firstStanza: number;
  /**
   * The entries whose certificates have one of these key IDs, all of them if null: no signature is asked for. `stranger` is
   * the first of the others.
   */
  entriesFor(signers: readonly string[] | null): {
    readonly entries: readonly Entry[];
    readonly stranger: Entry | null;
  };
}

/** The openers of one HMAC key, or of none. */
export interface Ring {
  readonly kind: PacketKind;
  readonly hmac: HmacKey | null;
  readonly openers: readonly Opener[];
  /** The lowest number of their stanzas. */
  readonly firstStanza: number;
  /** Those for OpenPGP packets by the key IDs of their secret keys. */
  readonly byRecipient: ReadonlyMap<string, readonly Opener[]>;
  /** How many keys have to be tried before it is known who of the ring may open a packet. */
  readonly effort: number;
}

/** The rings for packets of each kind. */
export type Group = Readonly<Record<PacketKind, readonly Ring[]>>;

/** The entries of all stanzas, in order. Keys that are equal are one object: whatever is done with them is done once. */
export function entriesOf(stanzas: readonly Stanza[]): readonly Entry[] {
  const unique = createInterner();
  const pairs = stanzas.flatMap((stanza) => stanza.keys.map((keys) => ({ stanza, keys })));
  return pairs.map(({ stanza, keys }, order) => ({
    order,
    stanza,
    sources: stanza.sources,
    keys: unique(keys),
    certificates: keys.kind === 'openpgp' ? keys.certificates : [],
  }));
}

/** The group of these entries. */
export function groupOf(entries: readonly Entry[]): Group {
  return { aes: ringsOf(entries, 'aes'), openpgp: ringsOf(entries, 'openpgp') };
}

/** The lowest number of the stanzas whose keys these are. */
export function firstStanzaOf(keys: readonly Pick<Ring | Opener, 'firstStanza'>[]): number {
  return Math.min(...keys.map(({ firstStanza }) => firstStanza));
}

function ringsOf(entries: readonly Entry[], kind: PacketKind): readonly Ring[] {
  const ofKind = entries.filter(({ keys }) => keys.kind === kind);
  return [...groupBy(ofKind, ({ keys }) => keys.hmac)].map(([hmac, sharing]) => ringOf(kind, hmac, sharing));
}

function ringOf(kind: PacketKind, hmac: HmacKey | null, entries: readonly Entry[]): Ring {
  const openers = [...groupBy(entries, ({ keys }) => sharedPart(keys)).values()].map(openerOf);
  const named = openers.flatMap((opener) => recipientsOf(opener).map((keyId) => ({ keyId, opener })));
  const byRecipient = [...groupBy(named, ({ keyId }) => keyId)].map(
    ([keyId, pairs]) => [keyId, pairs.map(({ opener }) => opener)] as const,
  );
  return {
    kind,
    hmac,
    openers,
    firstStanza: firstStanzaOf(openers),
    byRecipient: new Map(byRecipient),
    effort: hmac !== null ? 1 : kind === 'aes' ? openers.length : 0,
  };
}

/** What entries of one ring have to have in common to share an opener. Secret keys are interned lists. */
function sharedPart(keys: OpeningKeys): SymmetricKey | string {
  if (keys.kind === 'aes') return keys.key;
  return `${keys.secretKeys.map(identityOf).join()} ${keys.requireSignature}`;
}

function openerOf(entries: readonly Entry[]): Opener {
  const [first] = entries;
  if (first === undefined) throw new TypeError('an opener has entries');
  const bySigner = groupBy(
    entries.flatMap((entry) =>
      entry.certificates.flatMap(({ keyIds }) => keyIds.map((id) => ({ id, entry }))),
    ),
    ({ id }) => id,
  );
  return {
    keys: first.keys,
    firstStanza: Math.min(...entries.map(({ stanza }) => stanza.number)),
    entriesFor: (signers) => {
      if (signers === null) return { entries, stranger: null };
      const known = new Set(signers.flatMap((id) => bySigner.get(id) ?? []).map(({ entry }) => entry));
      const stranger = known.size === entries.length ? null : entries.find((entry) => !known.has(entry));
      return { entries: [...known], stranger: stranger ?? null };
    },
  };
}

function recipientsOf({ keys }: Opener): readonly string[] {
  return keys.kind === 'aes' ? [] : [...new Set(keys.secretKeys.flatMap(({ keyIds }) => keyIds))];
}

/** The same keys with the objects of the first keys that were equal to them. */
function createInterner(): (keys: OpeningKeys) => OpeningKeys {
  const hmacs = new Map<string, HmacKey>();
  const symmetric = new Map<string, SymmetricKey>();
  const secrets = new Map<string, readonly (SecretKey | KeptKey)[]>();
  return (keys) => {
    const hmac = keys.hmac === null ? null : first(hmacs, hmacIdentity(keys.hmac), keys.hmac);
    if (keys.kind === 'aes') {
      return { ...keys, hmac, key: first(symmetric, symmetricIdentity(keys.key), keys.key) };
    }
    const identity = keys.secretKeys.map(identityOf).join();
    return { ...keys, hmac, secretKeys: first(secrets, identity, keys.secretKeys) };
  };
}

function symmetricIdentity(key: SymmetricKey): string {
  return `${key.mode} ${key.bytes().toString('latin1')}`;
}

function hmacIdentity(hmac: HmacKey): string {
  return `${hmac.digest} ${hmac.bytes().toString('latin1')}`;
}

/** Equal for keys that decrypt the same: one may have lost the secret part of a subkey. */
function identityOf(key: SecretKey | KeptKey): string {
  return [key.fingerprint, ...key.keyIds.map((id) => `${id}${key.decryptionKey(id) !== null}`)].join(':');
}

function first<Value>(known: Map<string, Value>, identity: string, value: Value): Value {
  const before = known.get(identity);
  if (before !== undefined) return before;
  known.set(identity, value);
  return value;
}

function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
