import { ConfigError } from 'spa-host';

/** How ssh is made to open a door: before it connects by itself (`match`), or by being handed a connection (`proxy`). */
export type HookStyle = 'match' | 'proxy';

/** A region as plain ssh is to know it. */
export interface SshConfigRegion {
  /** The stanza's name: {@link isSshWord}. */
  readonly name: string;
  /** `SPA_SERVER`. */
  readonly host: string;
  /** Where ssh goes: `host`, or what ssh's configuration says if that is an alias there. */
  readonly hostname: string;
  readonly sshPort: number;
  /** The bastions that stand in for it. */
  readonly fallback: readonly SshConfigFallback[];
  /** `PRIVATE_HOSTS`. */
  readonly privateHosts: readonly string[];
  readonly style: HookStyle;
}

/** Another bastion of a region. */
export interface SshConfigFallback {
  readonly hostname: string;
  readonly sshPort: number;
}

/** What all regions share. */
export interface SshConfigOptions {
  /** Words of a shell that start sshbh: {@link shellWords}, or {@link checkCommand}. */
  readonly command: string;
  /** Absolute path of the rc file, if it is not the usual one. */
  readonly rcFile: string | null;
  /** Sessions share a connection, which stays for that time (ssh_config(5)); its sockets' directory is private. */
  readonly sharing: { readonly time: string; readonly directory: string } | null;
  /** Lines of comment below the first. */
  readonly remarks: readonly string[];
}

/** First line of the file: whose it is. */
export const SSH_CONFIG_MARK = '# Written by "sshbh config". The next run replaces it: do not edit.';

/**
 * A file for `Include` in ssh_config(5), with which plain ssh opens the doors of `regions`.
 *
 * The hooks do nothing inside sshbh (`SSHBH` is set). A command of `Match exec` must stand between double quotes, in which
 * older versions of ssh know no escape and newer ones do: so it holds no double quote, and no backslash that stands before
 * a quote or a backslash. It runs under the person's own shell, which may be fish or csh: all of them hand a word in single
 * quotes to /bin/sh as it is.
 * @throws ConfigError for a path that cannot be written so.
 */
