import { resolve } from 'node:path';
import { DIGEST_NAMES, type DigestName, type KeyLengths, parseDigestName } from 'spa-core';
import {
  formatOptions,
  type Option,
  type OptionValues,
  parseCommandLine,
  readKeyLengths,
  UsageError,
} from 'spa-host';
import type { Statement } from './config/keywords.ts';
import type { ConfigSource } from './config/load.ts';
import type { GrantSelector } from './grants/ledger.ts';
import { parseSelector } from './grants/selector.ts';

/** What one start of the program is to do. */
export type Task =
  | 'serve'
  | 'help'
  | 'version'
  | 'key-gen'
  | 'dump-config'
  | 'exit-parse-config'
  | 'exit-parse-digest-cache'
  | 'status'
  | 'kill'
  | 'restart'
  | 'fw-list'
  | 'fw-list-all'
  | 'fw-flush'
  | 'revoke';

/** The command line, understood. */
export interface Options {
  readonly task: Task;
  readonly source: ConfigSource;
  readonly foreground: boolean;
  /** The system's log besides standard error. */
  readonly syslog: boolean;
  /** `--test`: packets are judged, and no door is opened. */
  readonly dryRun: boolean;
  /** `--rotate-digest-cache`: fwknopd's file is put aside once it is read. */
  readonly rotateDigestCache: boolean;
  /** End after so many packets; null: never. */
  readonly packetLimit: number | null;
  /** What keys `--key-gen` makes, and where they go: a path; null: to standard output. */
  readonly newKeys: {
    readonly hmacDigest: DigestName;
    readonly lengths: KeyLengths;
    readonly file: string | null;
  };
  /** `--revoke`: whose grants; null without it. */
  readonly revoke: GrantSelector | null;
  /** `--cut`: end the connections too. */
  readonly cut: boolean;
}

/**
 * Reads fwknopd's command line (section 6.5). Relative paths are those of the current directory.
 * @throws UsageError
 */
export function readOptions(argv: readonly string[]): Options {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (positionals[0] !== undefined) {
    throw new UsageError(`unexpected argument "${positionals[0]}"; --help lists the options`);
  }
  refuseOptions(values);
  return {
    task: chooseTask(values),
    source: {
      configFile: resolve(values['config-file'] ?? '/etc/fwknop/fwknopd.conf'),
      overrideFiles: readFileList(values['override-config']),
      overrides: OPTIONS.flatMap((row) => statementOf(row, values)),
    },
    foreground: values.foreground === true,
    syslog: values['syslog-enable'] === true,
    dryRun: values.test === true,
    rotateDigestCache: values['rotate-digest-cache'] === true,
    packetLimit: readPacketLimit(values['packet-limit']),
    newKeys: readNewKeys(values),
    revoke: values.revoke === undefined ? null : parseSelector(values.revoke),
    cut: readCut(values),
  };
}

/** What `--help` prints. */
export function formatHelp(): string {
  const supported = OPTIONS.filter((row: ServerOption) => row.refused === undefined);
  return `Usage: spa-server [options]

Opens a firewall door for a few seconds to whoever sends one authentic packet (Single Packet Authorization).
Reads fwknopd.conf and access.conf as fwknopd does. Without options it starts in the background.

${formatOptions(supported)}

Examples:
  spa-server --exit-parse-config       say what is wrong with the configuration, or that it is right
  spa-server --foreground --verbose    watch it work; Ctrl-C ends it
  spa-server                           start it in the background
  spa-server --status                  is it running?
  spa-server --restart                 read the configuration again; doors stay open
  spa-server --fw-list                 which doors are open, for how long, and whose they are
  spa-server --revoke user=alice       close alice's doors now
  spa-server --revoke address=192.0.2.7 --cut
                                       close its doors and end its connections

Exit codes:
   0  done; --status: it is running
   1  failed; --status: it is not running; --revoke, --fw-flush: done, but the daemon could not be told
  64  the command line is wrong
  69  a port is taken, nothing can be captured, the daemon runs already, or the firewall does not answer;
      --revoke --cut: the doors are closed, but conntrack is not installed
  70  the daemon died while it started
  77  not permitted: run it as root
  78  the configuration is wrong
`;
}

/** A row says how an option acts: as a keyword of fwknopd.conf, or not at all. */
interface ServerOption extends Option {
  readonly keyword?: string;
  /** The value is a path. */
  readonly path?: true;
  /** Why there is no such option, and what to do instead. */
  readonly refused?: string;
}

