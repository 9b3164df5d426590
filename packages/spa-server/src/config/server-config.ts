import { basename, dirname, join } from 'node:path';
import {
  type Fingerprint,
  PACKET_AGE_MAX_SECONDS,
  PACKET_MAX_LENGTH,
  PACKET_MIN_LENGTH,
  type ProtoPort,
  parseFingerprint,
} from 'spa-core';
import { ConfigError, type ConfigPlace, type GnupgHome, parseConfigLines } from 'spa-host';
import type { Stanza } from '../decision/stanza.ts';
import type { PreFilter } from '../firewall/firewall.ts';
import {
  DEFAULT_IPTABLES_CHAIN,
  type IptablesChain,
  parseIptablesChain,
} from '../firewall/iptables-chain.ts';
import { DEFAULT_FORWARD_CHAINS, type ForwardChains } from '../firewall/iptables-forwards.ts';
import { DEFAULT_OUTPUT_CHAIN } from '../firewall/iptables-output.ts';
import { type NftChain, parseNftChain } from '../firewall/nft-place.ts';
import type { RosterConfig } from '../roster/load-roster.ts';
import type { LogFormat } from '../system/log.ts';
import type { ReceptionConfig } from '../transport/reception-config.ts';
import { chooseReception, readFilter, readInterface } from './choose-reception.ts';
import { differencesOf, SERVER_DIFFERENCES, silentDifferencesOf } from './differences.ts';
import {
  ignored,
  ignoredKeywords,
  type KeywordTable,
  type ReadValue,
  readSettings,
  refused,
  type Settings,
  type Statement,
  statementOf,
  warnOfRepetition,
  withAliases,
} from './keywords.ts';
import { pickNat, SERVER_NAT_KEYWORDS, type ServerNat } from './nat-config.ts';
import {
  integerBetween,
  oneOf,
  quote,
  readAddress,
  readBoolean,
  readList,
  readName,
  readPath,
  readProgram,
  readProtoPorts,
} from './values.ts';

/** Which firewall is spoken to, and how. */
export interface FirewallConfig {
  readonly kind: 'auto' | 'nftables' | 'iptables';
  /** `FIREWALL_EXE`; null: the usual program, found by the PATH. */
  readonly program: string | null;
  /** Null: mode own, our own table drops the protected ports. Otherwise mode attach: a jump at the top of this chain. */
  readonly nftAttach: NftChain | null;
  /** `NFT_ATTACH_FORWARD_CHAIN`, in the same table; null: it needs no jump. */
  readonly nftAttachForward: NftChain | null;
  readonly iptables: IptablesChain;
  /** `IPT_FORWARD_ACCESS` and so on. */
  readonly iptablesForwards: ForwardChains;
  readonly iptablesOutput: IptablesChain;
  /** `ENABLE_IPT_OUTPUT`. */
  readonly answers: boolean;
  readonly flushAtInit: boolean;
  readonly flushAtExit: boolean;
  /** What the kernel throws away of the packets to our UDP port; null: nothing (`SPA_PREFILTER N`). */
  readonly preFilter: Omit<PreFilter, 'beginnings'> | null;
}

/** What fwknopd.conf says, defaults filled in. Paths are absolute. */
export interface ServerConfig {
  readonly reception: ReceptionConfig;
  readonly maxPacketAgeSeconds: number;
  readonly firewall: FirewallConfig;
  /** `ENABLE_DESTINATION_RULE`. */
  readonly doorsAtDestination: boolean;
  /** What it says of NAT. */
  readonly nat: ServerNat;
  /** `PROTECT_PORTS`; null if absent. See {@link protectedPorts}. */
  readonly protectPorts: readonly ProtoPort[] | null;
  readonly accessFile: string;
  /** Its `*.conf` take the place of `accessFile`; null: there is none. */
  readonly accessFolder: string | null;
  readonly pidFile: string;
  /** `FWKNOP_RUN_DIR`. */
  readonly runFolder: string;
  /** fwknopd's `digest.cache`: it is read, not written. */
  readonly digestFile: string;
  /** Folder of the replay store. */
  readonly replayStore: string;
  /** Where stanzas without a `GPG_HOME_DIR` of their own have their keys. */
  readonly gnupg: GnupgHome;
  /** Null: there is no roster. */
  readonly roster: RosterConfig | null;
  readonly commands: CommandConfig;
  readonly syslog: SyslogTarget;
  readonly logFormat: LogFormat;
  /** 0: no debug lines. */
  readonly verbosity: number;
}

