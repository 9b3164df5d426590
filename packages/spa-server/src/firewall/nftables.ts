import { type IpAddress, ipFamily, type ProtoPort, parseIpAddress } from 'spa-core';
import { runCommand, TIME_LIMIT_MS } from './command.ts';
import { checkChanges, checkGrant, doorKey } from './doors.ts';
import {
  type Door,
  type DoorChange,
  type Firewall,
  FirewallError,
  type GatePolicy,
  type Grant,
  type InstallOptions,
} from './firewall.ts';
import { createTurns } from './in-turn.ts';
import {
  detachScript,
  doorSets,
  formatNftChain,
  installScript,
  type NftChain,
  type NftPlace,
  type NftPlacement,
  nftPlace,
} from './nft-place.ts';
import {
  acceptsEstablished,
  type Entry,
  jumpTarget,
  obstacles,
  parseElements,
  parseRuleset,
  type Ruleset,
  rootsOf,
  rulesOf,
  shutsByDefault,
} from './nft-ruleset.ts';
import { NftSession } from './nft-session.ts';

/** How to reach nftables, and where our rules go. */
export interface NftablesOptions {
  /** nft's path, with what has to stand before it: `['/usr/sbin/nft']`. */
  readonly command: readonly string[];
  readonly placement: NftPlacement;
  /** Milliseconds since epoch. */
  readonly now: () => number;
  /** How long one change may take. */
  readonly timeLimitMs?: number;
}

/**
 * Doors as elements of nftables sets, each with a timeout of its own: the kernel closes them.
 *
 * Nothing happens before the first call. {@link Firewall.grant} goes through one long-lived session, all else
 * through a process of its own.
 */
