import type { PacketKeys, SecretSource } from '../packet-keys.ts';
import type { Bastion } from '../region.ts';
import type { Server } from '../send.ts';
import type { Settings } from '../settings.ts';
import type { SshSettings } from '../ssh-settings.ts';
import type { CheckName, Finding } from './finding.ts';
import type { KnockResult } from './knock.ts';

/** An address of the bastion, and the local one that a packet to it would leave from. */
export interface Route {
  readonly server: Server;
  readonly from: string;
}

/** What checks found out for those after them. Absent: not known, because something was wrong. */
export interface Facts {
  /** What ssh makes of the host's name. */
  readonly ssh?: SshSettings;
  readonly servers?: readonly Server[];
  readonly routes?: readonly Route[];
  readonly keys?: PacketKeys;
  /** Length of a packet that can be sent. */
  readonly packetLength?: number;
  /** The port was not open before the packet, or cannot be seen from here. */
  readonly wasClosed?: true;
  readonly knock?: KnockResult;
}

/** Where and how a bastion is examined. */
export interface Examination {
  readonly bastion: Bastion;
  /** Only addresses of this family; null: any. */
  readonly family: 4 | 6 | null;
  readonly ssh: string;
  readonly secrets: SecretSource;
  /** Who runs the client: see `compose`. */
  readonly username: string;
  readonly nowMs: () => number;
  readonly clock: ClockSources;
  /** How long to wait for the door; null: no packet is sent. */
  readonly waitMs: number | null;
}

/** Who is asked for the time, besides the bastion itself. */
export interface ClockSources {
  /** Names or addresses of NTP servers; asked only when the bastion does not answer. */
  readonly servers: readonly string[];
  readonly port: number;
  readonly limitMs: number;
}

/** What a check gives. */
export interface Outcome {
  readonly findings: readonly Finding[];
  readonly facts?: Facts;
}

/** One check of a bastion. */
export interface Check {
  readonly name: CheckName;
  /** What it cannot do without. */
  readonly needs: readonly (keyof Facts)[];
  /** False: there is nothing to look at, and no line. */
  readonly appliesTo: (settings: Settings) => boolean;
  readonly run: (examination: Examination, facts: Facts) => Promise<Outcome>;
}

/** Makes a check whose needs are known to its function. */
export function makeCheck<Need extends keyof Facts = never>(parts: {
  readonly name: CheckName;
  readonly needs?: readonly Need[];
  readonly appliesTo?: (settings: Settings) => boolean;
  readonly run: (examination: Examination, facts: Facts & Required<Pick<Facts, Need>>) => Promise<Outcome>;
}): Check {
  const { name, needs = [], appliesTo = () => true, run } = parts;
  return {
    name,
    needs,
    appliesTo,
    run: (examination, facts) => run(examination, facts as Facts & Required<Pick<Facts, Need>>),
  };
}