/** How commands run: those of messages, and those that open and close. */
export interface CommandConfig {
  /** `SUDO_EXE`. */
  readonly sudo: string;
  /** `CMD_EXEC_TIMEOUT`: for commands of messages, and for those that open and close. */
  readonly messageSeconds: number;
  readonly cycleSeconds: number;
}

/** How lines are marked in the system's log. `facility` as logger(1) spells it: `daemon`, `local3`. */
export interface SyslogTarget {
  readonly identity: string;
  readonly facility: string;
}

/** fwknopd's, so that whatever looks for its lines in the system's log finds ours. */
export const DEFAULT_SYSLOG: SyslogTarget = { identity: 'fwknopd', facility: 'daemon' };

/** A configuration and what its author should know about it, one line each. */
export interface Parsed<T> {
  readonly value: T;
  readonly warnings: readonly string[];
}

/** The same of a file that fwknopd reads too. */
export interface ParsedConfig<T> extends Parsed<T> {
  /** Where it means something else to fwknopd, one line each. */
  readonly differences: readonly string[];
}

/** A file that was read. */
export interface ConfigText {
  readonly file: string;
  readonly text: string;
}

/**
 * Reads fwknopd.conf (section 6.2). `overrides` are what the command line says: they count more than the file. So do `more`
 * files of the same kind (`-O`), the last one most, as if they stood at its end.
 *
 * Of a keyword said twice the last counts, as in fwknopd. A value may start with the value of an earlier line:
 * `$FWKNOP_RUN_DIR/fwknopd.pid`.
 * @throws ConfigError
 */
export function parseServerConfig(
  file: string,
  text: string,
  overrides: readonly Statement[],
  more: readonly ConfigText[] = [],
): ParsedConfig<ServerConfig> {
  const files = [{ file, text }, ...more].map(readStatements);
  const statements = [...expandVariables(files.flat(), overrides), ...overrides];
  const settings = readSettings(KEYWORDS, statements);
  const gnupg = {
    directory: settings.GPG_HOME_DIR?.value ?? '/root/.gnupg',
    program: settings.GPG_EXE?.value ?? 'gpg',
  };
  const runFolder = settings.FWKNOP_RUN_DIR?.value ?? DEFAULTS.FWKNOP_RUN_DIR;
  const replayStore =
    settings.REPLAY_STORE?.value ?? chooseReplayStore(settings.DIGEST_FILE?.value, runFolder);
  const reception = chooseReception(file, settings);
  const value: ServerConfig = {
    reception: reception.value,
    maxPacketAgeSeconds: settings.MAX_SPA_PACKET_AGE?.value ?? 120,
    firewall: chooseFirewall(settings),
    doorsAtDestination: settings.ENABLE_DESTINATION_RULE?.value ?? false,
    nat: pickNat<ServerNat>(SERVER_NAT_KEYWORDS, settings),
    protectPorts: settings.PROTECT_PORTS?.value ?? null,
    accessFile: settings.ACCESS_FILE?.value ?? '/etc/fwknop/access.conf',
    accessFolder: settings.ACCESS_FOLDER?.value ?? null,
    pidFile: settings.FWKNOP_PID_FILE?.value ?? join(runFolder, 'fwknopd.pid'),
    runFolder,
    digestFile: settings.DIGEST_FILE?.value ?? join(runFolder, 'digest.cache'),
    replayStore,
    gnupg,
    roster: chooseRoster(settings, replayStore),
    commands: {
      sudo: settings.SUDO_EXE?.value ?? '/usr/bin/sudo',
      messageSeconds: settings.CMD_EXEC_TIMEOUT?.value ?? DEFAULT_MESSAGE_SECONDS,
      cycleSeconds: settings.CMD_EXEC_TIMEOUT?.value ?? DEFAULT_CYCLE_SECONDS,
    },
    syslog: {
      identity: settings.SYSLOG_IDENTITY?.value ?? DEFAULT_SYSLOG.identity,
      facility: settings.SYSLOG_FACILITY?.value ?? DEFAULT_SYSLOG.facility,
    },
    logFormat: settings.LOG_FORMAT?.value ?? 'text',
    verbosity: settings.VERBOSE?.value ?? 0,
  };
  return {
    value,
    warnings: [
      ...files.flatMap((statements) => warnOfRepetition(statements)),
      ...warnOfNothing(statements),
      ...reception.warnings,
    ],
    differences: [
      ...differencesOf(SERVER_DIFFERENCES, ignoredKeywords(KEYWORDS), statements),
      ...silentDifferencesOf(file, statements),
    ],
  };
}

