import {
  addresses,
  createLab,
  type Daemon,
  type DaemonConfig,
  doorCloses,
  doorOpens,
  type Lab,
  type Namespace,
  reach,
  startSpaServer,
  until,
} from 'spa-lab';
import type { Test } from 'tap';
import { createFaultyFirewall, type FaultyFirewall } from './faulty-firewall.ts';
import { type Prober, startProber } from './guarding.ts';
import { createSecrets, seal } from './packets.ts';

/** A bastion's firewall while something goes wrong. */
export interface FaultSetup {
  readonly name: string;
  readonly kind: 'nftables' | 'iptables';
  /** The host has no rules of its own. */
  readonly isBare: boolean;
  readonly server: readonly string[];
  readonly programs: readonly string[];
}

/** Mode own, on a host without rules: nobody but us shuts the port. */
export const OWN: FaultSetup = {
  name: 'nftables, own table',
  kind: 'nftables',
  isBare: true,
  server: [],
  programs: ['nft', 'perl'],
};

/** Doors in the chain of a host that drops everything itself. */
export const ATTACHED: FaultSetup = {
  name: "nftables, attached to the host's chain",
  kind: 'nftables',
  isBare: false,
  server: ['NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'],
  programs: ['nft', 'perl'],
};

/** The same, in iptables. */
export const IPTABLES: FaultSetup = {
  name: 'iptables',
  kind: 'iptables',
  isBare: false,
  server: [],
  programs: ['iptables', 'ip6tables', 'ipset', 'nft', 'perl'],
};

/** All firewalls. */
export const FAULT_SETUPS: readonly FaultSetup[] = [OWN, ATTACHED, IPTABLES];

/** A packet of an operator that nobody else is: what became of it can be read in the log. */
export interface Knock {
  readonly packet: string;
  readonly username: string;
  readonly address: string;
}

/** A bastion on which something goes wrong, an operator, and somebody who tries the port all the time. */
export interface FaultSite {
  readonly lab: Lab;
  readonly faulty: FaultyFirewall;
  readonly prober: Prober;
  /** The daemon that was started last. */
  daemon(): Daemon;
  /** Starts the daemon, also again. Resolves when it listens. `host` as in {@link withPrivateMounts}. */
  start(options?: StartOptions): Promise<Daemon>;
  /** A packet that was never sent. */
  make(options: KnockOptions): Promise<Knock>;
  /** Sends packets, one after the other. */
  send(...knocks: readonly Knock[]): Promise<void>;
  /** How often doors were opened for it, as all logs say. */
  timesOpened(knock: Knock): number;
  /** What all daemons have logged. */
  log(): string;
}

/** What a packet asks for, and how far its time is from now. */
export interface KnockOptions {
  readonly seconds: number;
  readonly address?: string;
  readonly offsetSeconds?: number;
}

/** How a daemon is started. */
export interface StartOptions {
  readonly server?: readonly string[];
  readonly host?: Namespace;
  /** Variables that the daemon gets. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Makes one; it goes with the test. */
export async function createFaultSite(t: Test, setup: FaultSetup): Promise<FaultSite> {
  const lab = await createLab(setup.kind);
  t.teardown(lab.dispose);
  if (setup.isBare) await lab.bastion.must(['nft', 'flush', 'ruleset']);
  const faulty = createFaultyFirewall(lab.scratch, setup.kind);
  const secrets = createSecrets();
  const daemons: Daemon[] = [];
  const pidFile = lab.scratch.path('run', 'fwknopd.pid');
  const log = (): string => daemons.map((daemon) => daemon.log()).join('');
  const config = (server: readonly string[]): DaemonConfig => ({
    server: [`FIREWALL ${setup.kind}`, ...setup.server, ...server],
    access: [
      'SOURCE ANY',
      secrets.access.key,
      secrets.access.hmac,
      'OPEN_PORTS tcp/22',
      'MAX_FW_TIMEOUT 300',
    ],
  });
  let made = 0;
  const site: Omit<FaultSite, 'prober'> = {
    lab,
    faulty,
    daemon: () => last(daemons),
    start: async ({ server = [], host = lab.bastion, environment = {} } = {}) => {
      const path = `${faulty.folder}:${host.environment.PATH ?? ''}`;
      const prepared = withVariables(host, { PATH: path, ...environment });
      const daemon = await startSpaServer(prepared, lab.scratch, config(server));
      daemons.push(daemon);
      await until('it has written its pid file', async () => {
        const { stdout } = await host.run(['cat', pidFile]);
        return stdout === `${daemon.process.pid}\n`;
      });
      return daemon;
    },
    make: async ({ seconds, address = addresses.client4, offsetSeconds = 0 }) => {
      const username = `u${++made}`;
      const wanted = { username, address, clientTimeoutSeconds: seconds, offsetSeconds };
      return { packet: await seal(secrets, wanted), username, address };
    },
    send: (...knocks) => sendAll(lab, knocks),
    timesOpened: ({ username }) => countLines(log(), opening(username)),
    log,
  };
  await site.start();
  return { ...site, prober: await startProber(lab, addresses.server4, addresses.other4, { everyMs: 25 }) };
}

/** A host whose programs are given these variables too. */
function withVariables(host: Namespace, variables: Readonly<Record<string, string>>): Namespace {
  const set = ['env', ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)];
  return { ...host, spawn: (command, options) => host.spawn([...set, ...command], options) };
}

