import { randomBytes } from 'node:crypto';
import { sealPacket } from 'spa-core';
import { ConfigError, UsageError } from 'spa-host';
import { becomeProgram } from '../become.ts';
import { compose, type Destination } from '../compose.ts';
import { type DoorState, waitForDoor } from '../door.ts';
import { loadPacketKeys, type PacketKeys } from '../packet-keys.ts';
import { DEFAULT_STANZA, type RcFile, readRcFile, stanzaSettings } from '../rc-file.ts';
import { resolveServer, type Server, sendPacket } from '../send.ts';
import type { Settings } from '../settings.ts';
import { currentUsername, defaultRcFile, packageVersion, runProgram, say } from './program.ts';
import { secretSource } from './secret-source.ts';
import { formatSshbhOptions, parseSshbhCommand, type SshbhCommand } from './sshbh-options.ts';

/** sshbh: knock at a region's bastion, then be ssh. */
export function runSshbh(): Promise<void> {
  return runProgram('sshbh', main, { connection: CONNECTION_FAILED });
}

/** What ssh itself says when it cannot connect. */
const CONNECTION_FAILED = 255;
const DEFAULT_WAIT_SECONDS = 10;
/** A datagram may be lost: a second packet goes when the first has had this long. */
const SECOND_PACKET_AFTER_MS = 2_000;
const SSH_PORT = 22;

async function main(argv: readonly string[]): Promise<number> {
  const command = parseSshbhCommand(argv);
  const { orders, region } = command;
  if (orders.help) return print(help());
  if (orders.version) return print(`sshbh ${packageVersion()}\n`);
  const rcFile = readRcFile(orders['rc-file'] ?? defaultRcFile());
  if (orders.list) return print(listRegions(rcFile));
  if (region === null)
    throw new UsageError('which region? sshbh REGION; --list shows them, --help says more');
  const settings = { ...REGION_DEFAULTS, ...stanzaSettings(rcFile, region.name) };
  return enter(command, region, settings, rcFile);
}

const REGION_DEFAULTS: Settings = { access: [{ protocol: 'tcp', port: SSH_PORT }], allowIp: null };

async function enter(
  { orders, sshOptions, sshArguments }: SshbhCommand,
  region: { readonly name: string; readonly user: string | null },
  settings: Settings,
  rcFile: RcFile,
): Promise<number> {
  const waitMs = parseWait(orders.wait);
  const port = settings.access?.find((door) => door.protocol === 'tcp')?.port;
  if (port === undefined) {
    throw new ConfigError(
      { file: rcFile.file },
      `[${region.name}] has no tcp port in ACCESS; write ACCESS tcp/22`,
    );
  }
  const { destination } = composeNow(settings);
  if (destination === null) {
    throw new ConfigError({ file: rcFile.file }, `[${region.name}] names no host; write SPA_SERVER HOST`);
  }
  const family = orders.ipv4 ? 4 : orders.ipv6 ? 6 : destination.family;
  const [server, keys] = await Promise.all([
    resolveServer({ ...destination, family }),
    loadPacketKeys(settings, secretSource(null)),
  ]);
  const note = orders.verbose ? (line: string) => say(`sshbh: ${line}`) : () => {};
  const knock = (): Promise<void> => sendFreshPacket(settings, keys, server, destination, note);

  const state = await knockUntilOpen(knock, server, port, waitMs);
  if (state !== 'open') {
    say(`sshbh: ${complaint(region.name, state, server, destination, port, waitMs)}`);
    return CONNECTION_FAILED;
  }
  note(`${server.address} port ${port} is open`);
  const familyOption = family !== null || server.isDualStack ? [`-${server.family}`] : [];
  const portOption = port === SSH_PORT ? [] : ['-p', String(port)];
  const host = region.user === null ? destination.host : `${region.user}@${destination.host}`;
  return becomeProgram(orders.ssh ?? 'ssh', [
    ...sshOptions,
    ...familyOption,
    ...portOption,
    host,
    ...sshArguments,
  ]);
}