/**
 * The ports that nobody reaches without a door: `PROTECT_PORTS`, otherwise what the stanzas can open, and SSH if one of
 * them names no ports. What commands open (`CMD_CYCLE_OPEN`) is behind a firewall of somebody else's.
 */
export function protectedPorts(config: ServerConfig, stanzas: readonly Stanza[]): readonly ProtoPort[] {
  if (config.protectPorts !== null) return config.protectPorts;
  const ports = new Map<string, ProtoPort>();
  const withDoors = stanzas.filter(({ cycle }) => cycle === null);
  for (const port of withDoors.flatMap(({ openPorts }) => openPorts ?? [SSH_PORT])) {
    ports.set(`${port.protocol}/${port.port}`, port);
  }
  return [...ports.values()];
}

const SSH_PORT: ProtoPort = { protocol: 'tcp', port: 22 };

const DEFAULTS: Readonly<Record<string, string>> & { readonly FWKNOP_RUN_DIR: string } = {
  FWKNOP_RUN_DIR: '/run/fwknop',
  FWKNOP_CONF_DIR: '/etc/fwknop',
};

/**
 * What a reboot empties is no place to remember packets: then this is. After a clean reboot nothing that was seen is
 * accepted again, and no operator has to wait for a fence.
 */
const DURABLE_REPLAY_STORE = '/var/lib/spa-server/replay';

/** Packets a second: far more than the operators behind one address send, far less than a flood is. */
const DEFAULT_RATE_PER_SOURCE = 100;

/** Nobody waits for it, and to be killed half way can do harm. */
const DEFAULT_MESSAGE_SECONDS = 300;
/** A door that does not close is to be tried again soon. */
const DEFAULT_CYCLE_SECONDS = 30;

const FOR_TESTS = 'for tests of fwknopd only; remove the line';

