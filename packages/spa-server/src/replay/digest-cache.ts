import { hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync, renameSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Packet } from 'spa-core';
import { ConfigError } from 'spa-host';
import type { ServerConfig } from '../config/server-config.ts';
import type { Log } from '../system/log.ts';

/** Packets that fwknopd took, by its `digest.cache` (section 5.3): its digests are of the text on the wire. */
export interface DigestCache {
  /** How many packets the file names, as far as it was read. */
  readonly packetCount: number;
  /** How many lines are none of fwknopd's. They are passed over, as fwknopd does. */
  readonly badLineCount: number;
  /** The digests of those that may still be accepted. */
  readonly recent: ReadonlySet<string>;
}

/** What of the file is read. */
export interface DigestCacheRange {
  /** Packets that fwknopd took before, in seconds since 1970, cannot be accepted any more. */
  readonly sinceSeconds: number;
  /** Only so many bytes, from its end: fwknopd appends. Null: all. */
  readonly maxBytes: number | null;
}

/** Reads a `digest.cache`; null: there is none. @throws ConfigError if it cannot be read. */
export function readDigestCache(path: string, range: DigestCacheRange): DigestCache | null {
  const text = readEnd(path, range.maxBytes);
  return text === null ? null : parseDigestCache(text, range.sinceSeconds);
}

/**
 * The packets that fwknopd took before us and that could still be accepted: none of them opens a door here. `tell` is told of
 * them, and of lines that are passed over.
 * @throws ConfigError
 */
export function formerPackets(
  config: Pick<ServerConfig, 'digestFile' | 'maxPacketAgeSeconds'>,
  nowSeconds: number,
  tell: Pick<Log, 'info' | 'warning'>,
): ReadonlySet<string> {
  const { digestFile, maxPacketAgeSeconds } = config;
  const sinceSeconds = usefulSince(nowSeconds, maxPacketAgeSeconds);
  const cache = readDigestCache(digestFile, { sinceSeconds, maxBytes: IMPORTED_BYTES });
  if (cache === null) return new Set();
  if (cache.badLineCount > 0) tell.warning(badLines(digestFile, cache));
  if (cache.recent.size > 0) {
    tell.info(`${digestFile}: ${cache.recent.size} packets that fwknopd took lately stay refused`);
  }
  return cache.recent;
}

/** One line about lines that are none. */
export function badLines(path: string, { badLineCount }: DigestCache): string {
  return `${path}: ${badLineCount} lines are none of a digest.cache, and are passed over`;
}

/**
 * Since when a packet has to be in the file that may still be accepted, in seconds since 1970: its time may be
 * `maxAgeSeconds` ahead of the moment when it came, and it is accepted until it is as much behind.
 */
export function usefulSince(nowSeconds: number, maxAgeSeconds: number): number {
  return nowSeconds - 2 * maxAgeSeconds;
}

/** True if one of these digests is this packet's. */
export function isAmong(digests: ReadonlySet<string>, packet: Packet): boolean {
  return digests.size > 0 && digests.has(wireDigest(packet));
}

/** `--rotate-digest-cache`: renames the file to `…-old`, if it is there. @throws ConfigError if that cannot be done. */
export function rotateDigestCache(path: string): void {
  try {
    renameSync(path, `${path}-old`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    throw new ConfigError({ file: path }, `cannot be renamed: ${message}`);
  }
}

/** 80,000 packets: more than fwknopd takes in any useful window. */
const IMPORTED_BYTES = 8 * 1024 * 1024;

/** fwknopd's: base64 without "=" of SHA-256 over what came, HMAC included. */
function wireDigest({ text }: Packet): string {
  return hash('sha256', text, 'base64').replace(/=+$/, '');
}

function parseDigestCache(text: string, sinceSeconds: number): DigestCache {
  const recent = new Set<string>();
  let packetCount = 0;
  let badLineCount = 0;
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const entry = parseLine(line);
    if (entry === null) badLineCount += 1;
    else packetCount += 1;
    if (entry !== null && entry.seconds >= sinceSeconds) recent.add(entry.digest);
  }
  return { packetCount, badLineCount, recent };
}

/** `<digest> <proto> <src_ip> <src_port> <dst_ip> <dst_port> <time>` */
function parseLine(line: string): { readonly digest: string; readonly seconds: number } | null {
  const columns = /^([A-Za-z0-9+/]{43}) \d{1,3} (\S+) \d{1,5} (\S+) \d{1,5} (\d{1,12})\s*$/.exec(line);
  const [, digest, source, destination, seconds] = columns ?? [];
  if (digest === undefined || isIP(source ?? '') === 0 || isIP(destination ?? '') === 0) return null;
  return { digest, seconds: Number(seconds) };
}

/** A text that does not begin with the file begins with one of its lines. */
function readEnd(path: string, maxBytes: number | null): string | null {
  const descriptor = openIfThere(path);
  if (descriptor === null) return null;
  try {
    const { size } = fstatSync(descriptor);
    const start = maxBytes === null ? 0 : Math.max(0, size - maxBytes);
    const bytes = Buffer.alloc(size - start);
    const text = bytes.toString('latin1', 0, readSync(descriptor, bytes, 0, bytes.length, start));
    return start === 0 ? text : text.slice(text.indexOf('\n') + 1);
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    closeSync(descriptor);
  }
}

function openIfThere(path: string): number | null {
  try {
    // A pipe is not waited for.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): ConfigError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return new ConfigError({ file: path }, `cannot be read: ${message}`);
}
