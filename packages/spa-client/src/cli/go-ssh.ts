import { UsageError } from 'spa-host';
import { becomeProgram, findProgram } from '../become.ts';
import { readRcFile } from '../rc-file.ts';
import { type Region, readRegion } from '../region.ts';
import { bastionOf, type Passage } from '../region-door.ts';
import { choosesProxy, connects, inheritedOptions, sshArguments } from '../ssh-command.ts';
import { doorIsOpen, isControlSocketLive, readSshSettings } from '../ssh-settings.ts';
import { CONNECTION_FAILED, type EnterSsh, enter } from './enter.ts';
import { defaultRcFile } from './program.ts';
import type { SshbhCommand, UserAt } from './sshbh-options.ts';

/**
 * Opens the region's door and becomes ssh: to the bastion, or through it to a host behind.
 * Resolves to ssh's exit status, or 255 if the door stayed closed.
 */
export async function goSsh(command: SshbhCommand, region: UserAt): Promise<number> {
  const { orders, host, sshOptions } = command;
  const known = readRegion(readRcFile(orders['rc-file'] ?? defaultRcFile()), region.name);
  const target = host === null ? null : formatUserAt(host);
  if (target !== null) mustLeaveTheWay(sshOptions);
  const ssh = orders.ssh ?? 'ssh';
  if (target !== null && (await isShared(target, sshOptions))) {
    return becomeProgram(ssh, [...sshOptions, target, ...command.command]);
  }
  const forBastion = {
    sshOptions: target === null ? sshOptions : inheritedOptions(sshOptions),
    user: region.user,
  };
  const passage = connects(sshOptions)
    ? await enter(known, orders, forBastion, MIN_GRACE_MS)
    : await leaveClosed(known, forBastion);
  if (passage.state === 'closed') return CONNECTION_FAILED;
  if (passage.state === 'open') passage.connection.destroy();
  Object.assign(process.env, doorIsOpen(bastionOf(passage).name));
  const order = { user: region.user, target, sshOptions, command: command.command };
  return becomeProgram(ssh, sshArguments(ssh, passage, order));
}

/** An open door on a near network answers in less; a packet costs little more than that. */
const MIN_GRACE_MS = 3;

/** The way to a host behind leads through the region. @throws UsageError if ssh is told another. */
function mustLeaveTheWay(sshOptions: readonly string[]): void {
  if (!choosesProxy(sshOptions)) return;
  throw new UsageError(
    'a host behind the region is reached through it; leave out -J, ProxyJump, ProxyCommand',
  );
}

/** For an ssh that does not connect. */
async function leaveClosed(
  { bastions: [bastion] }: Region,
  { sshOptions, user }: EnterSsh,
): Promise<Passage> {
  const host = formatUserAt({ user, name: bastion.host });
  return { state: 'shared', bastion, ssh: await readSshSettings(findProgram('ssh'), [...sshOptions, host]) };
}

/** True if a connection to a private host is alive and will be shared. */
async function isShared(target: string, sshOptions: readonly string[]): Promise<boolean> {
  const { controlPath } = await readSshSettings(findProgram('ssh'), [...sshOptions, target]);
  return controlPath !== null && isControlSocketLive(controlPath);
}

function formatUserAt({ user, name }: UserAt): string {
  return user === null ? name : `${user}@${name}`;
}
