import type { Statement } from './keywords.ts';

/** What else the same stanza, or the same configuration, says: the value of each keyword that is there. */
export type Said = ReadonlyMap<string, string>;

/** What a line does here that it does not do with fwknopd; null: nothing. */
export type Difference = (value: string, said: Said) => string | null;

/**
 * One line for each statement that means something else than with fwknopd: read before anything changes, by whoever moves a
 * host. Keywords of `withoutEffect` have none here, unless their row says otherwise.
 */
export function differencesOf(
  table: Readonly<Record<string, Difference>>,
  withoutEffect: ReadonlySet<string>,
  statements: readonly Statement[],
): readonly string[] {
  const said = new Map(statements.map(({ keyword, value }) => [keyword, value]));
  return statements.flatMap(({ keyword, value, place: { file, line, keyword: written } }) => {
    const row = Object.hasOwn(table, keyword) ? table[keyword] : undefined;
    const otherwise = withoutEffect.has(keyword) ? 'has no effect here' : null;
    const difference = row === undefined ? otherwise : row(value, said);
    const where = line === undefined ? file : `${file}:${line}: ${written ?? keyword}`;
    return difference === null ? [] : [`${where}: ${difference}`];
  });
}

/** What `file`, a fwknopd.conf, leaves to defaults that are not fwknopd's. */
export function silentDifferencesOf(file: string, statements: readonly Statement[]): readonly string[] {
  const isSilent = (...keywords: readonly string[]): boolean =>
    !statements.some(({ keyword }) => keywords.includes(keyword));
  return [
    ...(isSilent('ENABLE_UDP_SERVER', 'PCAP_INTF', 'PCAP_FILTER', 'PCAP_FILE')
      ? [
          `${file}: packets come through a UDP socket; fwknopd captures them on eth0, unless ENABLE_UDP_SERVER says Y`,
        ]
      : []),
    ...(isSilent('FIREWALL', 'FIREWALL_EXE')
      ? [
          `${file}: doors are made in nftables or iptables, whichever this host uses; fwknopd makes them in iptables, unless FIREWALL_EXE says so`,
        ]
      : []),
  ];
}

/** What the lines of access.conf do here and not there. */
export const ACCESS_DIFFERENCES: Readonly<Record<string, Difference>> = {
  DESTINATION: unless(
    /^any$/i,
    'holds with a UDP socket on LISTEN_ADDRESS too; fwknopd never finds it there',
  ),
  FW_ACCESS_TIMEOUT: (value, said) =>
    Number(value) > 300 && !said.has('MAX_FW_TIMEOUT')
      ? 'a client may ask for as much; with fwknopd for 300 seconds, unless MAX_FW_TIMEOUT says so'
      : null,
  ACCESS_EXPIRE: always('doors close at that moment too; fwknopd leaves those that are open'),
  ACCESS_EXPIRE_EPOCH: always('doors close at that moment too; fwknopd leaves those that are open'),
  GPG_DECRYPT_ID: always(
    'no other key opens packets of this stanza; with fwknopd any key of the GnuPG home does',
  ),
  GPG_IGNORE_SIG_VERIFY_ERROR: ifYes('a signature has to be right; fwknopd accepts a wrong one'),
  ENABLE_CMD_EXEC: ifYes('a command that takes longer than CMD_EXEC_TIMEOUT is killed; fwknopd waits for it'),
  CMD_EXEC_USER: always("a command is in none of root's other groups; with fwknopd it stays in them"),
  CMD_SUDO_EXEC_GROUP: always('is given to sudo; fwknopd leaves it out'),
  CMD_EXEC_GROUP: always('is the name of a group; fwknopd looks for a user of that name'),
  CMD_CYCLE_OPEN: (_, said) =>
    said.has('OPEN_PORTS') || said.has('RESTRICT_PORTS')
      ? 'OPEN_PORTS and RESTRICT_PORTS hold; fwknopd runs it for any port'
      : null,
  CMD_CYCLE_CLOSE: unless(
    /^none$/i,
    'runs after the last of several requests, and after a restart; with fwknopd after the first, and never',
  ),
  CMD_CYCLE_TIMER: always('MAX_FW_TIMEOUT bounds what a client asks for instead; with fwknopd nothing does'),
  '%include': unless(/^\//, 'the path starts at the folder of this file; with fwknopd at the current one'),
  '%include_keys': unless(
    /^\//,
    'the path starts at the folder of this file; with fwknopd at the current one',
  ),
  '%include_folder': always('its files are read by name; by fwknopd as they come'),
};

/** What the lines of fwknopd.conf do here and not there. */
export const SERVER_DIFFERENCES: Readonly<Record<string, Difference>> = {
  FLUSH_IPT_AT_INIT: ifYes('a reload closes no door; that of fwknopd closes all'),
  DIGEST_FILE: always('is read at the start and not written; what we remember is in REPLAY_STORE'),
  ACCESS_FOLDER: always(
    'its files are read by name; by fwknopd as they come, and OPEN_PORTS of all but one are mixed up',
  ),
  RULES_CHECK_THRESHOLD: always('has no effect here: the kernel closes doors by itself'),
  GPG_EXE: always('is the program that is run; with fwknopd it has no effect'),
  CMD_EXEC_TIMEOUT: always('a command that takes longer is killed; with fwknopd it has no effect'),
  ENABLE_PCAP_ANY_DIRECTION: ifYes(
    'what this host sends is captured too; with fwknopd only the option does that',
  ),
  ENABLE_TCP_SERVER: ifYes('a packet may come in several segments; fwknopd reads the first one only'),
  ENABLE_X_FORWARDED_FOR: ifYes('a request in which it is no single address is refused'),
  // They have no effect there either.
  CONFIG_FILE: never,
  OVERRIDE_CONFIG: never,
  ENABLE_EXT_CMD_PREFIX: never,
  EXT_CMD_PREFIX: never,
};

function never(): null {
  return null;
}

function always(difference: string): Difference {
  return () => difference;
}

function ifYes(difference: string): Difference {
  return (value) => (/^y/i.test(value) ? difference : null);
}

function unless(usual: RegExp, difference: string): Difference {
  return (value) => (usual.test(value) ? null : difference);
}
