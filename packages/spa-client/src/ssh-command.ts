import type { Passage } from './region-door.ts';

/** What a person wants of ssh once the door is open. */
export interface SshOrder {
  /** ssh's user on the bastion; null: as ssh's configuration has it. */
  readonly user: string | null;
  /** `[USER@]HOST` behind the bastion; null: the bastion itself. */
  readonly target: string | null;
  readonly sshOptions: readonly string[];
  /** What stands after the host, with a `--` where a command would be taken for an option. */
  readonly command: readonly string[];
}

/** The arguments of the ssh that goes through a door, or through it to a host behind; `ssh`: that program. */
export function sshArguments(ssh: string, passage: Passage, order: SshOrder): readonly string[] {
  const { user, target, sshOptions, command } = order;
  const { bastion } = passage.state === 'open' ? passage.doorway : passage;
  const host = user === null ? bastion.host : `${user}@${bastion.host}`;
  const door = doorOptions(passage, target === null && sshOptions.some(mayListen));
  if (target === null) return [...sshOptions, ...door, host, ...command];
  // What ProxyJump does, and with the door's options, which ProxyJump cannot pass on.
  const jump = [ssh, ...inheritedOptions(sshOptions), ...door, '-W', FORWARD, host].map(quoteForProxy);
  return [...sshOptions, '-o', `ProxyCommand=${jump.join(' ')}`, target, ...command];
}

/** Options of ssh's that hold for the way through a bastion too: those that its own ProxyJump passes on. */
export function inheritedOptions(sshOptions: readonly string[]): readonly string[] {
  return sshOptions.flatMap((option, index) => {
    if (/^-v+$/.test(option)) return [option];
    if (!option.startsWith('-F')) return [];
    return option === '-F' ? [option, sshOptions[index + 1] ?? 'none'] : [option];
  });
}

/** False if ssh is only to tell something (`-G`, `-Q`, `-V`) or to order its own master about (`-O`): no door is needed. */
export function connects(sshOptions: readonly string[]): boolean {
  return !sshOptions.some((option) => hasLetter(option, 'GOQV'));
}

const SSH_PORT = 22;
const FORWARD = '[%h]:%p';

/** True for `-L`, `-D`, and `-M`, which may be told to forward later. */
function mayListen(sshOption: string): boolean {
  return hasLetter(sshOption, 'LDM');
}

/** True if one of `letters` is among the options of `word`, before one that takes the rest of it for its value. */
function hasLetter(word: string, letters: string): boolean {
  return new RegExp(`^-[46AaCfgKkMNnqsTtvXxYy]*[${letters}]`).test(word);
}

/** To the address that answered, from the address that the door is open for. */
function doorOptions(passage: Passage, forwards: boolean): readonly string[] {
  if (passage.state !== 'open') return portOption(passage.bastion.sshPort, passage.ssh.port);
  const { server, servers, family, port, ssh } = passage.doorway;
  const options = [...portOption(port, ssh.port)];
  const ofFamily = servers.filter((other) => other.family === server.family);
  const excludesFamily = family !== null || ofFamily.length < servers.length;
  // ssh -6 would forward a port of ::1 only, not of 127.0.0.1; else the name, for which Match host may look, stays.
  if (ofFamily.length > 1 || (excludesFamily && forwards)) {
    // The name in known_hosts is what it would be without us.
    const alias = ssh.hostKeyAlias ?? (port === SSH_PORT ? ssh.hostname : `[${ssh.hostname}]:${port}`);
    options.push('-o', `HostName=${server.address}`, '-o', `HostKeyAlias=${alias}`);
    if (ssh.controlPath !== null) options.push('-o', `ControlPath=${ssh.controlPath.replaceAll('%', '%%')}`);
  } else if (excludesFamily) {
    options.push(`-${server.family}`);
  }
  // An IPv6 host has several addresses and may take another for each connection.
  if (server.family === 6 && !ssh.bindsAddress) options.push('-b', passage.localAddress);
  return options;
}

function portOption(port: number, known: number): readonly string[] {
  return port === known && port === SSH_PORT ? [] : ['-p', String(port)];
}

/** One word for the person's shell, in which ssh replaces percent signs. */
function quoteForProxy(word: string): string {
  if (word === FORWARD) return `'${word}'`;
  const text = word.replaceAll('%', '%%');
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
