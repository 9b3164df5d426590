import { createSocket } from 'node:dgram';
import { destinationOf } from '../compose.ts';
import type { Server } from '../send.ts';
import { type Check, type Examination, makeCheck, type Outcome, type Route } from './check.ts';
import { bad, type Finding, ok, skipped } from './finding.ts';

/** Whether, and from which local address, packets to each of the bastion's addresses would leave. */
export const routeCheck: Check = makeCheck({ name: 'route', needs: ['servers'], run: checkRoutes });

/**
 * The local address that a packet to that address and port would leave from: nothing is sent.
 * @returns the system's error code instead, if there is no way there
 */
export function routeTo(
  { address, family }: Server,
  port: number,
): Promise<{ readonly from: string } | { readonly code: string }> {
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve({ code: error.code ?? error.message });
    });
    // Without a callback: it would hear the error too.
    socket.connect(port, address);
    socket.once('connect', () => {
      const from = socket.address().address;
      socket.close();
      resolve({ from });
    });
  });
}

async function checkRoutes(
  { bastion, family }: Examination,
  { servers }: { readonly servers: readonly Server[] },
): Promise<Outcome> {
  const port = destinationOf(bastion.settings)?.port ?? 0;
  const answers = await Promise.all(
    servers.map(async (server) => ({ server, ...(await routeTo(server, port)) })),
  );
  const routes = answers.filter((answer): answer is Route & typeof answer => 'from' in answer);
  const findings = answers.map((answer): Finding => {
    const { address, family: own } = answer.server;
    if ('from' in answer) return ok('route', `to ${address} from ${answer.from}`);
    const says = `no way to ${address} from here (${answer.code})`;
    // A host with both families in a network with one is nothing to mend.
    if (routes.length > 0) return skipped('route', says);
    return bad('route', says, todoFor(own, family));
  });
  return routes.length === 0 ? { findings } : { findings, facts: { routes } };
}

function todoFor(family: 4 | 6, wanted: 4 | 6 | null): string {
  if (wanted === family) return `this network may have no IPv${family}: try without -${family}`;
  return 'connect to a network, or to the VPN that leads there; ip route shows what there is';
}
