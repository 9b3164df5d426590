import { randomBytes } from 'node:crypto';
import { type IpAddress, sealPacket } from 'spa-core';
import { UsageError } from 'spa-host';
import { compose, type Destination, destinationOf } from './compose.ts';
import {
  type ClosedDoor,
  type DoorEvent,
  type Host,
  type OpenDoor,
  openDoor,
  type Patience,
} from './door.ts';
import type { Doorway } from './doorway.ts';
import { isSigned, loadPacketKeys, NOBODY, type PacketKeys, type SecretSource } from './packet-keys.ts';
import type { Bastion, Region } from './region.ts';
import { resolveServers, type Server, sendPacket } from './send.ts';
import type { Settings } from './settings.ts';
import { isControlSocketLive, readSshSettings, type SshSettings } from './ssh-settings.ts';

/** A bastion, and what ssh makes of it. */
export interface SshBastion {
  readonly bastion: Bastion;
  readonly ssh: SshSettings;
}

/** A doorway of a bastion's. */
export interface BastionDoorway extends Doorway, SshBastion {
  /** All addresses that ssh could choose from. */
  readonly servers: readonly Server[];
  /** The person wants this family; null: any. */
  readonly family: 4 | 6 | null;
}

/** How a region can be entered. */
export type Passage =
  | OpenDoor<BastionDoorway>
  /** A connection of ssh's is alive and will be shared: nothing was sent. */
  | ({ readonly state: 'shared' } & SshBastion)
  /** ssh goes through a proxy: a packet was sent, but the door cannot be seen from here. */
  | ({ readonly state: 'unseen' } & SshBastion);

/** What happens on the way in; `waiting`: a packet is not made in a moment, because others have a say. */
export type EntryEvent = DoorEvent | { readonly kind: 'waiting'; readonly on: 'resolvers' | 'gpg' };

/** Whose door it is. */
export function bastionOf(passage: Passage): Bastion {
  return passage.state === 'open' ? passage.doorway.bastion : passage.bastion;
}

/** Who wants to enter, and how. */
export interface Entry {
  /** The ssh program. */
  readonly ssh: string;
  /** What the person told ssh. */
  readonly sshOptions: readonly string[];
  /** ssh's user on the bastion; null: as ssh's configuration has it. */
  readonly user: string | null;
  /** Only addresses of this family; null: any. */
  readonly family: 4 | 6 | null;
  readonly patience: Patience;
  readonly secrets: SecretSource;
  /** Who runs the client: see {@link compose}. */
  readonly username: string;
  readonly onEvent: (event: EntryEvent) => void;
  /** Hears which own address was chosen, and why. */
  readonly note: (line: string) => void;
}

/**
 * Opens a region's door for ssh, at the very address that ssh will use, unless it needs none: see {@link Passage}.
 * @throws ConfigError, KeyError, UsageError, SshError
 */
export async function enterRegion(
  region: Region,
  entry: Entry,
): Promise<Passage | ClosedDoor<BastionDoorway>> {
  const [bastion, ...others] = region.bastions;
  const first = await askSsh(bastion, entry);
  const { controlPath, hasProxy } = first.ssh;
  if (controlPath !== null && (await isControlSocketLive(controlPath))) return { state: 'shared', ...first };
  if (hasProxy) return knockUnseen(first, entry);
  const hosts: Host<BastionDoorway>[] = [
    () => doorwaysOf(first, entry),
    ...others.map((other) => async () => doorwaysOf(await askSsh(other, entry), entry)),
  ];
  return openDoor(hosts, entry.patience, entry.onEvent);
}

const SSH_PORT = 22;
/** A host has few addresses; a name with hundreds is not worth a packet to each. */
const MAX_ADDRESSES = 6;
/** Where the door cannot be seen: time for the packet to get there and be verified. */
const UNSEEN_MS = 300;

interface AskedBastion extends SshBastion {
  /** What to seal packets with; a person may be asked. */
  readonly keys: () => Promise<PacketKeys>;
}

async function askSsh(bastion: Bastion, entry: Entry): Promise<AskedBastion> {
  const { ssh, sshOptions, user } = entry;
  const keys = keysOf(bastion, entry);
  const port = bastion.sshPort === SSH_PORT ? [] : ['-p', String(bastion.sshPort)];
  const host = user === null ? bastion.host : `${user}@${bastion.host}`;
  return { bastion, keys, ssh: await readSshSettings(ssh, [...sshOptions, ...port, host]) };
}

