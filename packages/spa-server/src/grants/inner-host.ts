import { createSocket } from 'node:dgram';
import { lookup as lookUp } from 'node:dns/promises';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { type IpAddress, ipFamily, parseIpAddress } from 'spa-core';
import { type ForwardTerms, mayReach } from '../decision/nat.ts';
import { canLead, type Forward } from '../firewall/forward.ts';

/** What {@link createInnerHosts} goes by. All may be left out. */
export interface InnerHostsOptions {
  /** The addresses of a host that has a name. Rejects if it has none. */
  readonly lookup?: (name: string, family: 4 | 6) => Promise<string>;
  /** This host's address on the way to a client. */
  readonly addressTowards?: (client: IpAddress) => Promise<string>;
  /** This host's own addresses. */
  readonly ownAddresses?: () => readonly string[];
  readonly timeLimitMs?: number;
}

/** Finds the addresses of hosts that messages name. */
export interface InnerHosts {
  /**
   * Where `terms` lead for that client; `nat-target`: the host has a name, and its address is none that NAT may lead to.
   * @throws UnknownHostError if it has none, or none of the client's family.
   */
  find(terms: ForwardTerms, client: IpAddress): Promise<Forward | 'nat-target'>;
}

/** A host that a message names is not found. The message is one line. */
export class UnknownHostError extends Error {
  override readonly name = 'UnknownHostError';
}

/** Names that are looked up at a time: each takes one of Node's four threads, which others need too. */
const LOOKUPS = 2;
/** More that wait for it are refused. */
const WAITING = 64;

/** Looks names up as this host's other programs do (/etc/hosts, DNS), two at a time and for two seconds at most. */
export function createInnerHosts(options: InnerHostsOptions = {}): InnerHosts {
  const { lookup = addressOfName, addressTowards = ownAddressTowards, timeLimitMs = 2_000 } = options;
  const { ownAddresses = allOwnAddresses } = options;
  const waiting: (() => void)[] = [];
  let running = 0;

  /** Its place is free again when the lookup has ended, however long that takes. */
  async function inPlace(name: string, family: 4 | 6): Promise<string> {
    if (running >= LOOKUPS) {
      if (waiting.length >= WAITING)
        throw new UnknownHostError(`${name}: too many names are being looked up`);
      const givenUpAt = performance.now() + timeLimitMs;
      await new Promise<void>((resolve) => waiting.push(resolve));
      // Nobody waits for it any more, but others wait behind it.
      if (performance.now() >= givenUpAt) {
        waiting.shift()?.();
        throw new UnknownHostError(`${name}: it was not looked up in time`);
      }
    }
    running += 1;
    try {
      return await lookup(name, family);
    } finally {
      running -= 1;
      waiting.shift()?.();
    }
  }

  async function addressOf(name: string, client: IpAddress): Promise<IpAddress> {
    const found = inPlace(name, ipFamily(client)).catch(() => null);
    const address = parseIpAddress((await inTime(found, timeLimitMs)) ?? '');
    if (address !== null) return address;
    throw new UnknownHostError(
      `${name}: no IPv${ipFamily(client)} address found within ${timeLimitMs / 1000} s; try "getent ahosts ${name}" on this host`,
    );
  }

  /** Clients know this host by its name, or by an address that is translated before it comes here. */
  async function ownAddress(host: string, client: IpAddress): Promise<IpAddress> {
    const named = parseIpAddress(host);
    if (named !== null && ipFamily(named) === ipFamily(client) && ownAddresses().includes(named))
      return named;
    const towards = parseIpAddress(await addressTowards(client).catch(() => ''));
    if (towards === null) throw new UnknownHostError(`this host has no address on the way to ${client}`);
    return towards;
  }

  async function targetOf({ kind, target, targets }: ForwardTerms, client: IpAddress): Promise<Target> {
    if (target === null) return null;
    const { host, port } = target;
    if (kind === 'local') return { address: await ownAddress(host, client), port };
    const named = parseIpAddress(host);
    // Of an address it was asked before, if a message says it.
    if (named !== null) return { address: named, port };
    const address = await addressOf(host, client);
    return mayReach(targets, address, port) ? { address, port } : 'nat-target';
  }

  return {
    find: async (terms, client) => {
      const { kind, translates, sourceAs, all } = terms;
      const target = await targetOf(terms, client);
      if (target === 'nat-target') return target;
      const forward = { kind, target, translates, sourceAs, all };
      if (canLead(client, forward)) return forward;
      throw new UnknownHostError(
        `${target?.address ?? sourceAs}: NAT has no way there from ${client}, which is of another family`,
      );
    },
  };
}

type Target = Forward['target'] | 'nat-target';

function inTime<T>(work: Promise<T>, limitMs: number): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(null), limitMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

async function addressOfName(name: string, family: 4 | 6): Promise<string> {
  return (await lookUp(name, { family })).address;
}

function allOwnAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}

/** A socket that is told where to send asks the routes, and sends nothing. */
async function ownAddressTowards(client: IpAddress): Promise<string> {
  const socket = createSocket(ipFamily(client) === 4 ? 'udp4' : 'udp6');
  try {
    socket.connect(9, client);
    await once(socket, 'connect');
    return socket.address().address;
  } finally {
    socket.close();
  }
}
