import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { resolve as resolvePath } from 'node:path';

/** Where ssh would go, and how: ssh_config(5). */
export interface SshSettings {
  readonly hostname: string;
  readonly port: number;
  /** `AddressFamily`; null: any. */
  readonly family: 4 | 6 | null;
  readonly hostKeyAlias: string | null;
  /** `ControlPath`, expanded; null: connections are not shared. */
  readonly controlPath: string | null;
  /** `BindAddress` or `BindInterface` is set: ssh chooses its own address. */
  readonly bindsAddress: boolean;
  /** ssh does not connect itself: `ProxyCommand` or `ProxyJump`. */
  readonly hasProxy: boolean;
}

/** ssh refuses its configuration or its options. The message is what it says. */
export class SshError extends Error {
  override readonly name = 'SshError';
}

/**
 * For the environment of the ssh that goes through an open door: what `sshbh config` wrote for this stanza does nothing
 * there. That of another region, on the way, does what it has to.
 */
export function doorIsOpen(stanza: string): Readonly<Record<string, string>> {
  return { SSHBH: stanza };
}

/** Nothing of what `sshbh config` wrote does anything. */
const NO_HOOKS = { SSHBH: '-' };

/**
 * Asks ssh itself (`ssh -G`, which connects to nothing) what it makes of its configuration and of `args`: options of ssh
 * and the host.
 * @throws SshError
 */
export async function readSshSettings(ssh: string, args: readonly string[]): Promise<SshSettings> {
  try {
    return parseSettings(await askSsh(ssh, args));
  } catch (error) {
    // With -s (scp and sftp give it) ssh wants a command even here; with RemoteCommand it wants none.
    if (!(error instanceof SshError) || !error.message.includes('subsystem')) throw error;
    return parseSettings(await askSsh(ssh, [...args, 'sftp']));
  }
}

/** True if a connection of ssh's is alive behind this control socket: a new session opens no other. */
export function isControlSocketLive(controlPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    // Not as it is: Node would take a number for a port.
    const socket = connect(resolvePath(controlPath));
    const answer = (isLive: boolean): void => {
      socket.destroy();
      resolve(isLive);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}

function askSsh(ssh: string, args: readonly string[]): Promise<string> {
  const env = { ...process.env, ...NO_HOOKS };
  return new Promise((resolve, reject) => {
    execFile(ssh, ['-G', ...args], { env }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const said = stderr.trim() || error.message;
      reject(new SshError(said));
    });
  });
}

function parseSettings(text: string): SshSettings {
  const values = new Map(
    text.split('\n').map((line): [string, string] => {
      const blank = line.indexOf(' ');
      return [line.slice(0, blank), line.slice(blank + 1)];
    }),
  );
  const value = (keyword: string): string | null => {
    const found = values.get(keyword);
    return found === undefined || found === '' || found === 'none' ? null : found;
  };
  const family = value('addressfamily');
  return {
    hostname: value('hostname') ?? '',
    port: Number(value('port')),
    family: family === 'inet' ? 4 : family === 'inet6' ? 6 : null,
    hostKeyAlias: value('hostkeyalias'),
    controlPath: value('controlpath'),
    bindsAddress: value('bindaddress') !== null || value('bindinterface') !== null,
    hasProxy: value('proxycommand') !== null || value('proxyjump') !== null,
  };
}