/** While ssh answers, what takes no person's time is loaded; a person is asked when a packet is made. */
function keysOf({ settings }: Bastion, { secrets }: Entry): () => Promise<PacketKeys> {
  if (!isSigned(settings)) throw nobodySigns();
  const unattended = loadPacketKeys(settings, NOBODY).catch(() => null);
  return once(async () => (await unattended) ?? loadPacketKeys(settings, secrets));
}

/** A packet that nobody signs is for who asks for it with spa-client; here a line is missing. */
function nobodySigns(): UsageError {
  return new UsageError('sign as whom? write GPG_SIGNER or GPG_SIGNER_KEY_FILE into the rc file');
}

async function doorwaysOf(from: AskedBastion, entry: Entry): Promise<readonly BastionDoorway[]> {
  const { bastion, ssh } = from;
  const destination = mustHaveDestination(bastion);
  const family = entry.family ?? ssh.family ?? destination.family;
  const servers = await resolveServers(ssh.hostname, family);
  const tcpPorts = (bastion.settings.access ?? []).filter((door) => door.protocol === 'tcp');
  const port = tcpPorts.some((door) => door.port === ssh.port) ? ssh.port : bastion.sshPort;
  return inTurns(preferring(destination.preferredFamily, servers)).map((server) => ({
    ...from,
    servers,
    family,
    server,
    port,
    seal: async () => sealFor(bastion, server, entry, await from.keys()),
    send: (packet) => sendPacket(packet, server, destination),
  }));
}

async function knockUnseen(from: AskedBastion, entry: Entry): Promise<Passage> {
  const { bastion } = from;
  const destination = mustHaveDestination(bastion);
  const [server] = await resolveServers(from.ssh.hostname, entry.family ?? destination.family);
  const packet = await sealFor(bastion, server, entry, await from.keys());
  await sendPacket(packet, server, destination);
  await new Promise((resolve) => setTimeout(resolve, UNSEEN_MS));
  return { state: 'unseen', ...from };
}

async function sealFor(
  { settings }: Bastion,
  server: Server,
  { username, note, onEvent }: Entry,
  keys: PacketKeys,
): Promise<string> {
  const { allowIp: asked } = settings;
  if (asked === 'resolve') onEvent({ kind: 'waiting', on: 'resolvers' });
  const allowIp = asked === 'resolve' ? await askOwnAddress(settings, server, note) : asked;
  if (keys.encryption.kind === 'external') onEvent({ kind: 'waiting', on: 'gpg' });
  const nowSeconds = Math.floor(Date.now() / 1000);
  const { message } = compose({ ...settings, allowIp }, { nowSeconds, random: randomBytes, username });
  return sealPacket(message, keys, { nowSeconds, random: randomBytes });
}

/** Anew for each packet: the network may have changed. */
async function askOwnAddress(
  settings: Settings,
  { family, address }: Server,
  note: (line: string) => void,
): Promise<IpAddress> {
  const { ownAddress, resolversOf } = await import('./own-address.ts');
  return ownAddress({ family, towards: address, resolvers: resolversOf(settings), note });
}

function mustHaveDestination({ settings, host }: Bastion): Destination {
  const destination = destinationOf(settings);
  if (destination === null) throw new TypeError(`${host}: a bastion has a destination`);
  return destination;
}

/** Only the family that the door is to open for, if the host has it. */
function preferring(family: 4 | 6 | null, servers: readonly Server[]): readonly Server[] {
  const preferred = servers.filter((server) => server.family === family);
  return preferred.length > 0 ? preferred : servers;
}

/** The families by turns, beginning with the system's favourite (RFC 8305, section 4). */
function inTurns(servers: readonly Server[]): readonly Server[] {
  const [first] = servers;
  const favourite = servers.filter((server) => server.family === first?.family);
  const other = servers.filter((server) => server.family !== first?.family);
  const turns = favourite.flatMap((server, index) => [server, ...other.slice(index, index + 1)]);
  return [...turns, ...other.slice(favourite.length)].slice(0, MAX_ADDRESSES);
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
