import { formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';

/** What a command line of sshbh says. */
export interface SshbhCommand {
  readonly orders: SshbhOrders;
  /** The stanza's name and, before an @, ssh's user; null if none is given. */
  readonly region: { readonly name: string; readonly user: string | null } | null;
  /** ssh's own options that stand before the region. */
  readonly sshOptions: readonly string[];
  /** All that stands after the region, for ssh. */
  readonly sshArguments: readonly string[];
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
  readonly version?: true;
  readonly help?: true;
}

/**
 * Reads sshbh's command line. Before the region stand sshbh's own options, and ssh's too: rsync, scp and git put some there.
 * @throws UsageError
 */
export function parseSshbhCommand(argv: readonly string[]): SshbhCommand {
  const { own, ssh, regionAt } = splitAtRegion(argv);
  const { values } = parseCommandLine(OPTIONS, own);
  if (values.ipv4 && values.ipv6) throw new UsageError('-4 and -6 contradict each other; give one');
  const region = argv[regionAt];
  return {
    orders: values,
    region: region === undefined ? null : parseRegion(region),
    sshOptions: ssh,
    sshArguments: argv.slice(regionAt + 1),
  };
}

/** The options' part of the help. */
export function formatSshbhOptions(): string {
  return formatOptions(OPTIONS);
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'ipv4', short: '4', help: "knock and connect on the region's IPv4 address" },
  { long: 'ipv6', short: '6', help: "knock and connect on the region's IPv6 address" },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'ssh', argument: 'PROGRAM', help: 'the program to become (ssh)' },
  { long: 'wait', argument: 'SECONDS', help: 'how long to wait for the door (10)' },
  { long: 'verbose', short: 'v', count: true, help: 'say what happens; -v for ssh goes after the region' },
  { long: 'list', help: 'list the regions and exit' },
  { long: 'version', short: 'V', help: 'print the version and exit' },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

/** ssh's options that take a value (ssh(1)). */
const SSH_OPTIONS_WITH_VALUE = 'BbcDEeFIiJLlmOopQRSWw';

interface SplitArguments {
  readonly own: readonly string[];
  readonly ssh: readonly string[];
  readonly regionAt: number;
}

function splitAtRegion(argv: readonly string[]): SplitArguments {
  const own: string[] = [];
  const ssh: string[] = [];
  let index = 0;
  for (; index < argv.length && argv[index]?.startsWith('-'); index++) {
    const argument = argv[index] ?? '';
    if (argument === '--') return { own, ssh, regionAt: index + 1 };
    const isOwn = argument.startsWith('--') || OPTIONS.some((row: Option) => row.short === argument[1]);
    const takesNext = isOwn ? ownTakesNext(argument) : sshTakesNext(argument);
    (isOwn ? own : ssh).push(...argv.slice(index, index + (takesNext ? 2 : 1)));
    if (takesNext) index++;
  }
  return { own, ssh, regionAt: index };
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

function parseRegion(text: string): { readonly name: string; readonly user: string | null } {
  const at = text.lastIndexOf('@');
  return at < 0 ? { name: text, user: null } : { name: text.slice(at + 1), user: text.slice(0, at) };
}
