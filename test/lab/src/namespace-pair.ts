import { type Cable, joinByCable, joinByLongCable } from './cable.ts';
import { createHosts, type Namespace } from './hosts.ts';

/**
 * The addresses of {@link createNamespacePair}. `other` is a second address of the client's.
 *
 *     client  10.77.0.1, 10.77.0.3 ──── cable ──── 10.77.0.2  server
 *             fd77::1,   fd77::3                   fd77::2
 */
export const addresses = {
  client4: '10.77.0.1',
  other4: '10.77.0.3',
  server4: '10.77.0.2',
  client6: 'fd77::1',
  other6: 'fd77::3',
  server6: 'fd77::2',
} as const;

/** Two hosts and their end. */
export interface NamespacePair {
  readonly client: Namespace;
  readonly server: Namespace;
  readonly cable: Cable;
  /** Kills all that lives in them and takes them away. Never rejects; may be called twice. */
  dispose(): Promise<void>;
}

/** How two hosts are joined. */
export interface CableOptions {
  /** How long a frame is under way, each way; left out: a cable in the kernel, as good as none. */
  readonly delayMs?: number;
  /** With `delayMs`: how many frames of a hundred are lost, each way. */
  readonly lossPercent?: number;
}

/** Two fresh hosts, joined, with their addresses up. Rejects if this process may not make them. */
export async function createNamespacePair({
  delayMs,
  lossPercent,
}: CableOptions = {}): Promise<NamespacePair> {
  const hosts = createHosts();
  try {
    const client = await hosts.add({ device: 'veth1' });
    const server = await hosts.add({ device: 'veth0' });
    const { client4, other4, server4, client6, other6, server6 } = addresses;
    const ends = [
      { host: server, device: server.device, addresses: [server4, server6] },
      { host: client, device: client.device, addresses: [client4, other4, client6, other6] },
    ] as const;
    const cable =
      delayMs === undefined
        ? await joinByCable(...ends)
        : await joinByLongCable(hosts, ends, delayMs, lossPercent);
    return { client, server, cable, dispose: hosts.dispose };
  } catch (error) {
    await hosts.dispose();
    throw error;
  }
}
