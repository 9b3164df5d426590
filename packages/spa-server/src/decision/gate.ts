import {
  ANONYMOUS_RECIPIENT,
  beginOpening,
  type DecryptedPacket,
  decryptsWith,
  explainFault,
  explainKind,
  explainSigners,
  inspectPacket,
  KeptKey,
  type OpenedPacket,
  type Opening,
  type Packet,
  type SecretKey,
  SpaError,
} from 'spa-core';
import { authorize, type Clock } from './authorize.ts';
import { type Entry, entriesOf, type Group, groupOf, type Opener, type Ring } from './openers.ts';
import { termsOf } from './signers.ts';
import { indexBySource } from './source-index.ts';
import type { Stanza } from './stanza.ts';
import type { Arrival, Datagram, IgnoreCode, Verdict } from './verdict.ts';

/** A verdict on a packet that proves nothing. */
export type Ignored = Extract<Verdict, { readonly kind: 'ignore' }>;

/** A packet that could be one, by what can be seen without a key. */
export interface Glimpse extends Arrival {
  readonly kind: 'glimpse';
  readonly packet: Packet;
  /** How many keys have to be tried in {@link Gate.screen}: a few microseconds each. */
  readonly effort: number;
  /** The verdict of the stanzas that have no key for it. */
  readonly before: Ignored;
  readonly rings: readonly Ring[];
}

/** A packet that keys of some stanzas may open. */
export interface Candidate extends Arrival {
  readonly kind: 'candidate';
  readonly packet: Packet;
  /** What was found out of it so far. */
  readonly opening: Opening;
  /**
   * What it takes to find out: a shared key, which is nothing; or public-key work, for a named key of ours that Node takes
   * (`usual`), or not; or somebody else's work, who keeps a key of ours (`kept`): there is nothing to do but wait for him.
   */
  readonly work: 'shared-key' | 'usual' | 'unusual' | 'kept';
  /** True if its HMAC proves that somebody with a key made it, whenever that was. */
  readonly isVouched: boolean;
  /** The verdict of the stanzas that cannot open it. */
  readonly before: Ignored;
  readonly openers: readonly Opener[];
}

/**
 * The stanzas, arranged so that junk is cheap: whatever they have in common (networks, HMAC keys, secret keys) is looked at
 * once, however many they are.
 *
 * The verdict is that of trying stanza by stanza, in order: the first that grants decides; a refusal by one does not keep the
 * next from granting (section 5.4 of fwknop's behaviour: setups rely on it), otherwise the first refusal stands.
 */
export interface Gate {
  /** What can be told without a key. Takes microseconds. */
  glance(datagram: Datagram): Ignored | Glimpse;
  /** What HMACs and shared keys tell. Takes microseconds for each key that is tried: see {@link Glimpse.effort}. */
  screen(glimpse: Glimpse): Ignored | Candidate;
  /** Opens the packet and decides. May take public-key work: see {@link Candidate.work}. */
  decide(candidate: Candidate, clock: Clock): Promise<Verdict>;
}

/** The gate of these stanzas. */
export function createGate(stanzas: readonly Stanza[]): Gate {
  const index = indexBySource(entriesOf(stanzas), groupOf);
  return { glance: (datagram) => glance(datagram, index.find(datagram.source)), screen, decide };
}

function glance(datagram: Datagram, groups: readonly Group[]): Ignored | Glimpse {
  const packet = inspectPacket(datagram.packet);
  if (typeof packet === 'string') return IGNORED[packet];
  const [group] = groups;
  if (group === undefined) return IGNORED['no-stanza'];
  const { kind } = packet;
  const rings = groups.length === 1 ? group[kind] : groups.flatMap((one) => one[kind]);
  const isKindMissing = groups.some((one) => one[OTHER_KIND[kind]].length > 0);
  const before = isKindMissing ? NO_KEY_FOR[kind] : IGNORED['no-stanza'];
  if (rings.length === 0) return before;
  const effort = rings.reduce((sum, ring) => sum + ring.effort, 0);
  // Not the datagram itself, whose memory is used again while this waits. And no spread, which costs V8 more than all the rest of
  // the object.
  const { source, destination, forwardedFor } = datagram;
  return { kind: 'glimpse', source, destination, forwardedFor, packet, effort, before, rings };
}

