import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { readRcFile } from '../rc-file.ts';
import { type Bastion, type Region, readRegion, regionNames } from '../region.ts';
import {
  checkCommand,
  formatSshConfig,
  type HookStyle,
  isSshWord,
  type SshConfigOptions,
  type SshConfigRegion,
  shellWords,
} from '../ssh-config-text.ts';
import {
  CONFIG_IS_OURS,
  type Installed,
  installSshConfig,
  type Removed,
  removeSshConfig,
  type SshFiles,
  sshFiles,
  tildePath,
} from '../ssh-include.ts';
import { readSshSettings, SshError } from '../ssh-settings.ts';
import { defaultRcFile, print, say } from './program.ts';

/**
 * `sshbh config`: teaches plain ssh, and all that runs it, to open the doors of the rc file's regions.
 * @throws ConfigError if a file cannot be read or written; UsageError
 */
export async function configVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(CONFIG_OPTIONS, argv);
  if (values.help) return print(help());
  if (positionals.length > 0)
    throw new UsageError(`what is "${positionals[0]}"? sshbh config takes options only`);
  if (values.print && values.remove)
    throw new UsageError('--print and --remove contradict each other; give one');
  const files = sshFiles(values['ssh-config'] ?? null);
  if (values.remove) return report(describeRemoval(await removeSshConfig(files), files));
  const style = parseStyle(values.style);
  const options = textOptions(values, files);
  const rcFile = readRcFile(values['rc-file'] ?? defaultRcFile());
  const found = regionNames(rcFile).flatMap((name) => usableRegion(name, () => readRegion(rcFile, name)));
  if (found.length === 0) {
    throw new ConfigError({ file: rcFile.file }, 'has no region that ssh could be told of; see sshbh --help');
  }
  const ask = askSsh(values['ssh-config']);
  const regions = await Promise.all(
    found.map((region) => describeRegion(region, ask, style, options.sharing !== null)),
  );
  if (values.print) return print(formatSshConfig(regions, options));
  const installed = await installSshConfig(files, (isConfigOurs) =>
    formatSshConfig(regions, {
      ...options,
      remarks: [...options.remarks, ...(isConfigOurs ? [CONFIG_IS_OURS] : [])],
    }),
  );
  return report(describeInstallation(installed, files, regions));
}

// biome-ignore format: a table, one option a row
const CONFIG_OPTIONS = [
  { long: 'print', help: 'print what would be written, and write nothing' },
  { long: 'remove', help: "remove both, the line from ssh's configuration and the file" },
  { long: 'control-persist', argument: 'TIME', help: 'sessions share one connection, which stays for TIME, as in 10m' },
  { long: 'style', argument: 'STYLE', help: 'match or proxy for every region (see below)' },
  { long: 'command', argument: 'TEXT', help: 'the shell words that start sshbh (this Node and this script)' },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'ssh-config', argument: 'FILE', help: "ssh's configuration (~/.ssh/config); ours goes beside it" },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

type ConfigValues = ReturnType<typeof parseCommandLine<typeof CONFIG_OPTIONS>>['values'];

function parseStyle(text: string | undefined): HookStyle | null {
  if (text === undefined || text === 'match' || text === 'proxy') return text ?? null;
  throw new UsageError(`--style: there is no "${text}"; write match or proxy`);
}

function textOptions(values: ConfigValues, { config, managed }: SshFiles): SshConfigOptions {
  const time = values['control-persist'];
  if (time !== undefined && !/^(\d{1,9}[smhdw]?){1,5}$/i.test(time)) {
    throw new UsageError(`--control-persist: "${time}" is no time; write it as in 10m`);
  }
  const self = [process.execPath, resolve(process.argv[1] ?? 'sshbh')];
  const command = values.command === undefined ? shellWords(self) : checkCommand(values.command);
  const rcFile = values['rc-file'] === undefined ? null : resolve(values['rc-file']);
  const given = values['ssh-config'] === undefined ? [] : ['--ssh-config', config];
  return {
    command,
    rcFile,
    sharing: time === undefined ? null : { time, directory: resolve(managed, '..') },
    remarks: [
      `${tildePath(config)} includes it in its first line.`,
      `To remove both: ${shellWords(['sshbh', 'config', ...given, '--remove'])}`,
    ],
  };
}