export function formatSshConfig(regions: readonly SshConfigRegion[], options: SshConfigOptions): string {
  const named = nameRegions(regions);
  const blocks = [
    [SSH_CONFIG_MARK, ...options.remarks.map((remark) => `# ${remark}`)],
    ...named.flatMap((region) => regionBlocks(region, options)),
    ...named.flatMap((region) => privateBlock(region, named)),
  ];
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** True if ssh_config(5) can hold it as a host's name. */
export function isSshWord(name: string): boolean {
  return /^[A-Za-z0-9_][\w.-]*$/.test(name);
}

/**
 * `words` as the shells understand them, escaped without quotes.
 * @throws ConfigError for a character that no escape gets through ssh and shell.
 */
export function shellWords(words: readonly string[]): string {
  return words
    .map((word) => {
      if (word === '' || UNSAFE.test(word)) throw new ConfigError({ file: word }, NO_PLACE);
      return word.replaceAll(/[ -~]/g, (char) => (/[\w@%+=:,./-]/.test(char) ? char : `\\${char}`));
    })
    .join(' ');
}

/**
 * A person's own shell words, as they can stand in the file: returned.
 * @throws ConfigError if they cannot.
 */
export function checkCommand(text: string): string {
  // A backslash before any other sign is left alone by every ssh.
  if (text !== '' && !UNSAFE.test(text.replaceAll(/\\[^\w'"\\\p{Cc}]/gu, ''))) return text;
  throw new ConfigError({ file: '--command' }, NO_PLACE);
}

const UNSAFE = /['"\\\p{Cc}]/u;
const NO_PLACE =
  'cannot stand in ssh_config: it is empty, or has a quote, a backslash or a control character; give another --command';

interface NamedRegion extends SshConfigRegion {
  /** The hosts of ssh that mean this region. */
  readonly names: readonly string[];
}

/** A region is known by its name, and by its host unless another region was first. */
function nameRegions(regions: readonly SshConfigRegion[]): readonly NamedRegion[] {
  const taken = new Set(regions.map((region) => region.name));
  return regions.map((region) => {
    const isFree = !taken.has(region.host);
    taken.add(region.host);
    return { ...region, names: isFree ? [region.name, region.host] : [region.name] };
  });
}

type Block = readonly string[];

function regionBlocks(region: NamedRegion, options: SshConfigOptions): readonly Block[] {
  const { name, names, host, hostname, sshPort, style } = region;
  const place = name === host ? [] : [`HostName ${hostname}`];
  const settings = [
    ...(sshPort === SSH_PORT ? [] : [`Port ${sshPort}`]),
    ...hostKeySettings(region),
    ...sharingSettings(options),
  ];
  const hook = style === 'match' ? matchHook(region, options) : proxyHook(region, options);
  return [block(`Host ${name}`, place), block(`Host ${names.join(' ')}`, settings), hook].filter(
    (lines) => lines.length > 0,
  );
}

const SSH_PORT = 22;

function block(title: string, settings: readonly string[]): Block {
  return settings.length === 0 ? [] : [title, ...settings.map((line) => `    ${line}`)];
}

/**
 * One name in known_hosts, however the bastion is called. For another port that would have to be `[host]:port`, which ssh
 * looks up anyway, and no host certificate is valid for such an alias.
 */
function hostKeySettings({ name, host, hostname, sshPort, fallback }: NamedRegion): readonly string[] {
  const alias = sshPort === SSH_PORT && name !== host ? [`HostKeyAlias ${hostname}`] : [];
  if (fallback.length === 0) return alias;
  const lookups = fallback.map((other) => `ssh-keygen -F '${knownHostsName(other)}'`).join('; ');
  return [
    ...alias,
    // Their keys, under the name that ssh looks for: it cannot know which of them it is connected to.
    `KnownHostsCommand /bin/sh -c "{ ${lookups}; } | sed -n 's/^[^#@][^ ]* /%H /p'"`,
    // Else it would take one bastion's keys for the new ones of another.
    'UpdateHostKeys no',
  ];
}

function knownHostsName({ hostname, sshPort }: SshConfigFallback): string {
  return sshPort === SSH_PORT ? hostname : `[${hostname}]:${sshPort}`;
}

function sharingSettings({ sharing }: SshConfigOptions): readonly string[] {
  if (sharing === null) return [];
  const path = doublePercent(`${sharing.directory}/${SOCKET_PREFIX}`);
  return ['ControlMaster auto', `ControlPath "${path}%C"`, `ControlPersist ${sharing.time}`];
}

const SOCKET_PREFIX = 'sshbh-';

/**
 * ssh asks before it connects, and connects nowhere if the door stays closed; sshbh has said why. Only in the first of
 * the two times that ssh may read its files (`!canonical`); but which control socket it is, ssh knows in the second
 * (`final`).
 */
function matchHook({ name, names }: NamedRegion, { command, rcFile, sharing }: SshConfigOptions): Block {
  const socket =
    sharing === null
      ? ''
      : ` --control ${doublePercent(shellWords([`${sharing.directory}/${SOCKET_PREFIX}`]))}%C`;
  const open = `${doublePercent(command)} open --if-needed${rcOption(rcFile)}${socket} ${name}`;
  const pass = sharing === null ? '!canonical' : 'final';
  const script = `test -z $SSHBH || exit 0; exec ${open}`;
  return block(`Match ${pass} originalhost ${names.join(',')} !exec "/bin/sh -c '${script}'"`, [
    'ProxyCommand false',
    'LogLevel quiet',
  ]);
}

/** ssh gets a connected socket, and whatever it does with it is its own: no process stays in between. */
function proxyHook({ name, names }: NamedRegion, { command, rcFile }: SshConfigOptions): Block {
  const connect = `${doublePercent(command)} connect${rcOption(rcFile)} ${name}`;
  return block(`Match originalhost ${names.join(',')} exec "/bin/sh -c 'test -z $SSHBH'"`, [
    `ProxyCommand env NODE_CHANNEL_FD=1 ${connect}`,
    'ProxyUseFdpass yes',
  ]);
}

function rcOption(rcFile: string | null): string {
  return rcFile === null ? '' : ` --rc-file ${doublePercent(shellWords([rcFile]))}`;
}

/** A bastion is not behind itself, nor behind another. */
function privateBlock({ name, privateHosts }: NamedRegion, all: readonly NamedRegion[]): readonly Block[] {
  if (privateHosts.length === 0) return [];
  const inside = (host: string): boolean => privateHosts.some((pattern) => matches(pattern, host));
  const bastions = new Set(all.flatMap((region) => region.names).filter(inside));
  const patterns = [...privateHosts, ...[...bastions].map((host) => `!${host}`)];
  return [block(`Host ${patterns.join(' ')}`, [`ProxyJump ${name}`])];
}

/** A pattern of ssh_config(5) without its negation. */
function matches(pattern: string, host: string): boolean {
  const source = pattern
    .replaceAll(/[^\w*?]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(host);
}

/** Text in which ssh replaces tokens. */
function doublePercent(text: string): string {
  return text.replaceAll('%', '%%');
}
