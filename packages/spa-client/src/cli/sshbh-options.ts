import { formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';

/** What a command line of sshbh says. */
export interface SshbhCommand {
  readonly orders: SshbhOrders;
  /** The bastion to go to or through; null if none is given. */
  readonly region: UserAt | null;
  /** A private host behind it; null: the bastion itself. */
  readonly host: UserAt | null;
  /** ssh's own options, wherever they stood. */
  readonly sshOptions: readonly string[];
  /** For ssh, after the host: the command, after a `--` if sshbh had one there. */
  readonly command: readonly string[];
}

/** `USER@NAME`; `user` null if there is only a name. */
export interface UserAt {
  readonly name: string;
  readonly user: string | null;
}

/** Options of sshbh itself, by long name. */
export interface SshbhOrders {
  readonly ipv4?: true;
  readonly ipv6?: true;
  readonly 'rc-file'?: string;
  readonly ssh?: string;
  readonly wait?: string;
  readonly verbose?: number;
  readonly list?: true;
  readonly json?: true;
  readonly version?: true;
  readonly help?: true;
}

/**
 * Reads `[options] [USER@]REGION [[USER@]HOST] [ssh options] [-- COMMAND...]`. Options of ssh may stand anywhere; before
 * the region, a letter that sshbh has too is sshbh's.
 * @throws UsageError
 */
export function parseSshbhCommand(argv: readonly string[]): SshbhCommand {
  const { own, ssh, regionAt } = splitAtRegion(argv);
  const rest = splitAfterRegion(argv.slice(regionAt + 1));
  return { ...readOwn(own, argv[regionAt]), ...rest, sshOptions: [...ssh, ...rest.sshOptions] };
}

/**
 * Reads the command line of ssh itself with a region for a host: `[options] [USER@]REGION [COMMAND...]`. What stands after
 * the region is ssh's.
 * @throws UsageError
 */
export function parseAsSsh(argv: readonly string[]): SshbhCommand {
  const { own, ssh, regionAt } = splitAtRegion(argv, LONG_OPTIONS);
  const command = argv.slice(regionAt + 1);
  return { ...readOwn(own, argv[regionAt]), host: null, sshOptions: ssh, command };
}

/** The options' part of the help. */
export function formatSshbhOptions(): string {
  return formatOptions(OPTIONS);
}

/** All options of sshbh without a verb. */
export function sshbhOptions(): readonly Option[] {
  return OPTIONS;
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'ipv4', short: '4', help: "only the bastion's IPv4 addresses" },
  { long: 'ipv6', short: '6', help: "only the bastion's IPv6 addresses" },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'ssh', argument: 'PROGRAM', help: 'the program to become (ssh)' },
  { long: 'wait', argument: 'SECONDS', help: 'how long to wait for the door (10)' },
  { long: 'verbose', short: 'v', count: true, help: 'say what happens; -v for ssh goes after the region' },
  { long: 'list', help: 'list the regions and exit' },
  { long: 'json', help: 'with --list: for programs' },
  { long: 'version', short: 'V', help: 'print the version and exit' },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

/** Those that cannot be taken for ssh's. */
const LONG_OPTIONS: readonly Option[] = OPTIONS.map(({ long, ...row }) =>
  'argument' in row ? { long, argument: row.argument, help: row.help } : { long, help: row.help },
);

/** ssh's options that take a value (ssh(1)), as a set of letters for a regular expression. */
export const SSH_OPTIONS_WITH_VALUE = 'BbcDEeFIiJLlmOopPQRSWw';

function readOwn(
  own: readonly string[],
  region: string | undefined,
): Pick<SshbhCommand, 'orders' | 'region'> {
  const { values } = parseCommandLine(OPTIONS, own);
  return { orders: values, region: region === undefined ? null : mustBeRegion(region) };
}

/** Behind `--` it may begin with anything, and ssh would take a user with a dash for an option. */
function mustBeRegion(text: string): UserAt {
  if (!text.startsWith('-')) return parseUserAt(text);
  throw new UsageError(`"${text}" is no region; no user and no region begins with a dash`);
}

interface SplitArguments {
  readonly own: readonly string[];
  readonly ssh: readonly string[];
  readonly regionAt: number;
}

function splitAtRegion(argv: readonly string[], options: readonly Option[] = OPTIONS): SplitArguments {
  const own: string[] = [];
  const ssh: string[] = [];
  let index = 0;
  for (; index < argv.length && argv[index]?.startsWith('-'); index++) {
    const argument = argv[index] ?? '';
    if (argument === '--') return { own, ssh, regionAt: index + 1 };
    const isOwn = argument.startsWith('--') || options.some((row) => row.short === argument[1]);
    const takesNext = isOwn ? ownTakesNext(argument) : sshTakesNext(argument);
    (isOwn ? own : ssh).push(...argv.slice(index, index + (takesNext ? 2 : 1)));
    if (takesNext) index++;
  }
  return { own, ssh, regionAt: index };
}

function splitAfterRegion(argv: readonly string[]): Pick<SshbhCommand, 'host' | 'sshOptions' | 'command'> {
  const sshOptions: string[] = [];
  let host: UserAt | null = null;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    if (argument === '--') return { host, sshOptions, command: argv.slice(index) };
    if (argument.startsWith('-')) {
      const takesNext = sshTakesNext(argument);
      sshOptions.push(...argv.slice(index, index + (takesNext ? 2 : 1)));
      if (takesNext) index++;
    } else if (host === null) host = mustBeHost(argument);
    else throw notAHost(argument);
  }
  return { host, sshOptions, command: [] };
}

/** True for `--rc-file` and its like without `=VALUE`: the next argument is its value. */
function ownTakesNext(argument: string): boolean {
  const name = argument.slice(2);
  return (
    argument.startsWith('--') &&
    OPTIONS.some((row: Option) => row.argument !== undefined && row.long.startsWith(name))
  );
}

/** True for `-l` and `-xl`, false for `-x` and `-lalice`. */
function sshTakesNext(argument: string): boolean {
  const letters = Array.from(argument.slice(1));
  const at = letters.findIndex((letter) => SSH_OPTIONS_WITH_VALUE.includes(letter));
  return at >= 0 && at === letters.length - 1;
}

function mustBeHost(text: string): UserAt {
  const host = parseUserAt(text);
  if (/^[\w.:%-]{1,255}$/.test(host.name)) return host;
  throw notAHost(text);
}

function notAHost(text: string): UsageError {
  return new UsageError(
    `"${text}": a command stands after --, as in sshbh REGION -- ${text}; in the place of ssh, write sshbh ssh`,
  );
}

/** Splits `[USER@]NAME`. */
export function parseUserAt(text: string): UserAt {
  const at = text.lastIndexOf('@');
  return at < 0 ? { name: text, user: null } : { name: text.slice(at + 1), user: text.slice(0, at) };
}
