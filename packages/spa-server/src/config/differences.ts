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
  return statements.flatMap(({ keyword, value, endsBlank, place: { file, line, keyword: written } }) => {
    const row = Object.hasOwn(table, keyword) ? table[keyword] : undefined;
    const otherwise = withoutEffect.has(keyword) ? 'has no effect here' : null;
    const differences = [
      row === undefined ? otherwise : row(value, said),
      endsBlank && FREE_TEXTS.has(keyword) ? BLANKS : null,
    ];
    const where = line === undefined ? file : `${file}:${line}: ${written ?? keyword}`;
    return differences.flatMap((difference) => (difference === null ? [] : [`${where}: ${difference}`]));
  });
}

/** Whose values may end with a blank. */
const FREE_TEXTS: ReadonlySet<string> = new Set(['KEY', 'HMAC_KEY', 'GPG_DECRYPT_PW', 'REQUIRE_USERNAME']);

const BLANKS = 'the blanks at the end are no part of it; to fwknopd 2.6.10 they are, but not to 2.6.11';

/** What `file`, a fwknopd.conf, leaves to defaults that are not fwknopd's. */
export function silentDifferencesOf(file: string, statements: readonly Statement[]): readonly string[] {
  const isSaid = (...keywords: readonly string[]): boolean =>
    statements.some(({ keyword }) => keywords.includes(keyword));
  const captures = isSaid('PCAP_INTF', 'PCAP_FILTER');
  const silent: readonly (readonly [isSilent: boolean, difference: string])[] = [
    [
      !captures && !isSaid('ENABLE_UDP_SERVER', 'PCAP_FILE'),
      'packets come through a UDP socket; fwknopd captures them on eth0, unless ENABLE_UDP_SERVER says Y',
    ],
    [
      captures && !isSaid('EXIT_AT_INTF_DOWN', 'ENABLE_UDP_SERVER'),
      'the daemon waits for an interface that has gone; fwknopd exits, unless EXIT_AT_INTF_DOWN says N',
    ],
    [
      !isSaid('FIREWALL', 'FIREWALL_EXE'),
      'doors are made in nftables or iptables, whichever this host uses; fwknopd makes them in iptables, unless FIREWALL_EXE says so',
    ],
  ];
  return silent.flatMap(([isSilent, difference]) => (isSilent ? [`${file}: ${difference}`] : []));
}

const PATH = 'the path starts at the folder of this file; with fwknopd at the current one';
const EXPIRES = 'doors close at that moment too; fwknopd leaves those that are open';
const FORWARDED = 'what is forwarded is bound to the inner address and port; with fwknopd to the port alone';