const KEYWORDS = {
  ENABLE_UDP_SERVER: readBoolean,
  UDPSERV_PORT: integerBetween(1, 65_535),
  LISTEN_ADDRESS: readAddress,
  PCAP_INTF: readInterface,
  PCAP_FILTER: readFilter,
  PCAP_FILE: readPath,
  ENABLE_PCAP_PROMISC: readBoolean,
  ENABLE_PCAP_ANY_DIRECTION: readBoolean,
  PCAP_DISPATCH_COUNT: ignored,
  PCAP_LOOP_SLEEP: ignored,
  MAX_SNIFF_BYTES: ignored,
  EXIT_AT_INTF_DOWN: readBoolean,
  UDPSERV_SELECT_TIMEOUT: ignored,
  RULES_CHECK_THRESHOLD: ignored,

  ENABLE_SPA_PACKET_AGING: readBoolean,
  MAX_SPA_PACKET_AGE: integerBetween(1, PACKET_AGE_MAX_SECONDS, 'seconds'),
  ENABLE_DIGEST_PERSISTENCE: mustBe(
    true,
    'without it anybody who hears a packet can send it again; remove the line',
  ),

  FIREWALL: oneOf({ auto: 'auto', nftables: 'nftables', iptables: 'iptables' } as const),
  FIREWALL_EXE: readFirewallProgram,
  NFT_MODE: oneOf({ own: 'own', attach: 'attach' } as const),
  NFT_ATTACH_CHAIN: readNftChain,
  NFT_ATTACH_FORWARD_CHAIN: readNftChain,
  ...SERVER_NAT_KEYWORDS,
  PROTECT_PORTS: readProtoPorts,
  SPA_PREFILTER: readBoolean,
  SPA_RATE_PER_SOURCE: integerBetween(0, 10_000, 'packets a second'),
  FLUSH_IPT_AT_INIT: readBoolean,
  FLUSH_IPT_AT_EXIT: readBoolean,
  IPT_INPUT_ACCESS: iptablesChainOf(DEFAULT_IPTABLES_CHAIN),
  ENABLE_IPT_COMMENT_CHECK: ignored,
  ENABLE_RULE_PREPEND: ignored,
  ENABLE_DESTINATION_RULE: readBoolean,
  ENABLE_IPT_OUTPUT: readBoolean,
  IPT_OUTPUT_ACCESS: iptablesChainOf(DEFAULT_OUTPUT_CHAIN),
  IPT_FORWARD_ACCESS: iptablesChainOf(DEFAULT_FORWARD_CHAINS.forward),
  IPT_DNAT_ACCESS: iptablesChainOf(DEFAULT_FORWARD_CHAINS.dnat),
  IPT_SNAT_ACCESS: iptablesChainOf(DEFAULT_FORWARD_CHAINS.snat),
  IPT_MASQUERADE_ACCESS: iptablesChainOf(DEFAULT_FORWARD_CHAINS.masquerade),
  ENABLE_FIREWD_COMMENT_CHECK: ignored,
  FLUSH_IPFW_AT_INIT: ignored,
  FLUSH_IPFW_AT_EXIT: ignored,
  IPFW_START_RULE_NUM: ignored,
  IPFW_MAX_RULES: ignored,
  IPFW_ACTIVE_SET_NUM: ignored,
  IPFW_EXPIRE_SET_NUM: ignored,
  IPFW_EXPIRE_PURGE_INTERVAL: ignored,
  IPFW_ADD_CHECK_STATE: ignored,
  PF_ANCHOR_NAME: ignored,
  PF_EXPIRE_INTERVAL: ignored,

  ENABLE_SPA_OVER_HTTP: readBoolean,
  ALLOW_ANY_USER_AGENT: readBoolean,
  ENABLE_X_FORWARDED_FOR: readBoolean,
  ENABLE_TCP_SERVER: readBoolean,
  TCPSERV_PORT: integerBetween(1, 65_535),
  ENABLE_NFQ_CAPTURE: mustBe(
    false,
    'there is no netfilter queue; write PCAP_INTF and PCAP_FILTER, which need none',
  ),
  NFQ_INTERFACE: ignored,
  NFQ_PORT: ignored,
  NFQ_TABLE: ignored,
  NFQ_CHAIN: ignored,
  NFQ_QUEUE_NUMBER: ignored,
  NFQ_LOOP_SLEEP: ignored,

  CMD_EXEC_TIMEOUT: integerBetween(1, 86_400, 'seconds'),
  SUDO_EXE: readProgram,
  ENABLE_EXTERNAL_CMDS: ignored,
  EXTERNAL_CMD_OPEN: ignored,
  EXTERNAL_CMD_CLOSE: ignored,
  EXTERNAL_CMD_ALARM: ignored,
  ENABLE_EXT_CMD_PREFIX: ignored,
  EXT_CMD_PREFIX: ignored,
  FIREWALL_TYPE: ignored,
  BLACKLIST: ignored,

  CONFIG_FILE: ignored,
  OVERRIDE_CONFIG: ignored,
  FAULT_INJECTION_TAG: refused(FOR_TESTS),
  AFL_PKT_FILE: refused(FOR_TESTS),
  FWKNOP_RUN_DIR: readPath,
  FWKNOP_CONF_DIR: readPath,
  ACCESS_FILE: readPath,
  ACCESS_FOLDER: readPath,
  FWKNOP_PID_FILE: readPath,
  DIGEST_FILE: readPath,
  DIGEST_DB_FILE: ignored,
  REPLAY_STORE: readPath,
  GPG_HOME_DIR: readPath,
  GPG_EXE: readProgram,
  SPA_ROSTER: readPath,
  SPA_ROSTER_SIGNER_CERT_FILE: readPath,
  SPA_ROSTER_SIGNER: readSigners,

  SYSLOG_IDENTITY: readName,
  SYSLOG_FACILITY: oneOf({
    LOG_DAEMON: 'daemon',
    LOG_LOCAL0: 'local0',
    LOG_LOCAL1: 'local1',
    LOG_LOCAL2: 'local2',
    LOG_LOCAL3: 'local3',
    LOG_LOCAL4: 'local4',
    LOG_LOCAL5: 'local5',
    LOG_LOCAL6: 'local6',
    LOG_LOCAL7: 'local7',
  }),
  LOG_FORMAT: oneOf({ text: 'text', json: 'json' } as const),
  LOCALE: ignored,
  VERBOSE: integerBetween(0, 9),
} satisfies Readonly<Record<string, ReadValue<unknown>>>;

