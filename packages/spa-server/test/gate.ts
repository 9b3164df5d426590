import { randomBytes } from 'node:crypto';
import {
  HmacKey,
  type IpAddress,
  type Message,
  type OpeningKeys,
  type ProtoPort,
  parseIpAddress,
  parseProtoPorts,
  randomDigits,
  type Sealing,
  SymmetricKey,
  sealPacket,
} from 'spa-core';
import { NO_NAT } from '../src/decision/nat.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import type { LogEvent } from '../src/log/event.ts';
import { linesOf } from '../src/log/text.ts';
import { type DaemonLog, logOf } from '../src/system/log.ts';

/** Shared secrets as both sides hold them. */
export interface SharedKeys {
  readonly sealing: { readonly encryption: Sealing; readonly hmac: HmacKey | null };
  readonly opening: OpeningKeys;
}

/** Fresh secrets of AES with HMAC. */
export function createSharedKeys(): SharedKeys {
  const key = new SymmetricKey(randomBytes(32));
  const hmac = new HmacKey(randomBytes(64), 'sha256');
  return {
    sealing: { encryption: { kind: 'aes', key }, hmac },
    opening: { kind: 'aes', key, hmac },
  };
}

/** The stanza of an operator who may open tcp/22; `changes` say what is otherwise. */
export function stanzaOf(changes: Partial<Stanza>): Stanza {
  return {
    number: 1,
    place: 'access.conf:1',
    sources: 'any',
    destinations: 'any',
    expiresAtSeconds: null,
    keys: [],
    openPorts: portsOf('tcp/22'),
    restrictPorts: [],
    accessTimeoutSeconds: 30,
    maxTimeoutSeconds: 300,
    requireSourceAddress: false,
    requireUsername: null,
    commands: null,
    cycle: null,
    nat: NO_NAT,
    doorsAtDestination: false,
    signers: null,
    ...changes,
  };
}

/** What alice asks for: tcp/22 for the address that she is seen with. */
export function messageOf(changes: Partial<Message>): Message {
  return {
    randomValue: randomDigits(randomBytes),
    username: 'alice',
    timestampSeconds: Math.floor(Date.now() / 1000),
    version: '3.0.0',
    request: { kind: 'access', source: null, ports: portsOf('tcp/22') },
    clientTimeoutSeconds: null,
    digest: 'sha256',
    ...changes,
  };
}

/** The packet of `message`. */
export async function sealOf(
  message: Message,
  keys: SharedKeys['sealing'],
  signedAtSeconds: number = message.timestampSeconds,
): Promise<Buffer> {
  const host = { nowSeconds: signedAtSeconds, random: randomBytes };
  return Buffer.from(await sealPacket(message, keys, host));
}

/** @throws TypeError if `text` is no address. */
export function addressOf(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address === null) throw new TypeError(text);
  return address;
}

/** @throws TypeError if `text` is no list of ports. */
export function portsOf(text: string): readonly ProtoPort[] {
  const ports = parseProtoPorts(text);
  if (ports === null) throw new TypeError(text);
  return ports;
}

/** A log that can be read: `info: …`. */
export function createReadableLog(): DaemonLog & {
  readonly events: readonly LogEvent[];
  readonly lines: readonly string[];
  readonly debugLines: readonly string[];
} {
  const events: LogEvent[] = [];
  const lines: string[] = [];
  const debugLines: string[] = [];
  const log = logOf((event) => {
    events.push(event);
    for (const { level, text } of linesOf(event)) {
      if (level === 'debug') debugLines.push(text);
      else lines.push(`${level}: ${text}`);
    }
  });
  return { ...log, events, lines, debugLines };
}
