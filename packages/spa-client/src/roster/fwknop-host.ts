import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Fingerprint, formatProtoPort, parseFingerprint, parseProtoPort } from 'spa-core';
import { ConfigError, type ConfigLine, parseConfigLines } from 'spa-host';

/** What a host with fwknopd lets in by OpenPGP. */
export interface FwknopHost {
  readonly stanzas: readonly FwknopStanza[];
  /** `UDPSERV_PORT` of fwknopd.conf, or the port of its `PCAP_FILTER`; null: neither is set. */
  readonly spaPort: number | null;
  /** What was left out, each a line that says why. */
  readonly remarks: readonly string[];
}

/** One stanza of access.conf with `GPG_REMOTE_ID` or `GPG_FINGERPRINT_ID`. */
export interface FwknopStanza {
  readonly line: number;
  readonly signers: readonly FwknopSigner[];
  /** `GPG_DECRYPT_ID`, as it is written; null: it is not set. */
  readonly decryptId: string | null;
  /** `GPG_HOME_DIR`; null: it is not set. */
  readonly gnupgHome: string | null;
  /** As in `tcp/22`. */
  readonly ports: readonly string[];
  readonly timeoutSeconds: number;
}

/** Whose packets a stanza takes. `fingerprint` null: it names a key ID or something else, which others can make, too. */
export interface FwknopSigner {
  readonly place: string;
  readonly text: string;
  readonly fingerprint: Fingerprint | null;
}

/**
 * The access.conf and fwknopd.conf of a folder such as /etc/fwknop.
 * @throws ConfigError if access.conf cannot be read
 */
export function readFwknopHost(folder: string): FwknopHost {
  const file = join(folder, 'access.conf');
  const lines = parseConfigLines(file, readText(file));
  const remarks: string[] = [];
  const stanzas: FwknopStanza[] = [];
  for (const stanza of stanzasOf(lines)) {
    const first = stanza[0];
    if (first === undefined) continue;
    const signers = stanza.filter(({ keyword }) => SIGNER_KEYWORDS.includes(keyword)).flatMap(signersOf);
    if (signers.length > 0) stanzas.push(stanzaOf(first.line, stanza, signers));
    else remarks.push(`${file}:${first.line}: this stanza has no OpenPGP signer, and is left out`);
  }
  for (const { keyword, line } of lines) {
    if (keyword.startsWith('%include'))
      remarks.push(`${file}:${line}: ${keyword} is not followed; run init with that file's folder, too`);
  }
  return { stanzas, spaPort: spaPortOf(folder), remarks };
}

const SIGNER_KEYWORDS: readonly string[] = ['GPG_REMOTE_ID', 'GPG_FINGERPRINT_ID'];
const DEFAULT_TIMEOUT_SECONDS = 30;
const MAX_TIMEOUT_SECONDS = 86_400;

/** A stanza begins with SOURCE. */
function stanzasOf(lines: readonly ConfigLine[]): readonly (readonly ConfigLine[])[] {
  const stanzas: ConfigLine[][] = [];
  for (const line of lines) {
    if (line.keyword === 'SOURCE') stanzas.push([line]);
    else stanzas.at(-1)?.push(line);
  }
  return stanzas;
}

function signersOf({ file, line, keyword, value }: ConfigLine): readonly FwknopSigner[] {
  return value
    .split(/\s*,\s*/)
    .filter(Boolean)
    .map((text) => {
      const fingerprint = parseFingerprint(text);
      return {
        place: `${file}:${line}: ${keyword}`,
        text,
        fingerprint: fingerprint?.length === 40 ? fingerprint : null,
      };
    });
}

function stanzaOf(
  line: number,
  stanza: readonly ConfigLine[],
  signers: readonly FwknopSigner[],
): FwknopStanza {
  const settingOf = (keyword: string): string | null =>
    stanza.find((one) => one.keyword === keyword)?.value ?? null;
  const named = (settingOf('OPEN_PORTS') ?? '')
    .split(/\s*,\s*/)
    .map((text) => parseProtoPort(text.toLowerCase()));
  const ports = named.filter((port) => port !== null).map(formatProtoPort);
  const timeout = Number(settingOf('FW_ACCESS_TIMEOUT') ?? DEFAULT_TIMEOUT_SECONDS);
  const isTimeout = Number.isSafeInteger(timeout) && timeout >= 1 && timeout <= MAX_TIMEOUT_SECONDS;
  return {
    line,
    signers,
    decryptId: settingOf('GPG_DECRYPT_ID'),
    gnupgHome: settingOf('GPG_HOME_DIR') ?? settingOf('GPG_HOMEDIR'),
    ports: ports.length === 0 ? ['tcp/22'] : ports,
    timeoutSeconds: isTimeout ? timeout : DEFAULT_TIMEOUT_SECONDS,
  };
}

function spaPortOf(folder: string): number | null {
  const file = join(folder, 'fwknopd.conf');
  if (!existsSync(file)) return null;
  const lines = parseConfigLines(file, readText(file));
  const settingOf = (keyword: string): string => lines.find((one) => one.keyword === keyword)?.value ?? '';
  const text =
    /^\d+$/.exec(settingOf('UDPSERV_PORT'))?.[0] ?? /\bport\s+(\d+)/.exec(settingOf('PCAP_FILTER'))?.[1];
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : null;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError({ file }, `cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}
