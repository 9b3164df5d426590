import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigError, writePrivateFile } from 'spa-host';

/** The roster that this host accepted last. It follows it from then on, and goes back to no older one. */
export interface AcceptedRoster {
  readonly roster: string;
  readonly version: number;
  /** Of the roster's octets, in hexadecimal. */
  readonly sha256: string;
  readonly signer: string;
  /** Seconds since 1970. */
  readonly acceptedAtSeconds: number;
}

/** What the file at `path` remembers; null if there is none, `damaged` if nobody can tell. @throws ConfigError */
export function readAccepted(path: string): AcceptedRoster | 'damaged' | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new ConfigError({ file: path }, `cannot be read: ${message}`);
  }
  return parseAccepted(text) ?? 'damaged';
}

/** Remembers `accepted`, for good: after a crash of the host it is this or what was there before. @throws ConfigError */
export function writeAccepted(path: string, accepted: AcceptedRoster): void {
  const folder = dirname(path);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ConfigError({ file: folder }, `cannot be made: ${(error as Error).message}`);
  }
  const { roster, version, sha256, signer, acceptedAtSeconds } = accepted;
  const text = JSON.stringify(
    { format: FORMAT, roster, version, sha256, signer, acceptedAtSeconds },
    null,
    2,
  );
  writePrivateFile(path, `${text}\n`);
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** What a roster's octets are compared by. */
export function digestOf(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}

const FORMAT = 1;

function parseAccepted(text: string): AcceptedRoster | null {
  let value: Readonly<Record<string, unknown>> | null;
  try {
    value = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || value.format !== FORMAT) return null;
  const { roster, version, sha256, signer, acceptedAtSeconds } = value;
  if (typeof roster !== 'string' || typeof sha256 !== 'string' || typeof signer !== 'string') return null;
  if (!isWhole(version) || !isWhole(acceptedAtSeconds)) return null;
  return { roster, version, sha256, signer, acceptedAtSeconds };
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