/** One packet, and one more if the door is still shut after a while. */
async function knockUntilOpen(
  knock: () => Promise<void>,
  server: Server,
  port: number,
  waitMs: number,
): Promise<DoorState> {
  await knock();
  const firstMs = Math.min(waitMs, SECOND_PACKET_AFTER_MS);
  const state = await waitForDoor(server.address, port, firstMs);
  if (state === 'open' || firstMs === waitMs) return state;
  await knock();
  return waitForDoor(server.address, port, waitMs - firstMs);
}

async function sendFreshPacket(
  settings: Settings,
  keys: PacketKeys,
  server: Server,
  destination: Destination,
  note: (line: string) => void,
): Promise<void> {
  const { message, nowSeconds } = composeNow(settings);
  const packet = await sealPacket(message, keys, { nowSeconds, random: randomBytes });
  await sendPacket(packet, server, destination);
  note(`a packet of ${packet.length} characters went to ${server.address} port ${destination.port}/udp`);
}

function composeNow(settings: Settings): ReturnType<typeof compose> & { readonly nowSeconds: number } {
  const nowSeconds = Math.floor(Date.now() / 1000);
  return {
    ...compose(settings, { nowSeconds, random: randomBytes, username: currentUsername() }),
    nowSeconds,
  };
}

function complaint(
  region: string,
  state: DoorState,
  server: Server,
  destination: Destination,
  port: number,
  waitMs: number,
): string {
  const answer = {
    open: '',
    refused: 'answered that it is closed',
    silent: 'did not answer',
  }[state];
  return [
    `${region}: ${server.address} port ${port} ${answer} within ${waitMs / 1000} s of the packet to port ${destination.port}/udp.`,
    `Check that the clock is right, that UDP port ${destination.port} gets through, that the keys of [${region}] are the server's,`,
    "and what the server's log says of it.",
  ].join(' ');
}

function parseWait(text: string | undefined): number {
  if (text === undefined) return DEFAULT_WAIT_SECONDS * 1000;
  const seconds = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds > 0) return Math.round(seconds * 1000);
  throw new UsageError(`--wait: "${text}" is no time; write seconds, as in 30`);
}

/** The stanzas that have a host, and that host. A stanza that is wrong is listed too: who uses it learns what is wrong. */
function listRegions(rcFile: RcFile): string {
  const hostOf = (name: string): string | undefined =>
    rcFile.stanzas
      .filter((stanza) => [DEFAULT_STANZA, name].includes(stanza.name.toLowerCase()))
      .flatMap((stanza) => stanza.lines)
      .findLast((line) => line.keyword === 'SPA_SERVER')?.value;
  const regions = rcFile.stanzas
    .filter((stanza) => stanza.name.toLowerCase() !== DEFAULT_STANZA)
    .map((stanza) => ({ name: stanza.name, host: hostOf(stanza.name.toLowerCase()) }))
    .filter((region) => region.host !== undefined);
  const width = Math.max(0, ...regions.map((region) => region.name.length));
  return regions.map((region) => `${region.name.padEnd(width)}  ${region.host}\n`).join('');
}

function help(): string {
  return `sshbh: open a bastion's door with one packet, then be ssh

Usage: sshbh [options] [USER@]REGION [ssh arguments...]

A region is a stanza of ~/.fwknoprc (mode 600) with a host and keys; spa-client --help says how to make them:
  [us-east-1]
  SPA_SERVER       bastion.us-east-1.example.com
  KEY_BASE64       kOQhv...=
  HMAC_KEY_BASE64  H0nLw...=
Without ACCESS the door is tcp/22, without ALLOW_IP it opens for the address that the packet comes from.
What ssh is to do for that host stays in ~/.ssh/config.

  sshbh us-east-1                                  a shell
  sshbh us-east-1 uptime                           a command
  sshbh alice@us-east-1 -A -L 8080:localhost:80    ssh's own options
  rsync -e sshbh -a src/ us-east-1:src/            sshbh in the place of ssh
  sshbh --list                                     the regions

${formatSshbhOptions()}

The packet goes to the region's host; as soon as the first tcp port of ACCESS answers, sshbh becomes
  ssh [-p PORT] HOST [ssh arguments...]
with the same terminal, and ssh's exit status is sshbh's.

Exit status: ssh's own; 255 also if the host is not found or the door does not open,
64 the command line is wrong, 78 the rc file or a key is wrong, or there is no such region.
`;
}

function print(text: string): 0 {
  process.stdout.write(text);
  return 0;
}
