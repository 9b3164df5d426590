import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { IpAddress } from 'spa-core';
import { addresses, createNamespacePair, type NamespacePair } from 'spa-lab';
import type { Firewall } from '../src/firewall/firewall.ts';
import type { FirewallRig } from './firewall-contract.ts';
import { ssh, web } from './firewall-contract.ts';
import { type FirewallPlan, makeFirewall } from './firewall-plan.ts';
import { createNetworkProbe } from './network-probe.ts';

/** A rig with the real firewall of a namespace, and real connections to it. */
export interface RealRig extends FirewallRig {
  readonly pair: NamespacePair;
  /** True if one of `count` UDP packets with this text, sent at once to the SPA port, is answered. */
  answersPackets(
    from: IpAddress,
    packets: { readonly text: string; readonly count: number },
  ): Promise<boolean>;
}

/** Rules of the operator's: a command that reads stdin, and what it gets there. */
export interface OperatorRules {
  readonly command: readonly string[];
  readonly input: string;
}

/** A bastion's rules as its operator may have them: all is dropped that is not known. */
export const DEFAULT_DROP: OperatorRules = {
  command: ['nft', '-f', '-'],
  input: `
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iif lo accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
}
`,
};

/** What `promise` rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('it was expected to reject');
}

/** How long a dropped packet's silence is listened to. */
const SILENCE_MS = 400;

/**
 * Two namespaces with listeners on the server's protected ports, SPA ports and tcp/8080, and `plan`'s firewall.
 * `rulesets` are the operator's own.
 */
export async function createRealRig(
  plan: FirewallPlan,
  ...rulesets: readonly OperatorRules[]
): Promise<RealRig> {
  const pair = await createNamespacePair();
  const server = createNetworkProbe(pair.server);
  const client = createNetworkProbe(pair.client);
  const opened: Firewall[] = [];
  let connections = 0;
  for (const { command, input } of rulesets) await pair.server.must(command, input);
  for (const { port } of [ssh, web, { port: 8080 }]) await server.ask({ kind: 'listenTcp', port });
  for (const port of [62201, 62202, 5353]) await server.ask({ kind: 'listenUdp', port });

  const serverFor = (from: IpAddress): string => (from.includes(':') ? addresses.server6 : addresses.server4);
  const reaches: FirewallRig['reaches'] = async (from, { port }, timeLimitMs = SILENCE_MS) => {
    const answer = await client.ask({ kind: 'connect', from, to: serverFor(from), port, timeLimitMs });
    return answer === 'open';
  };

  return {
    pair,
    reaches,
    open: () => {
      const firewall = makeFirewall(plan, pair.server.enter);
      opened.push(firewall);
      return firewall;
    },
    grantAndDie: async (gatePolicy, grant) => {
      const script = fileURLToPath(new URL('firewall-process.js', import.meta.url));
      const task = JSON.stringify({ plan, policy: gatePolicy, grant });
      const child = pair.server.spawn([process.execPath, script, task], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      if (child.stdout === null) throw new TypeError('no pipe');
      const [line] = await once(createInterface({ input: child.stdout }), 'line');
      if (line !== 'granted') throw new Error(`the daemon said ${line}`);
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    waitUntilShut: async (from, port) => {
      const limit = Date.now() + 15_000;
      while (await reaches(from, port)) {
        if (Date.now() > limit) throw new Error('still open after 15 s');
      }
    },
    connect: async (from, { port }) => {
      const id = ++connections;
      const answer = await client.ask({
        kind: 'connect',
        from,
        to: serverFor(from),
        port,
        timeLimitMs: 5_000,
        id,
      });
      if (answer !== 'open') throw new Error(`no connection: ${answer}`);
      return async () => (await client.ask({ kind: 'echo', id, timeLimitMs: 5_000 })) === 'open';
    },
    answersUdp: async (from, port) => {
      // The first packet to a neighbour may wait for its address; a second try costs nothing.
      const ask = () => client.ask({ kind: 'udp', from, to: serverFor(from), port, timeLimitMs: SILENCE_MS });
      return (await ask()) === 'open' || (await ask()) === 'open';
    },
    answersPackets: async (from, packets) => {
      const to = serverFor(from);
      const port = 62201;
      return (
        (await client.ask({ kind: 'udp', from, to, port, timeLimitMs: 4 * SILENCE_MS, ...packets })) ===
        'open'
      );
    },
    wipe: async () => {
      await pair.server.must(['nft', 'flush', 'ruleset']);
      for (const { command, input } of rulesets) await pair.server.must(command, input);
      if (plan.kind === 'iptables') await pair.server.must(['ipset', '-quiet', 'destroy']);
    },
    dispose: async () => {
      await Promise.all(opened.map((firewall) => firewall.close({ flush: false }).catch(() => {})));
      await pair.dispose();
    },
  };
}