export function createNftables(options: NftablesOptions): Firewall {
  const { command, placement, now, timeLimitMs = TIME_LIMIT_MS } = options;
  const place = nftPlace(placement);
  const session = new NftSession(command, timeLimitMs);
  const inTurn = createTurns();
  /** Per door the latest time at which it may still be open. Only a hint when to ask the kernel. */
  const openUntil = new Map<string, number>();
  /** Its size after it was last rid of the past, which is worth a pass only once it has doubled. */
  let pruned = 1_000;
  /** Our part of the ruleset after the last install. */
  let installed: string | null = null;

  const nft = (args: readonly string[], input = ''): Promise<string> =>
    runCommand([...command, ...args], { input, timeLimitMs });
  const listRuleset = async (): Promise<Ruleset> => parseRuleset(await nft(['-j', '-t', 'list', 'ruleset']));
  const list = async (): Promise<readonly Door[]> => {
    const sets = await Promise.all(
      doorSets(place).map((set) => nft(['-j', 'list', 'set', place.family, place.table, set])),
    );
    return sets.flatMap(parseElements).flatMap(parseDoor);
  };

  async function install(
    policy: GatePolicy,
    { flush, doors: wanted }: InstallOptions,
  ): Promise<readonly string[]> {
    const ruleset = await listRuleset();
    const problem = missingChain(ruleset, place);
    if (problem !== null) throw new FirewallError(command.join(' '), null, problem);
    const isThere = ruleset.sets.some(
      (set) => doorSets(place).includes(set.chain) && set.table === place.table,
    );
    const open = new Map(
      (isThere && !flush ? await list() : []).map((door) => [doorKey(door.address, door.port), door]),
    );
    const due = wanted.filter(
      ({ address, port, timeoutSeconds }) =>
        (open.get(doorKey(address, port))?.remainingSeconds ?? -1) < (timeoutSeconds ?? 0),
    );
    const script = installScript(place, policy, { flush, jumps: jumpHandles(ruleset, place) });
    await nft(['-f', '-'], `${script}${due.flatMap(setDoor).join('\n')}\n`);
    installed = await fingerprint();
    openUntil.clear();
    const doors = await list();
    // The remaining time is rounded down.
    for (const door of doors) remember(door.address, door.port, now() + (door.remainingSeconds + 1) * 1000);
    // The first grant is not to wait for a process to start.
    await session.run('');
    return warnings(ruleset, place, policy);
  }

  /** The statements that bring a door to what `change` says, whatever it was. */
  function setDoor({ address, port, timeoutSeconds, grantId }: DoorChange): readonly string[] {
    const set = ipFamily(address) === 4 ? place.doors4 : place.doors6;
    if (set === null) return [];
    const of = `element ${place.family} ${place.table} ${set}`;
    const key = `${address} . ${PROTOCOL_NUMBER[port.protocol]} . ${port.port}`;
    const gone = [`add ${of} { ${key} }`, `delete ${of} { ${key} }`];
    if (timeoutSeconds === null) return gone;
    const comment = grantId === null ? '' : ` comment "${grantId}"`;
    return [...gone, `add ${of} { ${key} timeout ${Math.floor(timeoutSeconds * 1000)}ms${comment} }`];
  }

  async function adjust(changes: readonly DoorChange[]): Promise<void> {
    if (changes.length === 0) return;
    await run(changes.flatMap(setDoor));
    for (const { address, port, timeoutSeconds } of changes)
      remember(address, port, now() + (timeoutSeconds ?? 0) * 1000);
  }

  async function fingerprint(): Promise<string> {
    return nft(['-t', 'list', 'table', place.family, place.table]);
  }

  async function grant(wanted: Grant): Promise<{ readonly expiresAt: number }> {
    const { address, ports, timeoutSeconds } = wanted;
    const set = ipFamily(address) === 4 ? place.doors4 : place.doors6;
    if (set === null) {
      throw new FirewallError(
        command.join(' '),
        null,
        `a table of family ${place.family} has no door for ${address}`,
      );
    }
    const startedAt = now();
    const expiresAt = startedAt + timeoutSeconds * 1000;
    const isOpenLonger = (port: ProtoPort): boolean =>
      (openUntil.get(doorKey(address, port)) ?? 0) > expiresAt;
    const longer = ports.some(isOpenLonger) ? await doorsOpenFor(address, timeoutSeconds) : new Set();
    const due = ports.filter((port) => !longer.has(doorKey(address, port)));
    if (due.length > 0)
      await run(due.map((port) => openDoor(`${place.family} ${place.table} ${set}`, port, wanted)));
    if (openUntil.size >= 2 * pruned) forgetBefore(startedAt);
    for (const port of due) remember(address, port, now() + timeoutSeconds * 1000);
    return { expiresAt };
  }

  /** The doors that the kernel keeps open for `address` for at least so many seconds more. */
  async function doorsOpenFor(address: IpAddress, seconds: number): Promise<ReadonlySet<unknown>> {
    const doors = (await list()).filter(
      (door) => door.address === address && door.remainingSeconds >= seconds,
    );
    return new Set(doors.map((door) => doorKey(door.address, door.port)));
  }

  /**
   * One transaction through the session, tried twice: the session may have died while idle; and before
   * Linux 6.8 a door whose time ends within the transaction fails it.
   */
  async function run(statements: readonly string[]): Promise<void> {
    const line = statements.join('; ');
    try {
      await session.run(line);
    } catch (error) {
      if (!(error instanceof FirewallError) || error.notPermitted) throw error;
      await session.run(line);
    }
  }

  async function flush(): Promise<void> {
    await run(doorSets(place).map((set) => `flush set ${place.family} ${place.table} ${set}`));
    openUntil.clear();
  }

  async function close(options: { readonly flush: boolean }): Promise<void> {
    try {
      if (!options.flush) return;
      if (place.from === null) await flush();
      else await nft(['-f', '-'], detachScript(place, findOurs(await listRuleset(), place)));
    } finally {
      session.end();
    }
  }

  function remember(address: IpAddress, port: ProtoPort, until: number): void {
    openUntil.set(doorKey(address, port), until);
  }

  function forgetBefore(time: number): void {
    for (const [key, until] of openUntil) if (until < time) openUntil.delete(key);
    pruned = Math.max(openUntil.size, 1_000);
  }

  return {
    name: `nftables, ${placement.mode === 'own' ? 'own' : "the operator's"} table ${place.family} ${place.table}`,
    install: async (policy, options) => {
      const doors = checkChanges(options.doors);
      return inTurn(() => install(policy, { ...options, doors }));
    },
    adjust: async (changes) => {
      const checked = checkChanges(changes);
      return inTurn(() => adjust(checked));
    },
    isIntact: () =>
      inTurn(async () => installed !== null && (await fingerprint().catch(() => '')) === installed),
    counters: async () => [],
    grant: async (wanted) => {
      const checked = checkGrant(wanted);
      return inTurn(() => grant(checked));
    },
    list,
    flush: () => inTurn(flush),
    close: (closing) => inTurn(() => close(closing)),
  };
}

