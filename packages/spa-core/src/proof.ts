import { type RawCertificate, type RawSignature, unarmorBlocks } from './certificate-packets.ts';
import { readSignatures, verifyDocument } from './detached-signature.ts';
import { inflate } from './openpgp-compressed.ts';
import { KeyError } from './openpgp-keys.ts';
import { splitPackets, TAG } from './openpgp-packets.ts';
import { readSignatureFields } from './signature-packets.ts';

/** What somebody is to sign, to show that a key is his. */
export interface Challenge {
  /** Of whom or what is asked: one word. */
  readonly name: string;
  /** Random: 16 octets or more, in base64url. */
  readonly nonce: string;
  /** Seconds since 1970. */
  readonly expiresAtSeconds: number;
}

/** Whether a key is whose it is said to be; `reason` is one line. */
export type ProofVerdict =
  | { readonly isProven: true; readonly signedAtSeconds: number }
  | { readonly isProven: false; readonly reason: string };

/**
 * The challenge as text, which is public, and is to be signed as it is:
 *
 *     gpg --local-user FINGERPRINT --armor --detach-sign challenge.txt
 *
 * @throws RangeError if the name is not one word, or the nonce is short.
 */
export function formatChallenge({ name, nonce, expiresAtSeconds }: Challenge): string {
  if (!NAME.test(name)) throw new RangeError("a challenge's name is one word");
  if (!NONCE.test(nonce)) throw new RangeError("a challenge's nonce has 16 octets or more, in base64url");
  return `${TITLE}\nname: ${name}\nnonce: ${nonce}\nexpires: ${formatTime(expiresAtSeconds)}\n`;
}

/** The challenge that `text` is; null if it is none. */
export function parseChallenge(text: string): Challenge | null {
  const [, name = '', nonce = '', expires = ''] = CHALLENGE.exec(text.replaceAll('\r\n', '\n')) ?? [];
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a text is read.
  const expiresAtSeconds = Date.parse(expires) / 1000;
  const isOne = NAME.test(name) && NONCE.test(nonce) && Number.isSafeInteger(expiresAtSeconds);
  return isOne ? { name, nonce, expiresAtSeconds } : null;
}

/**
 * Whether `answer` is the text `challenge`, signed by `raw`, and in time. It may be a detached signature, armored or not, or what
 * `gpg --clearsign` or `gpg --sign` makes.
 */
export async function verifyProof(
  challenge: string,
  answer: Uint8Array,
  raw: RawCertificate,
  nowSeconds: number,
): Promise<ProofVerdict> {
  const asked = parseChallenge(challenge);
  if (asked === null) return refuse('this is no challenge');
  if (nowSeconds >= asked.expiresAtSeconds) {
    return refuse(`the challenge expired at ${formatTime(asked.expiresAtSeconds)}; ask with a new one`);
  }
  let documents: readonly SignedDocument[];
  try {
    documents = readAnswer(answer, Buffer.from(challenge));
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    return refuse(error.message);
  }
  if (documents.length === 0) return refuse('the answer holds no signature');
  let hasOther = false;
  for (const { text, signatures } of documents) {
    const made = await verifyDocument(text, signatures, [raw], nowSeconds);
    if (made === null) continue;
    if (sameText(text, challenge)) return { isProven: true, signedAtSeconds: made.signedAtSeconds };
    hasOther = true;
  }
  return refuse(
    hasOther ? 'what was signed is not the challenge' : `the answer is not signed by ${raw.fingerprint}`,
  );
}

const TITLE = 'spa-keys challenge';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const NONCE = /^[A-Za-z0-9_-]{22,86}$/;
const CHALLENGE =
  /^spa-keys challenge\nname: ([^\n]*)\nnonce: ([^\n]*)\nexpires: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n?$/;
/** An answer is some hundred octets. */
const ANSWER_MAX_BYTES = 65_536;

interface SignedDocument {
  readonly text: Buffer;
  readonly signatures: readonly RawSignature[];
}

function readAnswer(answer: Uint8Array, challenge: Buffer): readonly SignedDocument[] {
  if (answer.length === 0 || answer.length > ANSWER_MAX_BYTES) return [];
  const clear = readClearsigned(answer);
  if (clear !== null) return [clear];
  return unarmorBlocks(answer, ['SIGNATURE', 'MESSAGE']).flatMap((block): readonly SignedDocument[] => {
    const detached = readSignatures(block);
    if (detached.length > 0) return [{ text: challenge, signatures: detached }];
    const inline = readInline(block);
    return inline === null ? [] : [inline];
  });
}

/** A cleartext signature (RFC 9580 section 7); null if it is none. */
function readClearsigned(answer: Uint8Array): SignedDocument | null {
  const whole = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  const lines = whole.toString('utf8').replaceAll('\r\n', '\n').split('\n');
  const begin = lines.indexOf('-----BEGIN PGP SIGNED MESSAGE-----');
  const empty = begin < 0 ? -1 : lines.indexOf('', begin);
  const end = empty < 0 ? -1 : lines.indexOf('-----BEGIN PGP SIGNATURE-----', empty);
  if (end < 0) return null;
  // Blanks at the end of a line are not signed, and neither is the last line's end.
  const text = lines
    .slice(empty + 1, end)
    .map((line) => line.replace(/^- /, '').trimEnd())
    .join('\r\n');
  const [block] = unarmorBlocks(Buffer.from(lines.slice(end).join('\n'), 'latin1'), ['SIGNATURE']);
  return block === undefined ? null : { text: Buffer.from(text), signatures: readSignatures(block) };
}

/** A signed message (RFC 9580 section 10.3), compressed once or not at all; null if it is none. */
function readInline(message: Buffer): SignedDocument | null {
  const packets = splitPackets(inflate(message) ?? message) ?? [];
  const [literal, ...others] = packets.filter(({ tag }) => tag === TAG.literalData);
  if (literal === undefined || others.length > 0) return null;
  const start = 2 + (literal.body[1] ?? 0) + 4;
  if (start > literal.body.length) return null;
  const signatures = packets
    .filter(({ tag }) => tag === TAG.signature)
    .map(({ body }) => ({ octets: body, fields: readSignatureFields(body, 0) }));
  return { text: literal.body.subarray(start), signatures };
}

function sameText(text: Buffer, challenge: string): boolean {
  const plain = (one: string): string => one.replaceAll('\r\n', '\n').trimEnd();
  return plain(text.toString('utf8')) === plain(challenge);
}

function refuse(reason: string): ProofVerdict {
  return { isProven: false, reason };
}

function formatTime(seconds: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is written.
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}
