import { ConfigError, nearest } from 'spa-host';
import { DEFAULT_STANZA, type RcFile, stanzaSettings } from './rc-file.ts';
import type { Settings } from './settings.ts';

/** One host with a door, and how to ask for it: a stanza of the rc file. */
export interface Bastion {
  /** The stanza's name. */
  readonly name: string;
  readonly settings: Settings;
  /** `SPA_SERVER`: a host name, an alias of ssh_config, or an address. */
  readonly host: string;
  /** The door that ssh is to go through: `NAT_PORT`, or the first tcp port of `ACCESS`. */
  readonly sshPort: number;
}

/** What `sshbh` connects to. */
export interface Region {
  readonly name: string;
  /** The region's own, then those of its `FALLBACK`, in the order in which to try them. */
  readonly bastions: readonly [Bastion, ...Bastion[]];
  /** `PRIVATE_HOSTS`: who is reached through the region, as patterns of ssh_config(5). */
  readonly privateHosts: readonly string[];
}

/**
 * A region: the stanza of that name with what `[default]` says. Without `ACCESS` the door is tcp/22, without `ALLOW_IP`
 * it opens for the address that the packet comes from.
 * @throws ConfigError if there is no such stanza, or it or one of its `FALLBACK` is wrong.
 */
export function readRegion(rcFile: RcFile, name: string): Region {
  mustKnow(rcFile, name);
  const first = readBastion(rcFile, name);
  const others = (first.settings.fallback ?? []).filter((stanza) => stanza !== first.name);
  return {
    name: first.name,
    bastions: [first, ...others.map((stanza) => readBastion(rcFile, stanza))],
    privateHosts: first.settings.privateHosts ?? [],
  };
}

/** Names of the stanzas that have a host, in the file's order. A stanza that is wrong counts too: who uses it learns what is wrong. */
export function regionNames(rcFile: RcFile): readonly string[] {
  const hasHost = (stanza: RcFile['stanzas'][number] | undefined): boolean =>
    stanza?.lines.some((line) => line.keyword === 'SPA_SERVER') ?? false;
  const isDefault = (stanza: RcFile['stanzas'][number]): boolean =>
    stanza.name.toLowerCase() === DEFAULT_STANZA;
  const all = hasHost(rcFile.stanzas.find(isDefault));
  return rcFile.stanzas
    .filter((stanza) => !isDefault(stanza) && (all || hasHost(stanza)))
    .map((stanza) => stanza.name);
}

const SSH_PORT = 22;
const DEFAULTS: Settings = { access: [{ protocol: 'tcp', port: SSH_PORT }], allowIp: null };

function mustKnow(rcFile: RcFile, name: string): void {
  if (rcFile.stanzas.some((stanza) => stanza.name.toLowerCase() === name.toLowerCase())) return;
  const [suggestion] = nearest(name, regionNames(rcFile));
  const hint = suggestion === undefined ? 'it has none with SPA_SERVER' : `did you mean ${suggestion}?`;
  throw new ConfigError({ file: rcFile.file }, `there is no region ${name}; ${hint}`);
}

function readBastion(rcFile: RcFile, name: string): Bastion {
  const settings = { ...DEFAULTS, ...stanzaSettings(rcFile, name) };
  const complain = (text: string): never => {
    throw new ConfigError({ file: rcFile.file }, `[${name}] ${text}`);
  };
  const host = settings.server ?? complain('names no host; write SPA_SERVER HOST');
  const door = settings.access?.find((candidate) => candidate.protocol === 'tcp');
  if (settings.natRandPort) complain('has a port that nobody can know; write NAT_PORT, not NAT_RAND_PORT');
  const sshPort =
    settings.natPort ?? door?.port ?? complain('has no tcp port in ACCESS; write ACCESS tcp/22');
  const stanza = rcFile.stanzas.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
  return { name: stanza?.name ?? name, settings, host, sshPort };
}