function screen(glimpse: Glimpse): Ignored | Candidate {
  const { packet, before, rings, source, destination, forwardedFor } = glimpse;
  const opening = beginOpening(packet);
  const openers: Opener[] = [];
  let ignored = before;
  for (const ring of rings) {
    const isAuthentic = ring.hmac === null || opening.hasMac(ring.hmac);
    const found = isAuthentic ? SCREENS[ring.kind](opening, ring) : IGNORED.hmac;
    if (Array.isArray(found)) openers.push(...found);
    else ignored = moreTelling(ignored, found as Ignored);
  }
  if (openers.length === 0) return ignored;
  return {
    kind: 'candidate',
    source,
    destination,
    forwardedFor,
    packet,
    opening,
    work: packet.kind === 'aes' ? 'shared-key' : workFor(opening, openers),
    isVouched: openers.some(({ keys }) => keys.hmac !== null),
    before: ignored,
    openers,
  };
}

async function decide(candidate: Candidate, clock: Clock): Promise<Verdict> {
  const { opening, openers } = candidate;
  const attempts = new Map<Entry, DecryptedPacket>();
  let ignored: Telling = { verdict: candidate.before, order: -1 };
  for (const opener of openers) {
    const decrypted = await attempt(() => opening.decrypt(opener.keys, clock));
    if (decrypted instanceof SpaError) {
      ignored = furthest(ignored, { verdict: ignore(decrypted), order: -1 });
      continue;
    }
    const { entries, stranger } = opener.entriesFor(decrypted.signers);
    for (const entry of entries) attempts.set(entry, decrypted);
    if (stranger !== null) ignored = furthest(ignored, strangerTo(stranger, decrypted));
  }
  let refusal: Verdict | null = null;
  for (const [entry, decrypted] of [...attempts].sort(([a], [b]) => a.order - b.order)) {
    const opened: OpenedPacket | SpaError = await attempt(() => decrypted.verify(entry.certificates));
    if (opened instanceof SpaError) {
      ignored = furthest(ignored, { verdict: ignore(opened), order: entry.order });
      continue;
    }
    const { stanza } = entry;
    const operatorName = termsOf(stanza, opened.signer).name;
    const { id, message, signer, signedAtSeconds } = opened;
    const verdict = authorize(
      { id, message, signer, signedAtSeconds, stanzaNumber: stanza.number, operatorName },
      candidate,
      stanza,
      clock,
    );
    if (verdict.kind !== 'deny' && verdict.kind !== 'outdated') return verdict;
    refusal ??= verdict;
  }
  return refusal ?? ignored.verdict;
}

const OTHER_KIND = { aes: 'openpgp', openpgp: 'aes' } as const;

/** Who of a ring may open a packet whose HMAC fits; or why nobody does. */
const SCREENS: Readonly<Record<Packet['kind'], Screen>> = {
  aes: (opening, { hmac, openers }) => {
    // Its HMAC says that one of them decrypts it: with one there is nothing to find out.
    if (hmac !== null && openers.length === 1) return openers;
    const container = opening.container(hmac);
    if (container === null) return IGNORED['packet-base64'];
    const fitting = openers.filter(({ keys }) => keys.kind === 'aes' && decryptsWith(keys.key, container));
    return fitting.length === 0 ? IGNORED.decrypt : fitting;
  },
  openpgp: (opening, { hmac, openers, byRecipient }) => {
    const recipients = opening.recipients(hmac);
    if (recipients === null) return IGNORED['packet-base64'];
    if (recipients.includes(ANONYMOUS_RECIPIENT)) return openers;
    const fitting = new Set(recipients.flatMap((keyId) => byRecipient.get(keyId) ?? []));
    return fitting.size === 0 ? IGNORED.decrypt : [...fitting];
  },
};