/** An existing element keeps its old timeout when it is added again; what is surely there can be taken out first. */
function openDoor(
  set: string,
  { protocol, port }: ProtoPort,
  { id, address, timeoutSeconds }: Grant,
): string {
  // By number: names of protocols need a file, /etc/protocols, that small systems lack.
  const key = `${address} . ${PROTOCOL_NUMBER[protocol]} . ${port}`;
  const element = `${key} timeout ${timeoutSeconds}s comment "${id}"`;
  return `add element ${set} { ${key} }; delete element ${set} { ${key} }; add element ${set} { ${element} }`;
}

const PROTOCOL_NUMBER: Readonly<Record<ProtoPort['protocol'], number>> = { tcp: 6, udp: 17 };

function parseDoor({ val, expires, comment }: Entry): readonly Door[] {
  const parts = typeof val === 'object' && val !== null && 'concat' in val ? val.concat : null;
  if (!Array.isArray(parts)) return [];
  const [addressText, protocolText, port] = parts;
  const address = parseIpAddress(String(addressText));
  const protocol = (['tcp', 'udp'] as const).find(
    (name) => protocolText === name || protocolText === PROTOCOL_NUMBER[name],
  );
  if (address === null || protocol === undefined || typeof port !== 'number') return [];
  return [
    {
      address,
      port: { protocol, port },
      remainingSeconds: Number(expires ?? 0),
      grantId: typeof comment === 'string' ? comment : null,
    },
  ];
}

/** Why our rules cannot be attached where the operator wants them, or null if they can. */
function missingChain(ruleset: Ruleset, place: NftPlace): string | null {
  if (place.from === null) return null;
  const wanted = formatNftChain({ ...place, chain: place.from });
  const found = ruleset.chains.find((chain) => formatNftChain(chain) === wanted);
  if (found?.hook === 'input' || found?.hook === null) return null;
  const inputs = ruleset.chains.filter((chain) => chain.hook === 'input').map(formatNftChain);
  const instead =
    inputs.length === 0
      ? 'there is no chain with hook input, so NFT_MODE own is right'
      : `chains with hook input are: ${inputs.join(', ')}`;
  return found === undefined
    ? `NFT_ATTACH_CHAIN: there is no chain ${wanted}; ${instead}`
    : `NFT_ATTACH_CHAIN: chain ${wanted} has hook ${found.hook}; ${instead}`;
}

function warnings(ruleset: Ruleset, place: NftPlace, policy: GatePolicy): readonly string[] {
  const spaPort: ProtoPort = { protocol: 'udp', port: policy.spaPort };
  const passing = [spaPort, ...policy.protectedPorts];
  if (place.from === null) return obstacles(ruleset, [place], passing);
  const from: NftChain = { ...place, chain: place.from };
  const name = formatNftChain(from);
  const roots = rootsOf(ruleset, from);
  const otherFamily = { inet: null, ip: 'IPv6', ip6: 'IPv4' }[place.family];
  const found: readonly (string | false)[] = [
    ...obstacles(ruleset, roots, passing),
    roots.length === 0 && `no chain with hook input leads to chain ${name}: its rules see no packet`,
    roots.some((root) => !shutsByDefault(ruleset, root)) &&
      `chain ${name} lets everything through that it does not know: the doors guard nothing; give it policy drop`,
    roots.some((root) => !acceptsEstablished(ruleset, root)) &&
      `chain ${name} has no rule "ct state established,related accept": sessions will die with their door`,
    otherFamily !== null &&
      `chain ${name} is of family ${place.family}: no doors for ${otherFamily}; a chain of family inet has both`,
  ];
  return found.filter((warning) => warning !== false);
}

function jumpHandles(ruleset: Ruleset, place: NftPlace): readonly number[] {
  if (place.from === null) return [];
  return rulesOf(ruleset, { ...place, chain: place.from })
    .filter((rule) => jumpTarget(rule) === place.chain)
    .map((rule) => rule.handle);
}

/** What of ours stands in the operator's table: somebody may have reloaded it. */
function findOurs(ruleset: Ruleset, place: NftPlace): Parameters<typeof detachScript>[1] {
  const isThere = (name: string, among: readonly NftChain[]): boolean =>
    among.some((one) => formatNftChain(one) === formatNftChain({ ...place, chain: name }));
  return {
    jumps: jumpHandles(ruleset, place),
    chain: isThere(place.chain, ruleset.chains),
    sets: doorSets(place).filter((set) => isThere(set, ruleset.sets)),
  };
}
