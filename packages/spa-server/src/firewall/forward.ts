import { type IpAddress, ipFamily, parseIpAddress } from 'spa-core';

/** Where a door leads that does not lead to a port of this host as it is. */
export interface Forward {
  /** To a host behind this one, or to another port of this one. */
  readonly kind: 'nat' | 'local';
  /**
   * Null: wherever the client sends to; only with `all`. Of the same family as the client. Local and not translated, it is a
   * door of one address of this host, and its port is the door's.
   */
  readonly target: { readonly address: IpAddress; readonly port: number } | null;
  /** False: the destination stays as it is, packets are only let through. */
  readonly translates: boolean;
  /** As what the inner host sees the client: itself (null), this host, or that address. */
  readonly sourceAs: IpAddress | 'masquerade' | null;
  /** All ports and protocols of the client, not only the door's. */
  readonly all: boolean;
}

/** `nat,10.0.0.5,22,masquerade`: as rules' comments and the record of grants have it. See {@link parseForward}. */
export function formatForward({ kind, target, translates, sourceAs, all }: Forward): string {
  return [
    kind,
    ...(target === null ? [ANYWHERE] : [target.address, String(target.port)]),
    ...(translates ? [] : [UNTRANSLATED]),
    ...(sourceAs === null ? [] : [sourceAs === 'masquerade' ? sourceAs : `${AS}${sourceAs}`]),
    ...(all ? [ALL] : []),
  ].join(',');
}

/** Reads what {@link formatForward} has written; null for anything else. */
export function parseForward(text: string): Forward | null {
  const [kind, host = '', ...rest] = text.split(',');
  if (kind !== 'nat' && kind !== 'local') return null;
  const address = parseIpAddress(host);
  const port = address === null ? null : Number(rest.shift());
  const isTarget = address !== null && Number.isInteger(port) && Number(port) > 0 && Number(port) <= 65_535;
  if (host !== ANYWHERE && !isTarget) return null;
  let [translates, all, sourceAs]: [boolean, boolean, Forward['sourceAs']] = [true, false, null];
  for (const option of rest) {
    const as = option.startsWith(AS) ? parseIpAddress(option.slice(AS.length)) : null;
    if (option === UNTRANSLATED) translates = false;
    else if (option === ALL) all = true;
    else if (option === 'masquerade') sourceAs = option;
    else if (as !== null) sourceAs = as;
    else return null;
  }
  const target = address === null ? null : { address, port: Number(port) };
  return target === null && !all ? null : { kind, target, translates, sourceAs, all };
}

/** True if both lead to the same place in the same way; left out is a door of this host's own. */
export function isSameForward(one: Forward | undefined, other: Forward | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return formatForward(one) === formatForward(other);
}

/** The port that a door leads to, of the forward's target. */
export function innerPort(port: number, { kind, translates, target }: Forward): number {
  return target === null || (kind === 'local' && !translates) ? port : target.port;
}

/** The members that say where a door leads: none for one of this host's own. */
export function forwardOf({ forward }: { readonly forward?: Forward }): { readonly forward?: Forward } {
  return forward === undefined ? {} : { forward };
}

/** True if rules can hold it for a client of that address: there is no translation from one family to the other. */
export function canLead(
  from: IpAddress,
  { target, sourceAs }: Pick<Forward, 'target' | 'sourceAs'>,
): boolean {
  const others = [target?.address, sourceAs === 'masquerade' ? null : sourceAs];
  return others.every((other) => other === null || other === undefined || ipFamily(other) === ipFamily(from));
}

const ANYWHERE = 'any';
const UNTRANSLATED = 'untranslated';
const ALL = 'all';
const AS = 'as=';
