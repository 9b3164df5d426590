import {
  type CipherMode,
  type DigestName,
  encodeMessage,
  formatNatTarget,
  formatRequest,
  type Message,
  type MessageType,
  messageTypeOf,
  natTargetOf,
} from 'spa-core';
import type { Settings } from './settings.ts';

/** What the dump says of a packet beside its message. */
export interface DumpedPacket {
  readonly settings: Settings;
  /** Digest of the HMAC and the HMAC itself; null without HMAC. */
  readonly hmac: { readonly digest: DigestName; readonly mac: string } | null;
  readonly finalData: string;
}

/** The fields of a packet as fwknop's `-v` prints them. */
export function formatDump(message: Message, packet: DumpedPacket): string {
  const { settings, hmac } = packet;
  const text = encodeMessage(message);
  const target = natTargetOf(message.request);
  const digestAt = text.lastIndexOf(':');
  const rows: readonly (readonly [string, string])[] = [
    ['Random Value', message.randomValue],
    ['Username', message.username],
    ['Timestamp', String(message.timestampSeconds)],
    ['FKO Version', message.version],
    ['Message Type', TYPE_TEXTS[messageTypeOf(message).number]],
    ['Message String', formatRequest(message.request)],
    ['Nat Access', target === null ? ABSENT : formatNatTarget(target)],
    ['Server Auth', ABSENT],
    ['Client Timeout', String(message.clientTimeoutSeconds ?? 0)],
    ['Digest Type', DIGEST_TEXTS[message.digest]],
    ['HMAC Type', hmac === null ? '0 (None)' : DIGEST_TEXTS[hmac.digest]],
    ['Encryption Type', settings.useGpg ? '2 (GPG)' : '1 (Rijndael)'],
    ['Encryption Mode', settings.useGpg ? '7 (Asymmetric)' : MODE_TEXTS[settings.cipherMode ?? 'cbc']],
    ...(settings.useGpg ? gpgRows(settings) : []),
    ['Encoded Data', text.slice(0, digestAt)],
    ['SPA Data Digest', text.slice(digestAt + 1)],
    ['HMAC', hmac?.mac ?? ABSENT],
    ['Final SPA Data', packet.finalData],
  ];
  const lines = rows.map(([label, value]) => `${label.padStart(LABEL_WIDTH)}: ${value}`);
  return `SPA Field Values:\n=================\n${lines.join('\n')}\n`;
}

const LABEL_WIDTH = 'Encryption Type'.length;
const ABSENT = '<NULL>';

const TYPE_TEXTS: Readonly<Record<MessageType, string>> = {
  0: '0 (Command msg)',
  1: '1 (Access msg)',
  2: '2 (NAT access msg)',
  3: '3 (Client timeout access msg)',
  4: '4 (Client timeout NAT access msg)',
  5: '5 (Local NAT access msg)',
  6: '6 (Client timeout local NAT access msg)',
};

const MODE_TEXTS: Readonly<Record<CipherMode, string>> = {
  ecb: '1 (ECB)',
  cbc: '2 (CBC)',
  cfb: '3 (CFB)',
  ofb: '5 (OFB)',
  ctr: '6 (CTR)',
  legacy: '8 (legacy)',
};

const DIGEST_TEXTS: Readonly<Record<DigestName, string>> = {
  md5: '1 (MD5)',
  sha1: '2 (SHA1)',
  sha256: '3 (SHA256)',
  sha384: '4 (SHA384)',
  sha512: '5 (SHA512)',
  sha3_256: '6 (SHA3_256)',
  sha3_512: '7 (SHA3_512)',
};

/** The signature's own rows are of a receiver: a sender has not looked at it. */
function gpgRows(settings: Settings): readonly (readonly [string, string])[] {
  return [
    ['GPG signer', settings.gpgSigner ?? settings.gpgSignerKeyFile ?? ABSENT],
    ['GPG recipient', settings.gpgRecipient ?? settings.gpgRecipientKeyFile ?? ABSENT],
    ['GPG sig verify', 'Yes'],
    ['GPG ignore sig', 'No'],
    ['GPG sig ID', ABSENT],
    ['GPG sig fpr', ABSENT],
    ['GPG sig summary', '-1'],
    ['GPG sig status', '-1'],
    ['GPG home dir', settings.gpgHome ?? ABSENT],
    ['GPG exe', settings.gpgProgram ?? 'gpg'],
  ];
}
