import { addresses, type Daemon, doorCloses, doorOpens, type Lab, reach } from 'spa-lab';
import type { Test } from 'tap';
import type { Mode } from './modes.ts';

/** How long the doors of these tests stay open: long enough for a login on a busy machine. */
export const DOOR_SECONDS = 4;

/**
 * The whole story of one packet: the port is closed, the packet opens it, ssh logs in, another address stays out, and
 * the door closes by itself.
 */
export async function logsInThroughDoor(
  t: Test,
  lab: Lab,
  daemon: Daemon,
  { mode, knock }: { readonly mode: Mode; readonly knock: readonly string[] },
): Promise<void> {
  t.equal(await reach(lab.operator, addresses.server4), 'silent', `${mode.name}: the port is closed before`);
  const sent = await lab.operator.run(knock);
  t.equal(sent.status, 0, `${mode.name}: the client sends`);
  await doorOpens(lab).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; the daemon logged:\n${daemon.log()}`);
  });
  const peer = (await lab.login('echo $SSH_CONNECTION')).split(' ')[0];
  t.equal(peer, addresses.client4, `${mode.name}: ssh logs in`);
  const other = await reach(lab.operator, addresses.server4, { localAddress: addresses.other4 });
  t.equal(other, 'silent', `${mode.name}: another address does not get in`);
  await doorCloses(lab);
  t.pass(`${mode.name}: the door closes by itself`);
}
