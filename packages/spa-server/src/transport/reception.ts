import { type IpAddress, inspectPacket } from 'spa-core';
import type { Datagram } from '../decision/verdict.ts';
import type { Reception as HeardBy } from '../log/event.ts';
import type { Counter } from '../report.ts';
import type { Log } from '../system/log.ts';
import { type Payload, readPayload } from './payload.ts';
import type { ReceptionConfig } from './reception-config.ts';
import { openSource, openTcpSource, type PacketSource } from './sources.ts';

/** Whoever gets what comes in. */
export interface Receiver {
  receive(datagram: Datagram): void;
  /** What somebody has sent to our socket is no packet. */
  ignored(
    source: IpAddress,
    fault: { readonly code: 'packet-length' | 'http'; readonly detail: string },
  ): void;
}

/** What is heard on the network. */
export interface Reception {
  readonly by: readonly HeardBy[];
  /** In words: `0.0.0.0 port 62201`. */
  readonly places: readonly string[];
  /** What the operator should know, one line each. */
  readonly warnings: readonly string[];
  /** Until it is called, whatever comes in is lost. */
  begin(receiver: Receiver): void;
  /** All that has come in since the start, packet or not. */
  received(): number;
  /** What the kernel has thrown away because nobody read fast enough; null where it does not tell. */
  lost(): number | null;
  /** All that was counted. */
  counters(): readonly Counter[];
  /** Resolves when nothing more will come, and that was not our doing: to why, null for a file that was read. */
  readonly ended: Promise<string | null>;
  close(): Promise<void>;
}

/**
 * Opens whatever `config` says. Nothing is ever sent.
 * @throws ConfigError, UnavailableError, or the system's error if a port cannot be had; then nothing is left open.
 */
export async function openReception(config: ReceptionConfig, log: Log): Promise<Reception> {
  let receiver: Receiver | null = null;
  let noPackets = 0;
  const deliver = (payload: Payload, isMeantForUs: boolean): void => {
    if (receiver === null) return;
    const reading = readPayload(payload, config.http);
    if (typeof reading !== 'string' && (isMeantForUs || isPacketText(reading))) receiver.receive(reading);
    else if (typeof reading === 'string' && isMeantForUs) receiver.ignored(payload.source, FAULTS[reading]);
    else noPackets += 1;
  };
  const sources: PacketSource[] = [];
  try {
    // Among what is captured, much was never meant for us: it is counted, and nothing said.
    const isMeantForUs = config.datagrams.kind === 'socket';
    sources.push(await openSource(config, (payload) => deliver(payload, isMeantForUs), log));
    if (config.tcpPort !== null) {
      sources.push(await openTcpSource(config, config.tcpPort, (payload) => deliver(payload, true)));
    }
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
  const losses = (): readonly (number | null)[] => sources.map((source) => source.lost());
  return {
    by: sources.map(({ by }) => by),
    places: sources.flatMap(({ places }) => places),
    warnings: sources.flatMap(({ warnings }) => warnings),
    begin: (next) => {
      receiver = next;
      for (const source of sources) source.begin();
    },
    received: () => sources.reduce((sum, source) => sum + source.received(), 0),
    lost: () => {
      const known = losses().filter((lost) => lost !== null);
      return known.length === 0 ? null : known.reduce((sum, lost) => sum + lost, 0);
    },
    counters: () => [
      ...sources.flatMap((source) => source.counters()),
      ...(noPackets === 0 ? [] : [{ what: 'captured, but no packet', count: noPackets }]),
    ],
    ended: Promise.race(sources.map(({ ended }) => ended)),
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}

const FAULTS = {
  length: { code: 'packet-length', detail: 'no packet has this length' },
  http: { code: 'http', detail: 'a request of HTTP that carries no packet' },
} as const;

function isPacketText({ packet }: Datagram): boolean {
  return typeof inspectPacket(packet) !== 'string';
}
