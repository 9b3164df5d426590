import { isatty } from 'node:tty';
import { ConfigError, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { columns } from '../columns.ts';
import { type RcFile, readRcFile } from '../rc-file.ts';
import { readRegion, regionNames } from '../region.ts';
import { type RegionState, readRegionState } from '../region-state.ts';
import type { Settings } from '../settings.ts';
import { defaultRcFile, print, printable, say } from './program.ts';

/**
 * `sshbh list`: the regions of the rc file, what is opened with which key, and when it last was. No key is read.
 * @throws ConfigError if the rc file cannot be read; UsageError
 */
export async function listVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(LIST_OPTIONS, argv);
  if (values.help) return print(help());
  if (positionals.length > 0)
    throw new UsageError(`what is "${positionals[0]}"? sshbh list takes options only`);
  if (values.json && values.names) throw new UsageError('--json and --names contradict each other; give one');
  const rcFile = readRcFile(values['rc-file'] ?? defaultRcFile());
  if (values.names) return print(formatNames(rcFile));
  const entries = regionNames(rcFile).map((name) => describeRegion(rcFile, name));
  if (values.json) return print(`${JSON.stringify({ rcFile: rcFile.file, regions: entries }, null, 2)}\n`);
  // What is wrong with [default] is wrong with every region, and said once.
  const complaints = new Set(entries.flatMap(({ error }) => (error === undefined ? [] : [error])));
  for (const complaint of complaints) say(`sshbh: ${complaint}`);
  return print(formatTable(entries, Date.now()));
}

// biome-ignore format: a table, one option a row
const LIST_OPTIONS = [
  { long: 'json', help: 'everything, as JSON' },
  { long: 'names', help: 'only the names, one a line' },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

/** A region as `--json` has it. What is not set, or not known because of `error`, is absent. */
type RegionEntry = { readonly name: string; readonly error?: string } & Partial<RegionFacts>;

interface RegionFacts {
  /** `SPA_SERVER`. */
  readonly host: string;
  readonly sshPort: number;
  readonly encryption: 'openpgp' | 'aes';
  /** OpenPGP: whose key signs, as the rc file names it, or the file with the key. */
  readonly signer: string | null;
  readonly hmac: boolean;
  /** Other bastions of the region. */
  readonly fallback: readonly string[];
  readonly privateHosts: readonly string[];
  /** The next four: null before the first use from this machine. Times in ISO 8601. */
  readonly lastUsedAt: string | null;
  readonly openedAt: string | null;
  readonly address: string | null;
  readonly roundTripMs: number | null;
  /** AES without a key in the rc file: a person is asked for it. */
  readonly asksForKey: boolean;
}

function describeRegion(rcFile: RcFile, name: string): RegionEntry {
  try {
    const { bastions, privateHosts } = readRegion(rcFile, name);
    const [{ host, sshPort, settings }, ...others] = bastions;
    return {
      name,
      host,
      sshPort,
      ...describeKeys(settings),
      fallback: others.map((bastion) => bastion.name),
      privateHosts,
      ...describeUse(readRegionState(name)),
    };
  } catch (error) {
    if (error instanceof ConfigError) return { name, error: error.message };
    throw error;
  }
}

function describeKeys(
  settings: Settings,
): Pick<RegionFacts, 'encryption' | 'signer' | 'hmac' | 'asksForKey'> {
  const isOpenPgp = settings.useGpg === true;
  return {
    encryption: isOpenPgp ? 'openpgp' : 'aes',
    signer: isOpenPgp ? (settings.gpgSignerKeyFile ?? settings.gpgSigner ?? null) : null,
    hmac: settings.hmacKey !== undefined || settings.useHmac === true,
    asksForKey: !isOpenPgp && settings.key === undefined,
  };
}

function describeUse(
  state: RegionState | null,
): Pick<RegionFacts, 'lastUsedAt' | 'openedAt' | 'address' | 'roundTripMs'> {
  if (state === null) return { lastUsedAt: null, openedAt: null, address: null, roundTripMs: null };
  return {
    lastUsedAt: new Date(state.lastUsedAt).toISOString(),
    openedAt: new Date(state.openedAt).toISOString(),
    address: state.address,
    roundTripMs: state.roundTripMs,
  };
}

/** For completion: a name that is no single printable word cannot be typed there. */
function formatNames(rcFile: RcFile): string {
  return regionNames(rcFile)
    .filter((name) => !/[\p{C}\s]/u.test(name))
    .map((name) => `${name}\n`)
    .join('');
}

function formatTable(entries: readonly RegionEntry[], now: number): string {
  if (entries.length === 0) return '';
  const header = isatty(1) ? [['REGION', 'HOST', 'KEY', 'LAST USED', 'FALLBACK']] : [];
  const rows = [...header, ...entries.map((entry) => formatRow(entry, now))];
  return columns(rows);
}

function formatRow(entry: RegionEntry, now: number): readonly string[] {
  if (entry.error !== undefined) return [printable(entry.name), '?', '?', '?'];
  const { lastUsedAt, fallback } = entry;
  const used = typeof lastUsedAt === 'string' ? formatAge(Date.parse(lastUsedAt), now) : 'never';
  const others = fallback?.length ? `+${fallback.length}` : '';
  return [entry.name, entry.host ?? '', formatKey(entry), used, others].map(printable);
}

function formatKey({ encryption, signer, hmac, asksForKey }: RegionEntry): string {
  const aes = asksForKey ? 'AES (asks for the key)' : 'AES';
  const key = encryption === 'openpgp' ? `OpenPGP ${shorten(signer ?? '?')}` : aes;
  return `${key}${hmac ? ' + HMAC' : ', no HMAC'}`;
}

/** A fingerprint by its ends, a file by its name. */
function shorten(signer: string): string {
  const hex = /^(?:0x)?([0-9a-f]{4})[0-9a-f]{8,}([0-9a-f]{4})$/i.exec(signer.replaceAll(' ', ''));
  if (hex !== null) return `${hex[1]}…${hex[2]}`.toUpperCase();
  return signer.slice(signer.lastIndexOf('/') + 1);
}

/** The largest unit first. */
const AGES = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
] as const;
const OLD_MS = 60 * 86_400_000;

/** A clock that was set back makes no future: that is "just now" too. */
function formatAge(at: number, now: number): string {
  const age = now - at;
  if (age >= OLD_MS) return new Date(at).toISOString().slice(0, 10);
  const [unitMs, unit] = AGES.find(([ms]) => age >= ms) ?? [0, ''];
  if (unitMs === 0) return 'just now';
  const count = Math.floor(age / unitMs);
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
}

function help(): string {
  return `sshbh list: the regions, with host, key, when last used from here, and how many bastions stand by

Usage: sshbh list [options]      (or sshbh --list)

  sshbh list
  sshbh list --json | jq -r '.regions[] | select(.lastUsedAt == null) | .name'

${formatOptions(LIST_OPTIONS)}

A stanza that is wrong is listed with "?", and standard error says what is wrong with it.
`;
}
