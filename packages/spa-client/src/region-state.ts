import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { homeDirectory } from './home.ts';

/** What this machine remembers of a region. Times are ms since the epoch. */
export interface RegionState {
  /** When somebody last went through the region's door. */
  readonly lastUsedAt: number;
  /** The IP address of the bastion whose door it was. */
  readonly address: string;
  /** When a packet last opened that door. */
  readonly openedAt: number;
  /** How long the bastion took to answer a TCP handshake. */
  readonly roundTripMs: number;
}

/** What is remembered of a region; null if nothing, or nothing that can be read. Never throws. */
export function readRegionState(name: string): RegionState | null {
  try {
    return parseState(name, JSON.parse(readFileSync(stateFile(name), 'utf8')));
  } catch {
    return null;
  }
}

/** Remembers a region, in one step: a reader sees the old state or the new. If that cannot be done, nothing happens. */
export function writeRegionState(name: string, state: RegionState): void {
  let draft: string | null = null;
  try {
    const file = stateFile(name);
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    draft = `${file}.${randomBytes(6).toString('hex')}`;
    const { lastUsedAt, address, openedAt, roundTripMs } = state;
    const remembered = { region: fold(name), lastUsedAt, address, openedAt, roundTripMs };
    writeFileSync(draft, `${JSON.stringify(remembered)}\n`, { flag: 'wx', mode: 0o600 });
    renameSync(draft, file);
  } catch {
    if (draft !== null) removeQuietly(draft);
  }
}

/** The name's plain letters, for people who look into the folder, and its digest, so that any two names differ. */
function stateFile(name: string): string {
  const folded = fold(name);
  const readable = folded.replaceAll(/[^a-z0-9-]+/g, '_').slice(0, 40);
  const digest = createHash('sha256').update(folded).digest('hex').slice(0, 32);
  return join(stateDirectory(), `${readable}.${digest}.json`);
}

/**
 * Where this machine's memory is kept. XDG's rule: a relative path in `XDG_STATE_HOME` counts as none.
 * @throws ConfigError if there is no home
 */
export function stateDirectory(): string {
  const { XDG_STATE_HOME: named = '' } = process.env;
  return join(isAbsolute(named) ? named : join(homeDirectory(), '.local', 'state'), 'sshbh');
}

/** Names that differ only in case are one stanza of the rc file. */
function fold(name: string): string {
  return name.toLowerCase();
}

function parseState(name: string, content: unknown): RegionState | null {
  if (typeof content !== 'object' || content === null) return null;
  const { region, lastUsedAt, address, openedAt, roundTripMs } = content as Record<string, unknown>;
  if (region !== fold(name) || !isAddress(address)) return null;
  if (!isTime(lastUsedAt) || !isTime(openedAt) || !isTime(roundTripMs)) return null;
  return { lastUsedAt, address, openedAt, roundTripMs };
}

/** Later than any date that `Date` knows is no time. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 8.64e15;
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f.:]{2,45}(%[\w.-]{1,32})?$/i.test(value);
}

function removeQuietly(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // It stays behind; it is in nobody's way.
  }
}