type ServerSettings = Settings<typeof KEYWORDS>;

/** Keywords of the firewalld build that mean the same here. */
const ALIASES: Readonly<Record<string, keyof ServerSettings>> = {
  FLUSH_FIREWD_AT_INIT: 'FLUSH_IPT_AT_INIT',
  FLUSH_FIREWD_AT_EXIT: 'FLUSH_IPT_AT_EXIT',
  ENABLE_FIREWD_FORWARDING: 'ENABLE_IPT_FORWARDING',
  ENABLE_FIREWD_LOCAL_NAT: 'ENABLE_IPT_LOCAL_NAT',
  ENABLE_FIREWD_SNAT: 'ENABLE_IPT_SNAT',
  ENABLE_FIREWD_OUTPUT: 'ENABLE_IPT_OUTPUT',
  FIREWD_OUTPUT_ACCESS: 'IPT_OUTPUT_ACCESS',
  FIREWD_INPUT_ACCESS: 'IPT_INPUT_ACCESS',
  FIREWD_FORWARD_ACCESS: 'IPT_FORWARD_ACCESS',
  FIREWD_DNAT_ACCESS: 'IPT_DNAT_ACCESS',
  FIREWD_SNAT_ACCESS: 'IPT_SNAT_ACCESS',
  FIREWD_MASQUERADE_ACCESS: 'IPT_MASQUERADE_ACCESS',
};

/** All keywords of fwknopd.conf, each with what reads its value. */
export const SERVER_KEYWORDS: KeywordTable = withAliases(KEYWORDS, ALIASES);

function canonicalKeyword(statement: Statement): Statement {
  const keyword = Object.hasOwn(ALIASES, statement.keyword) ? ALIASES[statement.keyword] : undefined;
  return keyword === undefined ? statement : { ...statement, keyword };
}

/** What fwknop's documents name and no fwknopd ever did: its author may count on it. */
function warnOfNothing(statements: readonly Statement[]): readonly string[] {
  return statements.flatMap(({ keyword, value, place: { file, line } }) => {
    const instead = Object.hasOwn(NEVER_DONE, keyword) ? NEVER_DONE[keyword] : undefined;
    const isOff = /^(n|no|__none__)$/i.test(value);
    return instead === undefined || isOff
      ? []
      : [`${file}:${line}: ${keyword}: fwknopd never did anything with it, nor is it done here; ${instead}`];
  });
}

const CYCLE_INSTEAD = 'CMD_CYCLE_OPEN in access.conf runs commands';

const NEVER_DONE: Readonly<Record<string, string>> = {
  ENABLE_EXTERNAL_CMDS: CYCLE_INSTEAD,
  EXTERNAL_CMD_OPEN: CYCLE_INSTEAD,
  EXTERNAL_CMD_CLOSE: CYCLE_INSTEAD,
  FIREWALL_TYPE: 'write FIREWALL nftables or FIREWALL iptables',
  BLACKLIST: 'SOURCE in access.conf says who may send',
};

function readStatements({ file, text }: ConfigText): readonly Statement[] {
  return parseConfigLines(file, text).map(statementOf).map(canonicalKeyword);
}

