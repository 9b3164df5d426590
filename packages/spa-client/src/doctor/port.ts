import { createConnection } from 'node:net';
import type { SshSettings } from '../ssh-settings.ts';
import { type Check, type Examination, makeCheck, type Outcome, type Route } from './check.ts';
import { ok, skipped, warn } from './finding.ts';

/** Whether the door is closed before a packet is sent, as it should be. */
export const portCheck: Check = makeCheck({ name: 'port', needs: ['ssh', 'routes'], run: checkPort });

/** An open port answers within a round trip. */
const LIMIT_MS = 600;

async function checkPort(
  { bastion: { sshPort, host } }: Examination,
  { ssh, routes }: { readonly ssh: SshSettings; readonly routes: readonly Route[] },
): Promise<Outcome> {
  if (ssh.hasProxy) {
    const says = `ssh reaches ${host} through a proxy: its door cannot be seen from here`;
    return { findings: [skipped('port', says)], facts: { wasClosed: true } };
  }
  const answers = await Promise.all(
    routes.map(async ({ server }) => ({ ...server, state: await portState(server.address, sshPort) })),
  );
  const open = answers.find(({ state }) => state === 'open');
  if (open !== undefined) {
    const says = `${open.address} port ${sshPort} is open already, before any packet`;
    const todo =
      'a door that was opened a moment ago may still be open: run this again in a minute; if it stays open, nothing guards it';
    return { findings: [warn('port', says, todo)] };
  }
  const texts = answers.map(({ address, state }) => `${address} ${STATES[state]}`);
  return {
    findings: [ok('port', `port ${sshPort} is closed before the packet: ${texts.join(', ')}`)],
    facts: { wasClosed: true },
  };
}

const STATES = { refused: 'refuses', silent: 'is silent', open: 'is open' } as const;

function portState(address: string, port: number): Promise<keyof typeof STATES> {
  const socket = createConnection({ host: address, port });
  return new Promise((resolve) => {
    const end = (state: keyof typeof STATES): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(state);
    };
    const timer = setTimeout(end, LIMIT_MS, 'silent');
    socket.once('connect', () => end('open'));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'),
    );
  });
}
