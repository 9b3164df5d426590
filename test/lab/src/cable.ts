import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Hosts, Namespace } from './hosts.ts';
import { environment } from './programs.ts';

/** One end of a cable: an interface, and its addresses on networks of 24 (IPv4) and 64 bits (IPv6). */
export interface CableEnd {
  readonly host: Namespace;
  readonly device: string;
  /** The first of each family is the one that connections come from unless they ask for another. */
  readonly addresses: readonly string[];
}

/** What joins two hosts. */
export interface Cable {
  /** How long a frame is under way, each way. */
  readonly delayMs: number;
}

/** Joins two hosts by a cable in the kernel, and brings both ends up. */
export async function joinByCable(one: CableEnd, other: CableEnd): Promise<Cable> {
  const peer = ['peer', 'name', other.device, 'netns', String(other.host.pid)];
  await one.host.must(['ip', 'link', 'add', one.device, 'type', 'veth', ...peer]);
  for (const end of [one, other]) await bringUp(end);
  return { delayMs: 0 };
}

/**
 * Joins two hosts by a cable on which every frame is under way for a while, and `lossPercent` of a hundred are lost. A
 * process of ours carries the frames from one tap device to the other: the kernels that this is tested on have no netem.
 * Both ends know each other's hardware address: on the way to a real server too, nobody asks for that anew.
 */
export async function joinByLongCable(
  hosts: Hosts,
  ends: readonly [CableEnd, CableEnd],
  delayMs: number,
  lossPercent = 0,
): Promise<Cable> {
  const openTaps = ends.flatMap(({ host, device }) => [
    ...enterNetwork(host),
    'perl',
    '-e',
    OPEN_TAP,
    device,
  ]);
  const relay = hosts.spawn(
    [...openTaps, ...FIRST, process.execPath, RELAY, String(delayMs), String(lossPercent)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: environment(),
    },
  );
  await new Promise<void>((resolve, reject) => {
    relay.once('error', reject);
    relay.once('exit', () => reject(new Error('the long cable is broken')));
    if (relay.stdout !== null) createInterface({ input: relay.stdout }).once('line', () => resolve());
  });
  for (const [index, end] of ends.entries()) {
    await end.host.must(['ip', 'link', 'set', end.device, 'address', hardwareAddress(index)]);
    await bringUp(end);
  }
  for (const [index, { host, device }] of ends.entries()) {
    const peer = ends[1 - index]?.addresses ?? [];
    const lines = peer.map(
      (address) => `neigh replace ${address} lladdr ${hardwareAddress(1 - index)} dev ${device}`,
    );
    await host.must(['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  }
  return { delayMs };
}

/** A network does not wait for a busy processor. */
const FIRST = ['chrt', '--fifo', '1'];
const RELAY = fileURLToPath(new URL('long-cable.js', import.meta.url));

/**
 * Opens a tap device for the program that it becomes, and adds the descriptor's number to TAPS: the one step that needs
 * an ioctl (TUNSETIFF with IFF_TAP and IFF_NO_PI), which Node does not have.
 */
const OPEN_TAP = [
  '$^F = 99;',
  'sysopen TAP, "/dev/net/tun", 2 or die "/dev/net/tun: $!\\n";',
  'ioctl TAP, 0x400454ca, pack "a16 s x22", shift, 0x1002 or die "TUNSETIFF: $!\\n";',
  '$ENV{TAPS} .= fileno(TAP) . " ";',
  'exec @ARGV',
].join(' ');

function enterNetwork(host: Namespace): readonly string[] {
  return ['nsenter', '-t', String(host.pid), '-n', '--'];
}

function hardwareAddress(end: number): string {
  return `02:00:00:00:00:0${end + 1}`;
}

/** Duplicate address detection would leave IPv6 addresses unusable for a second. */
async function bringUp({ host, device, addresses }: CableEnd): Promise<void> {
  const [first6] = addresses.filter(isIpv6);
  const lines = addresses.map((address) => {
    if (!isIpv6(address)) return `address add ${address}/24 dev ${device}`;
    const lifetime = address === first6 ? '' : ' preferred_lft 0';
    return `address add ${address}/64 dev ${device} nodad${lifetime}`;
  });
  await host.must(
    ['ip', '-batch', '-'],
    ['link set lo up', ...lines, `link set ${device} up`, ''].join('\n'),
  );
}

function isIpv6(address: string): boolean {
  return address.includes(':');
}