function expandVariables(
  statements: readonly Statement[],
  overrides: readonly Statement[],
): readonly Statement[] {
  const variables = new Map(Object.entries(DEFAULTS));
  const fixed = new Map(overrides.map(({ keyword, value }) => [keyword, value]));
  return statements.map((statement) => {
    const value = statement.value.replace(/^\$(\w+)(?=\/|$)/, (variable, name: string) => {
      const known = fixed.get(name) ?? variables.get(name);
      if (known !== undefined) return known;
      throw new ConfigError(statement.place, `${quote(variable)} is not set above this line; write the path`);
    });
    variables.set(statement.keyword, value);
    return { ...statement, value };
  });
}

function chooseFirewall(settings: ServerSettings): FirewallConfig {
  const program = settings.FIREWALL_EXE;
  const kind = settings.FIREWALL?.value ?? program?.value.kind ?? 'auto';
  if (program !== undefined && kind !== program.value.kind) {
    throw new ConfigError(
      program.place,
      `this is a program of ${program.value.kind}, and FIREWALL says ${kind}; remove one of the two lines`,
    );
  }
  return {
    kind,
    program: program?.value.path ?? null,
    nftAttach: chooseNftAttach(settings),
    nftAttachForward: chooseNftAttachForward(settings),
    iptables: settings.IPT_INPUT_ACCESS?.value ?? DEFAULT_IPTABLES_CHAIN,
    iptablesForwards: chooseForwardChains(settings),
    iptablesOutput: settings.IPT_OUTPUT_ACCESS?.value ?? DEFAULT_OUTPUT_CHAIN,
    answers: settings.ENABLE_IPT_OUTPUT?.value ?? false,
    flushAtInit: settings.FLUSH_IPT_AT_INIT?.value ?? true,
    flushAtExit: settings.FLUSH_IPT_AT_EXIT?.value ?? true,
    preFilter: choosePreFilter(settings),
  };
}

function choosePreFilter({
  SPA_PREFILTER,
  SPA_RATE_PER_SOURCE,
}: ServerSettings): ServerConfig['firewall']['preFilter'] {
  if (SPA_PREFILTER?.value === false) {
    if (SPA_RATE_PER_SOURCE === undefined) return null;
    throw new ConfigError(
      SPA_RATE_PER_SOURCE.place,
      'SPA_PREFILTER N leaves it out; remove one of the two lines',
    );
  }
  const rate = SPA_RATE_PER_SOURCE?.value ?? DEFAULT_RATE_PER_SOURCE;
  return {
    minBytes: PACKET_MIN_LENGTH,
    maxBytes: PACKET_MAX_LENGTH,
    ratePerSource: rate === 0 ? null : rate,
  };
}

function chooseNftAttach({ NFT_MODE, NFT_ATTACH_CHAIN }: ServerSettings): NftChain | null {
  const attach = NFT_MODE?.value === 'attach';
  if (attach && NFT_ATTACH_CHAIN === undefined) {
    throw new ConfigError(NFT_MODE.place, 'attach to which chain? write NFT_ATTACH_CHAIN inet filter input');
  }
  if (!attach && NFT_ATTACH_CHAIN !== undefined) {
    throw new ConfigError(NFT_ATTACH_CHAIN.place, 'only mode attach uses it; write NFT_MODE attach too');
  }
  return NFT_ATTACH_CHAIN?.value ?? null;
}

/** nftables jumps only within a table, and our sets stand in one. */
function chooseNftAttachForward(settings: ServerSettings): NftChain | null {
  const { NFT_ATTACH_CHAIN, NFT_ATTACH_FORWARD_CHAIN: forward } = settings;
  if (forward === undefined) return null;
  const { family, table } = chooseNftAttach(settings) ?? {};
  if (forward.value.family === family && forward.value.table === table) return forward.value;
  throw new ConfigError(
    forward.place,
    NFT_ATTACH_CHAIN === undefined
      ? 'only mode attach uses it; write NFT_MODE attach and NFT_ATTACH_CHAIN too'
      : `it must be in the table of NFT_ATTACH_CHAIN, ${family} ${table}; accept there "ct status dnat" instead`,
  );
}