type Screen = (opening: Opening, ring: Ring) => readonly Opener[] | Ignored;

function workFor(opening: Opening, openers: readonly Opener[]): Candidate['work'] {
  // A MAC is at the end, the recipients are in front: whose MAC it is makes no difference.
  const recipients = opening.recipients(openers[0]?.keys.hmac ?? null) ?? [];
  const isUsual = openers.every(
    ({ keys }) => keys.kind === 'aes' || hasNativeKey(keys.secretKeys, recipients),
  );
  if (isUsual) return 'usual';
  const isKept = openers.some(({ keys }) => keys.kind === 'openpgp' && keys.secretKeys.some(isKeptKey));
  return isKept ? 'kept' : 'unusual';
}

function isKeptKey(key: SecretKey | KeptKey): boolean {
  return key instanceof KeptKey;
}

function hasNativeKey(secretKeys: readonly (SecretKey | KeptKey)[], recipients: readonly string[]): boolean {
  return recipients.some((keyId) => secretKeys.some((key) => key.decryptionKey(keyId) !== null));
}

/** A verdict, and the place in order of the stanza that it is from. */
interface Telling {
  readonly verdict: Ignored;
  readonly order: number;
}

function strangerTo(stranger: Entry, { signers }: DecryptedPacket): Telling {
  const verdict = { kind: 'ignore', code: 'signature', detail: explainSigners(signers ?? []) } as const;
  return { verdict, order: stranger.order };
}

/** How far a packet got before it was ignored: what the operator wants to read is the furthest, of equals the first. */
const PROGRESS: readonly IgnoreCode[] = ['no-stanza', 'packet-kind', 'hmac', 'packet-base64', 'decrypt'];

function furthest(a: Telling, b: Telling): Telling {
  const ahead = progress(b.verdict.code) - progress(a.verdict.code);
  return ahead > 0 || (ahead === 0 && b.order < a.order) ? b : a;
}

function moreTelling(before: Ignored, next: Ignored): Ignored {
  return progress(next.code) > progress(before.code) ? next : before;
}

function progress(code: IgnoreCode): number {
  const index = PROGRESS.indexOf(code);
  return index < 0 ? PROGRESS.length : index;
}

function ignore({ code, message }: SpaError): Ignored {
  return { kind: 'ignore', code, detail: message };
}

const NO_KEY_FOR: Readonly<Record<Packet['kind'], Ignored>> = {
  aes: { kind: 'ignore', code: 'packet-kind', detail: explainKind('aes') },
  openpgp: { kind: 'ignore', code: 'packet-kind', detail: explainKind('openpgp') },
};

/** Made once: there are tens of thousands in a second when somebody wants it so. */
const IGNORED = {
  'packet-length': fault('packet-length'),
  'packet-alphabet': fault('packet-alphabet'),
  'packet-prefix': fault('packet-prefix'),
  'no-stanza': { kind: 'ignore', code: 'no-stanza', detail: 'no stanza is for this source' },
  hmac: { kind: 'ignore', code: 'hmac', detail: 'the HMAC does not fit' },
  'packet-base64': {
    kind: 'ignore',
    code: 'packet-base64',
    detail: 'the packet is not canonical base64',
  },
  decrypt: { kind: 'ignore', code: 'decrypt', detail: 'the packet does not decrypt' },
} as const satisfies Partial<Record<IgnoreCode, Ignored>>;

function fault(code: 'packet-length' | 'packet-alphabet' | 'packet-prefix'): Ignored {
  return { kind: 'ignore', code, detail: explainFault(code) };
}

async function attempt<T>(work: () => Promise<T>): Promise<T | SpaError> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SpaError) return error;
    throw error;
  }
}