/** A host whose programs see the same files, but for what is mounted there: mounts are nobody else's. */
export async function withPrivateMounts(host: Namespace): Promise<Namespace> {
  const holder = host.spawn(['unshare', '-m', '--', 'sh', '-c', 'echo ready; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => holder.stdout?.once('data', resolve));
  const enter = ['nsenter', '-t', String(holder.pid), '-m', '-w/', '--'];
  return {
    ...host,
    enter: [...host.enter, ...enter],
    spawn: (command, options) => host.spawn([...enter, ...command], options),
    run: (command, input) => host.run([...enter, ...command], input),
    must: (command, input) => host.must([...enter, ...command], input),
  };
}

/** Part of the command that opens a door for the operator, or brings it to what it should be. */
export const OPENING: Readonly<Record<FaultSetup['kind'], RegExp>> = {
  nftables: /element|include/,
  iptables: /restore[\s\S]*10\.77\.0\.1/,
};

/** Waits until the log tells of a packet. */
export function hears(site: FaultSite, { username }: Knock): Promise<void> {
  return site.daemon().logged(new RegExp(`user ${username},`));
}

/**
 * What has to hold after every fault: the operator's door closes, the packets that were sent for it open nothing any more, a
 * new packet opens a door (over IPv6), and nobody else got in, but for what the test knows of.
 */
export async function provesSound(
  t: Test,
  site: FaultSite,
  spent: readonly Knock[],
  {
    gotInBefore = 0,
    offsetSeconds = 0,
  }: { readonly gotInBefore?: number; readonly offsetSeconds?: number } = {},
): Promise<void> {
  const before = spent.map(site.timesOpened);
  await doorCloses(site.lab);
  const fresh = await site.make({ seconds: 3, address: addresses.client6, offsetSeconds });
  await site.send(...spent, ...spent, fresh);
  await doorOpens(site.lab, addresses.server6);
  t.equal(site.timesOpened(fresh), 1, 'the daemon works');
  t.same(spent.map(site.timesOpened), before, 'no packet is accepted twice');
  t.equal(await reach(site.lab.operator, addresses.server4), 'silent');
  t.equal(site.prober.gotIn(), gotInBefore, `a stranger tried ${site.prober.tried()} times`);
}

/** The addresses below 10.88. that have a door, whether a daemon runs or not. */
export async function openDoors({ lab }: FaultSite, { kind }: FaultSetup): Promise<ReadonlySet<string>> {
  const listing = await lab.bastion.must(['nft', 'list', 'ruleset']);
  if (kind === 'nftables') return new Set(found(listing, /(10\.88\.\d+\.\d+) \. tcp \. 22 [^,}]*expires/g));
  const nowSeconds = Date.now() / 1000;
  const rules = await lab.bastion.must(['iptables-save']);
  const live = [...rules.matchAll(/-s (10\.88\.\d+\.\d+)\/32 .*_exp_(\d+)/g)]
    .filter(([, , end]) => Number(end) > nowSeconds)
    .map(([, address = '']) => address);
  const { stdout } = await lab.bastion.run(['ipset', 'save']);
  return new Set([...live, ...found(stdout, /^add \S+ (10\.88\.\d+\.\d+),tcp:22 timeout [1-9]/gm)]);
}

function found(text: string, pattern: RegExp): readonly string[] {
  return [...text.matchAll(pattern)].map(([, address = '']) => address);
}

/** One program sends them all: starting one for each takes longer than what is to be tested. */
async function sendAll(lab: Lab, knocks: readonly Knock[]): Promise<void> {
  const script = `
    const [host] = process.argv.slice(1);
    const socket = require('node:dgram').createSocket('udp4');
    const packets = JSON.parse(require('node:fs').readFileSync(0));
    const next = () => {
      const packet = packets.shift();
      packet === undefined ? socket.close() : socket.send(packet, 62201, host, () => setImmediate(next));
    };
    next();`;
  const packets = JSON.stringify(knocks.map(({ packet }) => packet));
  await lab.operator.must([process.execPath, '-e', script, addresses.server4], packets);
}

function opening(username: string): RegExp {
  return new RegExp(`opened tcp/22 .* user ${username},`, 'g');
}

function countLines(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

function last<T>(items: readonly T[]): T {
  const item = items.at(-1);
  if (item === undefined) throw new Error('none yet');
  return item;
}