/** Behind the jumps that fwknopd has too stand those that it lacks, or that would have the same place. */
function chooseForwardChains(settings: ServerSettings): ForwardChains {
  const { local, forward, dnat, snat, masquerade } = DEFAULT_FORWARD_CHAINS;
  const input = settings.IPT_INPUT_ACCESS?.value ?? DEFAULT_IPTABLES_CHAIN;
  const sources = settings.IPT_SNAT_ACCESS?.value ?? snat;
  const masquerades = settings.IPT_MASQUERADE_ACCESS?.value ?? masquerade;
  const isSamePlace = masquerades.from === sources.from && masquerades.position === sources.position;
  return {
    local: { ...local, from: input.from, position: input.position + 1 },
    forward: settings.IPT_FORWARD_ACCESS?.value ?? forward,
    dnat: settings.IPT_DNAT_ACCESS?.value ?? dnat,
    snat: sources,
    masquerade: isSamePlace ? { ...masquerades, position: sources.position + 1 } : masquerades,
  };
}

/** What was accepted is remembered beside the packets that were. */
function chooseRoster(
  {
    SPA_ROSTER: file,
    SPA_ROSTER_SIGNER_CERT_FILE: signerCertFile,
    SPA_ROSTER_SIGNER: signers,
  }: ServerSettings,
  replayStore: string,
): RosterConfig | null {
  if (file === undefined) {
    const stray = signerCertFile ?? signers;
    if (stray === undefined) return null;
    throw new ConfigError(stray.place, 'there is no roster; write SPA_ROSTER too, or remove the line');
  }
  if (signerCertFile === undefined) {
    throw new ConfigError(
      file.place,
      "who may sign it? write SPA_ROSTER_SIGNER_CERT_FILE too, a file with the authority's certificate",
    );
  }
  return { file, signerCertFile, signers: signers ?? null, stateFile: `${replayStore}-roster.json` };
}

function chooseReplayStore(digestFile: string | undefined, runFolder: string): string {
  const beside = digestFile === undefined ? runFolder : dirname(digestFile);
  return /^(\/var)?\/run(\/|$)/.test(beside) ? DURABLE_REPLAY_STORE : join(beside, 'spa-replay');
}

function mustBe(harmless: boolean, instead: string): ReadValue<null> {
  return (value, place) => {
    if (readBoolean(value, place) !== harmless) throw new ConfigError(place, instead);
    return null;
  };
}

interface FirewallProgram {
  readonly kind: 'nftables' | 'iptables';
  readonly path: string;
}

function readFirewallProgram(value: string, place: ConfigPlace): FirewallProgram {
  const path = readProgram(value, place);
  const name = basename(path);
  if (name.startsWith('nft')) return { kind: 'nftables', path };
  if (/^x?tables|^ip6?tables/.test(name)) return { kind: 'iptables', path };
  if (name === 'firewall-cmd') {
    throw new ConfigError(
      place,
      'firewalld is not asked; write FIREWALL nftables: a table of our own beside it',
    );
  }
  throw new ConfigError(
    place,
    `${quote(value)} is no firewall we speak to; name the path of nft or of iptables`,
  );
}

function readNftChain(value: string, place: ConfigPlace): NftChain {
  const chain = parseNftChain(value);
  if (chain !== null) return chain;
  throw new ConfigError(
    place,
    `${quote(value)} names no chain; write family, table, chain: inet filter input`,
  );
}

/** A chain that does what `usual` does, in the same table. */
function iptablesChainOf(usual: IptablesChain): ReadValue<IptablesChain> {
  const { target, table, from, position, chain: name } = usual;
  return (value, place) => {
    const chain = parseIptablesChain(value);
    if (chain !== null && chain.target === target && chain.table === table) return chain;
    throw new ConfigError(
      place,
      `${quote(value)} is not understood; write ${target}, ${table}, ${from}, ${position}, ${name}, 1`,
    );
  };
}

function readSigners(value: string, place: ConfigPlace): readonly Fingerprint[] {
  return readList(value).map((item) => {
    const fingerprint = parseFingerprint(item);
    if (fingerprint !== null) return fingerprint;
    throw new ConfigError(
      place,
      `${quote(item)} is no fingerprint; write all 40 hexadecimal digits of the authority's`,
    );
  });
}