/** The region in a list, or an empty list after saying why. */
function usableRegion(name: string, read: () => Region): readonly Region[] {
  if (!isSshWord(name)) {
    say(`sshbh: left out [${name}]: ssh_config can hold no such name`);
    return [];
  }
  try {
    return [read()];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    say(`sshbh: left out [${name}]: ${error.message}`);
    return [];
  }
}

/** Tells where ssh goes for a host that may be an alias in its configuration. */
type AskSsh = (host: string) => Promise<string>;

function askSsh(config: string | undefined): AskSsh {
  const where = config === undefined ? [] : ['-F', config];
  return async (host) => {
    try {
      const { hostname } = await readSshSettings('ssh', [...where, host]);
      return /^[\w.:-]+$/.test(hostname) ? hostname : host;
    } catch (error) {
      if (error instanceof SshError) return host;
      throw error;
    }
  };
}

async function describeRegion(
  { name, bastions, privateHosts }: Region,
  ask: AskSsh,
  forced: HookStyle | null,
  isShared: boolean,
): Promise<SshConfigRegion> {
  const [first, ...others] = bastions;
  const place = async ({ host, sshPort }: Bastion): Promise<{ hostname: string; sshPort: number }> => ({
    hostname: await ask(host),
    sshPort,
  });
  const [{ hostname, sshPort }, ...fallback] = await Promise.all([place(first), ...others.map(place)]);
  // ssh looks for a shared connection before it runs a proxy: then nothing of ours starts at all.
  const isProxyBetter = isShared || others.length > 0 || (await hasManyAddresses(hostname));
  const style = forced ?? (isProxyBetter ? 'proxy' : 'match');
  return { name, host: first.host, hostname, sshPort, fallback, privateHosts, style };
}

const LOOKUP_MS = 3_000;

/** False too for a host that is not found now. */
async function hasManyAddresses(host: string): Promise<boolean> {
  if (isIP(host) !== 0) return false;
  const addresses = lookup(host, { all: true }).catch(() => []);
  const late = delay(LOOKUP_MS, [], { ref: false });
  return new Set((await Promise.race([addresses, late])).map(({ address }) => address)).size > 1;
}

function describeInstallation(
  { managed, include }: Installed,
  files: SshFiles,
  regions: readonly SshConfigRegion[],
): readonly string[] {
  const count = regions.length === 1 ? '1 region' : `${regions.length} regions`;
  const config = tildePath(files.config);
  return [
    ...(managed === 'written' ? [`wrote ${tildePath(files.managed)}: ${count}`] : []),
    ...(include === 'added' ? [`added one line at the top of ${config}`] : []),
    ...(include === 'created' ? [`made ${config} with one line`] : []),
    ...(managed === 'unchanged' && include === 'unchanged' ? ['nothing to do'] : []),
  ];
}

function describeRemoval({ managed, include }: Removed, files: SshFiles): readonly string[] {
  const config = tildePath(files.config);
  return [
    ...(include === 'removed' ? [`took our line out of ${config}`] : []),
    ...(include === 'deleted' ? [`removed ${config}, which held nothing but our line`] : []),
    ...(managed === 'removed' ? [`removed ${tildePath(files.managed)}`] : []),
    ...(managed === 'absent' && include === 'absent' ? ['nothing to do'] : []),
  ];
}

function report(lines: readonly string[]): number {
  for (const line of lines) say(`sshbh: ${line}`);
  return ExitCode.ok;
}

function help(): string {
  return `sshbh config: teach ssh to open the doors itself, and with it scp, sftp, rsync, git, ansible, VS Code

Usage: sshbh config [options]

  sshbh config                              write ~/.ssh/sshbh_config, and one Include line into ~/.ssh/config
  sshbh config --control-persist 10m        ... and share one connection between sessions
  sshbh config --print                      look at it first
  sshbh config --remove                     as if it had never been

Then:
  ssh us-east-1
  scp us-east-1:/var/log/syslog .
  ssh 10.0.1.5                              a host of the stanza's PRIVATE_HOSTS, through its region

${formatOptions(CONFIG_OPTIONS)}

match: ssh runs "sshbh open --if-needed" before it connects by itself. proxy: ssh is handed a connected socket by
"sshbh connect"; chosen for a region with FALLBACK, a host with several addresses, and with --control-persist.

Run it again after a change of ~/.fwknoprc, or when Node or sshbh has moved.
`;
}