const OPTIONS = [
  {
    long: 'config-file',
    short: 'c',
    argument: 'FILE',
    help: 'fwknopd.conf to read (default /etc/fwknop/fwknopd.conf)',
  },
  {
    long: 'access-file',
    short: 'a',
    argument: 'FILE',
    help: 'access.conf to read',
    keyword: 'ACCESS_FILE',
    path: true,
  },
  {
    long: 'access-folder',
    argument: 'DIR',
    help: 'folder whose *.conf to read instead',
    keyword: 'ACCESS_FOLDER',
    path: true,
  },
  {
    long: 'override-config',
    short: 'O',
    argument: 'FILES',
    help: 'FILE,FILE: their lines count more than those of fwknopd.conf',
  },
  { long: 'foreground', short: 'f', help: 'stay in the foreground and log to standard error' },
  { long: 'syslog-enable', help: 'in the foreground, log to the system log too' },
  {
    long: 'verbose',
    short: 'v',
    count: true,
    help: 'log every ignored packet, not only the first of each half minute',
    keyword: 'VERBOSE',
  },
  { long: 'test', short: 't', help: 'judge packets but open no door' },
  { long: 'packet-limit', short: 'C', argument: 'N', help: 'end after N packets' },
  { long: 'exit-parse-digest-cache', help: "check fwknopd's digest.cache and end" },
  { long: 'exit-parse-config', help: 'check the configuration and end' },
  { long: 'dump-config', short: 'D', help: 'print all settings in force, without keys' },
  {
    long: 'status',
    short: 'S',
    help: 'say whether the daemon runs (exit code 0) or not (1), and what it has counted',
  },
  { long: 'kill', short: 'K', help: 'stop the running daemon' },
  { long: 'restart', short: 'R', help: 'have the running daemon read its configuration again' },
  { long: 'fw-list', help: 'list the doors that are open, with who opened them' },
  { long: 'fw-list-all', help: 'list all rules of the firewall' },
  { long: 'fw-flush', help: 'close all doors' },
  {
    long: 'revoke',
    addition: true,
    argument: 'WHOSE',
    help: 'close doors now: operator=FINGERPRINT, user=NAME, address=IP or grant=ID',
  },
  { long: 'cut', addition: true, help: 'with --revoke: end the connections through these doors too' },
  {
    long: 'run-dir',
    short: 'r',
    argument: 'DIR',
    help: 'where pid file, control socket and grants are (default /run/fwknop)',
    keyword: 'FWKNOP_RUN_DIR',
    path: true,
  },
  {
    long: 'pid-file',
    short: 'p',
    argument: 'FILE',
    help: 'pid file',
    keyword: 'FWKNOP_PID_FILE',
    path: true,
  },
  {
    long: 'digest-file',
    short: 'd',
    argument: 'FILE',
    help: 'remember packets beside this file (but never below /run)',
    keyword: 'DIGEST_FILE',
    path: true,
  },
  { long: 'rotate-digest-cache', help: "rename fwknopd's digest.cache once it is read" },
  {
    long: 'interface',
    short: 'i',
    argument: 'NAME',
    help: 'capture packets on this interface (default eth0); or any',
    keyword: 'PCAP_INTF',
  },
  {
    long: 'pcap-filter',
    short: 'P',
    argument: 'TEXT',
    help: 'capture what this filter lets through (default "udp port 62201")',
    keyword: 'PCAP_FILTER',
  },
  {
    long: 'udp-server',
    short: 'U',
    help: 'open a UDP socket at UDPSERV_PORT instead of capturing',
    keyword: 'ENABLE_UDP_SERVER',
  },
  {
    long: 'gpg-home-dir',
    argument: 'DIR',
    help: 'GnuPG home of stanzas that name none',
    keyword: 'GPG_HOME_DIR',
    path: true,
  },
  { long: 'gpg-exe', argument: 'FILE', help: 'gpg to run', keyword: 'GPG_EXE' },
  { long: 'sudo-exe', argument: 'FILE', help: 'sudo to run commands through', keyword: 'SUDO_EXE' },
  { long: 'locale', short: 'l', argument: 'NAME', help: 'accepted, without effect', keyword: 'LOCALE' },
  {
    long: 'pcap-file',
    argument: 'FILE',
    help: 'judge the packets in a capture, of whatever age, and end; mostly with --test',
    keyword: 'PCAP_FILE',
    path: true,
  },
  {
    long: 'pcap-any-direction',
    help: 'capture what this host sends, too',
    keyword: 'ENABLE_PCAP_ANY_DIRECTION',
  },
  { long: 'no-ipt-check-support', help: 'accepted, without effect' },
  { long: 'no-firewd-check-support', help: 'accepted, without effect' },
  { long: 'key-gen', help: 'print new keys for access.conf and .fwknoprc' },
  { long: 'key-gen-file', argument: 'FILE', help: 'write them to a file (replaced if it is there)' },
  { long: 'key-len', argument: 'BYTES', help: 'length of the new encryption key (32)' },
  { long: 'hmac-key-len', argument: 'BYTES', help: 'length of the new HMAC key (64)' },
  { long: 'hmac-digest-type', argument: 'DIGEST', help: 'what the new HMAC key is for (sha256)' },
  { long: 'version', short: 'V', help: 'print the version' },
  { long: 'help', short: 'h', help: 'print this' },

  {
    long: 'nfq-capture',
    short: 'n',
    help: '',
    refused: 'there is no netfilter queue; write -i eth0, which needs none',
  },
  {
    long: 'dump-serv-err-codes',
    help: '',
    refused: 'there are no numbers of errors; --help lists the exit codes',
  },
  { long: 'fault-injection-tag', argument: 'TAG', help: '', refused: 'for tests of fwknopd only' },
  { long: 'afl-fuzzing', short: 'A', help: '', refused: 'for tests of fwknopd only' },
  { long: 'afl-pkt-file', argument: 'FILE', help: '', refused: 'for tests of fwknopd only' },
] as const satisfies readonly ServerOption[];

