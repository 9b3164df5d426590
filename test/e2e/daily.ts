import {
  arrivals,
  type CableOptions,
  createRegionLab,
  type Daemon,
  folderIn,
  type Namespace,
  type RegionLab,
  type Scratch,
  startSpaServer,
} from 'spa-lab';
import type { Test } from 'tap';
import { createSecrets, type Secrets } from './packets.ts';

/** The programs that every test of daily work needs. */
export const DAILY_PROGRAMS = ['nft', 'sshd', 'ssh', 'ssh-keygen'] as const;

/** A region lab with an operator's keys, and our daemon on the first bastion. */
export interface Daily extends RegionLab {
  readonly secrets: Secrets;
  readonly access: readonly string[];
  /** The first bastion's daemon: the one that was started last. */
  daemon(): Daemon;
  /** Starts our daemon on another bastion. */
  startDaemon(host: Namespace, name: string): Promise<Daemon>;
  /** Closes all doors of the first bastion: its daemon ends, which closes them, and another starts. */
  closeDoors(): Promise<void>;
  /** What happens while `act` runs: packets that arrive at the first bastion, and lines that its daemon logs. */
  during<Result>(act: () => Promise<Result>): Promise<Watched<Result>>;
}

/** What was seen on the first bastion. */
export interface Watched<Result> {
  readonly result: Result;
  /** SPA packets. */
  readonly packets: number;
  readonly log: string;
}

/** How a test's lab differs. */
export interface DailyOptions extends CableOptions {
  /** Seconds that a door stays open: longer than a test, unless it wants to see it close. */
  readonly doorSeconds?: number;
  /** Lines of the region's stanza. */
  readonly region?: readonly string[];
  /** More stanzas. */
  readonly others?: readonly string[];
}

/** `us-east-1` is the lab's first bastion by the name `bastion.test`, and `db-*` and `10.78.0.*` are behind it. */
export async function dailyLab(
  t: Test,
  { doorSeconds = 60, region = [], others = [], ...cable }: DailyOptions = {},
): Promise<Daily> {
  const lab = await createRegionLab('nftables', cable);
  t.teardown(lab.dispose);
  const secrets = createSecrets();
  lab.writeRegions(regionsText(secrets, region, others));
  const keys = [secrets.access.key, secrets.access.hmac];
  const access = ['SOURCE ANY', ...keys, 'OPEN_PORTS tcp/22', `FW_ACCESS_TIMEOUT ${doorSeconds}`];
  const start = (host: Namespace, folder: Pick<Scratch, 'path'>): Promise<Daemon> =>
    startSpaServer(host, folder, {
      server: ['FIREWALL nftables', 'NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'],
      access,
    });
  const files = folderIn(lab.scratch, 'daemon');
  let daemon = await start(lab.bastion, files);
  const count = async (): Promise<number> => {
    const { packets4, packets6 } = await arrivals(lab.bastion);
    return packets4 + packets6;
  };
  return {
    ...lab,
    secrets,
    access,
    daemon: () => daemon,
    startDaemon: (host, name) => start(host, folderIn(lab.scratch, `daemon-${name}`)),
    closeDoors: async () => {
      await daemon.stop();
      daemon = await start(lab.bastion, files);
    },
    during: async (act) => {
      const before = await count();
      const since = daemon.log().length;
      const result = await act();
      return { result, packets: (await count()) - before, log: daemon.log().slice(since) };
    },
  };
}

/** True for one packet; a machine that is busy for half a second makes another go, and then one more. */
export function isOnePacket(packets: number): boolean {
  return packets >= 1 && packets <= 3;
}

/** The operator's rc file. */
export function regionsText(
  secrets: Secrets,
  region: readonly string[] = [],
  others: readonly string[] = [],
): string {
  const lines = [
    ...['[default]', secrets.access.key, secrets.access.hmac],
    ...['[us-east-1]', 'SPA_SERVER bastion.test', 'PRIVATE_HOSTS db-*,10.78.0.*', ...region],
    ...others,
  ];
  return `${lines.join('\n')}\n`;
}
