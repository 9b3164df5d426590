import { type IpAddress, ipFamily, type NatTarget, parseIpAddress, parseIpNetwork } from 'spa-core';
import { ConfigError, type ConfigPlace } from 'spa-host';
import { type NatPolicy, type NatTargetRule, NO_NAT } from '../decision/nat.ts';
import type { ReadValue, Stated } from './keywords.ts';
import { quote, readBoolean, readList } from './values.ts';

/** What fwknopd.conf says of NAT; what it does not say is left out. */
export interface ServerNat {
  readonly ENABLE_IPT_FORWARDING?: Stated<boolean>;
  readonly ENABLE_IPT_LOCAL_NAT?: Stated<boolean>;
  readonly ENABLE_IPT_SNAT?: Stated<boolean>;
  readonly SNAT_TRANSLATE_IP?: Stated<IpAddress>;
  readonly ENABLE_NAT_DNS?: Stated<boolean>;
  readonly NAT_TARGETS?: Stated<readonly NatTargetRule[]>;
}

/** What a stanza of access.conf says of NAT; its `NAT_TARGETS` take the place of the other file's. */
export interface StanzaNat {
  readonly FORCE_NAT?: Stated<{ readonly address: IpAddress; readonly port: number }>;
  readonly FORCE_SNAT?: Stated<IpAddress>;
  readonly FORCE_MASQUERADE?: Stated<boolean>;
  readonly DISABLE_DNAT?: Stated<boolean>;
  readonly FORWARD_ALL?: Stated<boolean>;
  readonly NAT_TARGETS?: Stated<readonly NatTargetRule[]>;
}

type Readers<Said> = {
  readonly [Keyword in keyof Said]-?: Said[Keyword] extends Stated<infer T> | undefined
    ? ReadValue<T>
    : never;
};

/** The rows of {@link ServerNat}. */
export const SERVER_NAT_KEYWORDS: Readers<ServerNat> = {
  ENABLE_IPT_FORWARDING: readBoolean,
  ENABLE_IPT_LOCAL_NAT: readBoolean,
  ENABLE_IPT_SNAT: readBoolean,
  SNAT_TRANSLATE_IP: readHostAddress,
  ENABLE_NAT_DNS: readBoolean,
  NAT_TARGETS: readTargets,
};

/** The rows of {@link StanzaNat}. */
export const STANZA_NAT_KEYWORDS: Readers<StanzaNat> = {
  FORCE_NAT: readForced,
  FORCE_SNAT: readHostAddress,
  FORCE_MASQUERADE: readBoolean,
  DISABLE_DNAT: readBoolean,
  FORWARD_ALL: readBoolean,
  NAT_TARGETS: readTargets,
};

/** Of all that a file says, what concerns NAT. */
export function pickNat<Nat extends object>(
  keywords: Readonly<Record<keyof Nat, unknown>>,
  settings: Nat,
): Nat {
  const said = Object.entries(settings).filter(([keyword]) => Object.hasOwn(keywords, keyword));
  return Object.fromEntries(said) as Nat;
}

/**
 * What a stanza lets ports lead to, by both files. `warn` takes what the operator should know, a line each.
 * @throws ConfigError
 */
export function natPolicy(server: ServerNat, stanza: StanzaNat, warn: (line: string) => void): NatPolicy {
  const forwarding = server.ENABLE_IPT_FORWARDING?.value ?? false;
  const local = server.ENABLE_IPT_LOCAL_NAT?.value ?? false;
  mustFit(stanza, forwarding || local);
  if (!forwarding && !local) {
    const idle = [stanza.FORWARD_ALL, stanza.DISABLE_DNAT].find((said) => said?.value === true);
    if (idle !== undefined)
      warn(`${at(idle.place)}: no effect without ENABLE_IPT_FORWARDING Y in fwknopd.conf`);
    return NO_NAT;
  }
  const targets = stanza.NAT_TARGETS ?? server.NAT_TARGETS;
  if (targets === undefined && stanza.FORCE_NAT === undefined && forwarding) {
    const { place } = server.ENABLE_IPT_FORWARDING ?? { place: { file: 'fwknopd.conf' } };
    warn(
      `${at(place)}: messages may lead to any host and port behind this one; write NAT_TARGETS 10.0.0.0/24:22`,
    );
  }
  return {
    forwarding,
    local,
    force: stanza.FORCE_NAT?.value ?? null,
    forwardAll: stanza.FORWARD_ALL?.value ?? false,
    translates: stanza.DISABLE_DNAT?.value !== true,
    sourceAs: sourceAs(server, stanza),
    targets: targets?.value ?? null,
    dns: server.ENABLE_NAT_DNS?.value ?? true,
  };
}