/** All options, also those that are refused. */
export const SERVER_OPTIONS: readonly Option[] = OPTIONS;

type Values = OptionValues<typeof OPTIONS>;

/** Options that are tasks of their own; the first one in this order that was given is done. */
const ALONE = ['help', 'version', 'key-gen'] as const satisfies readonly Task[];

/** Options that exclude each other. */
const TASKS = [
  'dump-config',
  'exit-parse-config',
  'exit-parse-digest-cache',
  'status',
  'kill',
  'restart',
  'fw-list',
  'fw-list-all',
  'fw-flush',
  'revoke',
] as const satisfies readonly Task[];

function refuseOptions(values: Values): void {
  for (const row of OPTIONS as readonly ServerOption[]) {
    const given = (values as Readonly<Record<string, unknown>>)[row.long] !== undefined;
    if (given && row.refused !== undefined) throw new UsageError(`--${row.long}: ${row.refused}`);
  }
}

function chooseTask(values: Values): Task {
  const alone = ALONE.find((task) => values[task] === true);
  if (alone !== undefined) return alone;
  if (values['key-gen-file'] !== undefined) return 'key-gen';
  const [task = 'serve', another] = TASKS.filter((candidate) => values[candidate] !== undefined);
  if (another === undefined) return task;
  throw new UsageError(`--${task} and --${another} exclude each other; choose one`);
}

function statementOf(row: ServerOption, values: Values): readonly Statement[] {
  const value = (values as Readonly<Record<string, string | number | true | undefined>>)[row.long];
  if (row.keyword === undefined || value === undefined) return [];
  const text = value === true ? 'Y' : String(value);
  const place = { file: `--${row.long}` };
  return [{ keyword: row.keyword, value: row.path === true ? resolve(text) : text, place }];
}

function readNewKeys(values: Values): Options['newKeys'] {
  const { 'hmac-digest-type': digest = 'sha256', 'key-gen-file': file } = values;
  const hmacDigest = parseDigestName(digest);
  if (hmacDigest === null) {
    throw new UsageError(
      `--hmac-digest-type: "${digest}" is no digest; write one of ${DIGEST_NAMES.join(', ')}`,
    );
  }
  return { hmacDigest, lengths: readKeyLengths(values), file: file === undefined ? null : resolve(file) };
}

function readFileList(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  const files = text.split(',').map((file) => file.trim());
  if (files.includes('')) {
    throw new UsageError(`--override-config: "${text}" is no list of files; write FILE or FILE,FILE`);
  }
  return files.map((file) => resolve(file));
}

function readCut({ cut, revoke }: Values): boolean {
  if (cut === true && revoke === undefined) {
    throw new UsageError('--cut: whose connections? write --revoke operator=FINGERPRINT --cut');
  }
  return cut === true;
}

function readPacketLimit(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`--packet-limit: "${text}" is no number of packets; write one as in 100`);
}