/** What the lines of access.conf do here and not there. Where only a misspelt value is treated otherwise, nothing. */
export const ACCESS_DIFFERENCES: Readonly<Record<string, Difference>> = {
  SOURCE: never,
  DESTINATION: unless(
    /^any$/i,
    'holds with a UDP socket on LISTEN_ADDRESS too; fwknopd never finds it there',
  ),
  KEY: never,
  HMAC_KEY: never,
  OPEN_PORTS: never,
  FW_ACCESS_TIMEOUT: (value, said) =>
    Number(value) > 300 && !said.has('MAX_FW_TIMEOUT')
      ? 'a client may ask for as much; with fwknopd for 300 seconds, unless MAX_FW_TIMEOUT says so'
      : null,
  MAX_FW_TIMEOUT: never,
  ACCESS_EXPIRE: always(EXPIRES),
  ACCESS_EXPIRE_EPOCH: always(EXPIRES),
  ENABLE_CMD_EXEC: ifYes('a command is ended after CMD_EXEC_TIMEOUT; fwknopd waits as long as it runs'),
  CMD_EXEC_USER: always('only the groups of this user count; fwknopd keeps those of root'),
  CMD_EXEC_GROUP: always('is the name of a group; fwknopd looks for a user of that name'),
  ENABLE_CMD_SUDO_EXEC: ifYes('no word of a packet is an option of sudo; with fwknopd the first may be'),
  CMD_SUDO_EXEC_USER: never,
  CMD_SUDO_EXEC_GROUP: (_, said) =>
    said.has('CMD_SUDO_EXEC_USER') ? null : 'counts; fwknopd leaves it out without CMD_SUDO_EXEC_USER',
  CMD_CYCLE_OPEN: (_, said) =>
    said.has('OPEN_PORTS') || said.has('RESTRICT_PORTS')
      ? 'OPEN_PORTS and RESTRICT_PORTS hold; fwknopd runs it for any port'
      : null,
  CMD_CYCLE_CLOSE: unless(/^NONE$/, 'is run also if the daemon was stopped meanwhile; fwknopd forgets it'),
  CMD_CYCLE_TIMER: always('MAX_FW_TIMEOUT bounds what a client asks for instead; with fwknopd nothing does'),
  FORCE_NAT: always(FORWARDED),
  FORWARD_ALL: ifYes('what goes to the SPA port is not forwarded; with fwknopd it is'),
  FORCE_MASQUERADE: ifYes('holds without ENABLE_IPT_SNAT Y too; fwknopd does nothing then'),
  GPG_DECRYPT_ID: always(
    'no other key opens packets of this stanza; with fwknopd any key of the GnuPG home does',
  ),
  GPG_ALLOW_NO_PW: never,
  GPG_DISABLE_SIG: (value, said) =>
    /^y/i.test(value) && /^y/i.test(said.get('GPG_REQUIRE_SIG') ?? '')
      ? 'whoever has a valid key in the GnuPG home when the daemon reads its files may sign; with fwknopd when the packet comes'
      : null,
  GPG_IGNORE_SIG_VERIFY_ERROR: ifYes('a signature has to be right; fwknopd accepts a wrong one'),
  GPG_REMOTE_ID: never,
  '%include': unless(/^\//, PATH),
  '%include_keys': unless(/^\//, PATH),
  '%include_folder': always('its files are read by name; by fwknopd as they come'),
};

/** What the lines of fwknopd.conf do here and not there. */
export const SERVER_DIFFERENCES: Readonly<Record<string, Difference>> = {
  PCAP_INTF: never,
  PCAP_FILTER: never,
  PCAP_FILE: always('no packet of it is remembered; by fwknopd all are'),
  ENABLE_PCAP_ANY_DIRECTION: ifYes(
    'packets that this host sends are read, too; with fwknopd it has no effect',
  ),
  EXIT_AT_INTF_DOWN: (value) =>
    /^y/i.test(value) ? null : 'the daemon waits for the interface at its start, too; fwknopd ends',
  RULES_CHECK_THRESHOLD: always('has no effect here: the kernel closes doors by itself'),
  FIREWALL_EXE: never,
  FLUSH_IPT_AT_INIT: ifYes('a reload closes no door; that of fwknopd closes all'),
  ENABLE_IPT_FORWARDING: ifYes(FORWARDED),
  ENABLE_IPT_LOCAL_NAT: ifYes(
    'the inner port has to be in OPEN_PORTS or NAT_TARGETS; with fwknopd it may be any',
  ),
  ENABLE_IPT_SNAT: ifYes('for the source alone; with fwknopd for all that is forwarded to that host'),
  ENABLE_NAT_DNS: never,
  ENABLE_IPT_OUTPUT: ifYes(
    'one rule lets out what answers connections that were let in, with iptables; fwknopd makes one for each door',
  ),
  ENABLE_DESTINATION_RULE: ifYes(
    'needs LISTEN_ADDRESS or captured packets; what is translated may be sent to any address of this host',
  ),
  ENABLE_SPA_OVER_HTTP: ifYes('the request has to be well formed; fwknopd takes the beginning of one'),
  ENABLE_X_FORWARDED_FOR: ifYes(
    'a request in which it is no single address is refused; fwknopd takes the first',
  ),
  ENABLE_TCP_SERVER: never,
  CMD_EXEC_TIMEOUT: always('commands are ended after that time; with fwknopd it has no effect'),
  DIGEST_FILE: always('is read at the start and not written; what we remember is in REPLAY_STORE'),
  ACCESS_FOLDER: always(
    'its files are read by name; by fwknopd as they come, and OPEN_PORTS of all but one are mixed up',
  ),
  GPG_EXE: always('is the program that is run; with fwknopd it has no effect'),
  // What is different about them is an error.
  ENABLE_SPA_PACKET_AGING: never,
  ENABLE_DIGEST_PERSISTENCE: never,
  // They have no effect there either.
  CONFIG_FILE: never,
  OVERRIDE_CONFIG: never,
  ENABLE_EXTERNAL_CMDS: never,
  EXTERNAL_CMD_OPEN: never,
  EXTERNAL_CMD_CLOSE: never,
  EXTERNAL_CMD_ALARM: never,
  FIREWALL_TYPE: never,
  BLACKLIST: never,
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