/** True if doors may lead elsewhere. */
export function allowsNat({ forwarding, local }: NatPolicy): boolean {
  return forwarding || local;
}

function sourceAs(server: ServerNat, stanza: StanzaNat): NatPolicy['sourceAs'] {
  if (stanza.FORCE_SNAT !== undefined) return stanza.FORCE_SNAT.value;
  if (stanza.FORCE_MASQUERADE?.value === true) return 'masquerade';
  return server.ENABLE_IPT_SNAT?.value === true ? (server.SNAT_TRANSLATE_IP?.value ?? 'masquerade') : null;
}

/** What fwknopd refuses too, and addresses that no rule can bring together. */
function mustFit(
  { FORCE_NAT, FORCE_SNAT, FORCE_MASQUERADE, FORWARD_ALL }: StanzaNat,
  isAllowed: boolean,
): void {
  const source = FORCE_SNAT ?? (FORCE_MASQUERADE?.value === true ? FORCE_MASQUERADE : undefined);
  const forced = FORCE_NAT ?? source;
  if (forced !== undefined && !isAllowed) {
    throw new ConfigError(
      forced.place,
      'write ENABLE_IPT_FORWARDING Y into fwknopd.conf too, or remove the line',
    );
  }
  if (source !== undefined && FORCE_NAT === undefined && FORWARD_ALL?.value !== true) {
    throw new ConfigError(source.place, 'only with FORCE_NAT or FORWARD_ALL Y; write one of them too');
  }
  if (FORCE_NAT === undefined || FORCE_SNAT === undefined) return;
  if (ipFamily(FORCE_NAT.value.address) !== ipFamily(FORCE_SNAT.value)) {
    throw new ConfigError(
      FORCE_SNAT.place,
      `write an address of the same family as ${FORCE_NAT.value.address}`,
    );
  }
}

function at({ file, line, keyword }: ConfigPlace): string {
  return [file, line, keyword === undefined ? undefined : ` ${keyword}`]
    .filter((part) => part !== undefined)
    .join(':');
}

/** `10.0.0.5 22`. */
function readForced(
  value: string,
  place: ConfigPlace,
): { readonly address: IpAddress; readonly port: number } {
  const [host = '', port = '', ...more] = value.trim().split(/[\s,]+/);
  const address = parseIpAddress(host);
  const number = parsePort(port);
  if (address !== null && number !== null && more.length === 0) return { address, port: number };
  throw new ConfigError(place, `${quote(value)} is no address with a port; write FORCE_NAT 10.0.0.5 22`);
}

function readHostAddress(value: string, place: ConfigPlace): IpAddress {
  const address = parseIpAddress(value);
  if (address !== null) return address;
  throw new ConfigError(place, `${quote(value)} is no address; write 10.0.0.1, an address of this host`);
}

/** `10.0.0.0/24:22`, `10.0.0.5`, `[2001:db8::/64]:22`: where NAT may lead. */
function readTargets(value: string, place: ConfigPlace): readonly NatTargetRule[] {
  return readList(value).map((item) => {
    const [, inBrackets, bare, portText] =
      /^(?:\[([^\]]+)\]|([^:]+|[\da-f:]*:[\da-f:./]*?))(?::(\d+))?$/i.exec(item) ?? [];
    const network = parseIpNetwork(inBrackets ?? bare ?? '');
    const port = portText === undefined ? null : parsePort(portText);
    if (network !== null && (portText === undefined || port !== null)) {
      return { network, ports: port === null ? null : [port] };
    }
    throw new ConfigError(
      place,
      `${quote(item)} is no host or network; write 10.0.0.5:22, 10.0.0.0/24 or [2001:db8::5]:22`,
    );
  });
}

function parsePort(text: string): NatTarget['port'] | null {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : null;
}
