import type { Socket } from 'node:net';
import { destinationOf } from '../compose.ts';
import type { ClosedDoor } from '../door.ts';
import type { Bastion } from '../region.ts';
import { type BastionDoorway, enterRegion, type Passage } from '../region-door.ts';
import { type Check, type Examination, makeCheck, type Outcome } from './check.ts';
import { bad, complaint, type Finding, formatDuration, ok, skipped, warn } from './finding.ts';

/** How knocking went: what was sent, and what became of the door. */
export interface KnockResult {
  readonly outcome: Passage | ClosedDoor<BastionDoorway>;
  /** From the first packet to the end. */
  readonly waitedMs: number;
  /** What the one who answered said first; null: nothing. */
  readonly greeting: string | null;
}

/** Whether a packet leaves this machine. */
export const packetCheck: Check = makeCheck({
  name: 'packet',
  needs: ['routes', 'packetLength', 'wasClosed'],
  run: sendAndWait,
});

/** Whether the door opens for it. */
export const doorCheck: Check = makeCheck({
  name: 'door',
  needs: ['knock'],
  run: async ({ bastion }, { knock }) => ({ findings: [doorFinding(bastion, knock)] }),
});

/** What ssh is asked about the bastion. A connection that is alive is not to be shared: the door is what we want to see. */
export function sshArguments({ host, sshPort }: Bastion): readonly string[] {
  const port = sshPort === SSH_PORT ? [] : ['-p', String(sshPort)];
  return [...NOT_SHARED, ...port, host];
}

const SSH_PORT = 22;
const NOT_SHARED = ['-o', 'ControlPath=none'] as const;
const GREETING_MS = 1_500;

interface Sent {
  readonly from: string;
  readonly to: string;
  readonly characters: number;
}

async function sendAndWait({ bastion, ...examination }: Examination): Promise<Outcome> {
  const { waitMs, family, ssh, secrets, username } = examination;
  if (waitMs === null) return { findings: [skipped('packet', 'none was sent, as --no-packet wants it')] };
  const sent: Sent[] = [];
  const notes: string[] = [];
  let startedAt = performance.now();
  try {
    const region = { name: bastion.name, bastions: [bastion] as const, privateHosts: [] };
    const outcome = await enterRegion(region, {
      ssh,
      sshOptions: NOT_SHARED,
      user: null,
      family,
      patience: { waitMs, graceMs: 0 },
      secrets,
      username,
      note: (line) => notes.push(line),
      onEvent: (event) => {
        if (event.kind !== 'sent') return;
        if (sent.length === 0) startedAt = performance.now();
        sent.push({ from: event.from, to: event.doorway.server.address, characters: event.characters });
      },
    });
    const waitedMs = performance.now() - startedAt;
    const greeting = outcome.state === 'open' ? await greetingOf(outcome.connection) : null;
    const findings = [packetFinding(bastion, sent, notes, outcome)];
    const isSent = sent.length > 0 || outcome.state === 'unseen';
    return isSent ? { findings, facts: { knock: { outcome, waitedMs, greeting } } } : { findings };
  } catch (error) {
    const finding = complaint('packet', error, 'look at the lines above');
    if (finding === null) throw error;
    return { findings: [finding] };
  }
}

function packetFinding(
  bastion: Bastion,
  sent: readonly Sent[],
  notes: readonly string[],
  outcome: KnockResult['outcome'],
): Finding {
  const to = destinationOf(bastion.settings);
  const port = `${to?.port ?? 'of its choice'}/${to?.protocol === 'udp' ? 'udp' : 'tcp'}`;
  const because = notes[0] === undefined ? '' : ` (${notes[0]})`;
  const [first] = sent;
  if (first !== undefined) {
    const pairs = [...new Set(sent.map(({ from, to }) => `from ${from} to ${to}`))].join(', ');
    const count = sent.length === 1 ? '1 packet' : `${sent.length} packets`;
    return ok('packet', `${count} of ${first.characters} characters left ${pairs} port ${port}${because}`);
  }
  if (outcome.state === 'unseen')
    return ok('packet', `1 packet left to ${bastion.host} port ${port}${because}`);
  const error = 'errors' in outcome ? outcome.errors[0] : undefined;
  if (error === undefined) return skipped('packet', 'none was needed: the port opened before it was sent');
  return bad('packet', error.message, "look at this machine's own firewall (outgoing UDP) and its routes");
}

function doorFinding(bastion: Bastion, { outcome, waitedMs, greeting }: KnockResult): Finding {
  const after = `${formatDuration(waitedMs)} after the packet`;
  switch (outcome.state) {
    case 'open': {
      const { server, port } = outcome.doorway;
      const says = `${server.address} port ${port} opened ${after}`;
      if (greeting !== null) return ok('door', `${says} and says ${greeting}`);
      const todo =
        'look at sshd on the bastion: it may refuse connections for now (MaxStartups, PerSourcePenalties)';
      return warn('door', `${says}, but nobody there speaks`, todo);
    }
    case 'unseen':
    case 'shared':
      return skipped(
        'door',
        `ssh reaches ${bastion.host} through a proxy: its door cannot be seen from here`,
      );
    case 'refused':
      return bad(
        'door',
        `${whereOf(outcome, bastion)} still refuses ${after}`,
        `the host is up; see whether sshd listens there, and ${BASTION_LOG}`,
      );
    case 'silent':
      return bad(
        'door',
        `${whereOf(outcome, bastion)} is still silent ${after}`,
        `on the bastion, ${BASTION_LOG}`,
      );
    case 'unsent':
      return skipped('door', 'no packet was sent');
  }
}

const BASTION_LOG =
  "look at spa-server's log (no line means that the packet did not arrive, any line says why)";

function whereOf({ doorway }: ClosedDoor<BastionDoorway>, { host, sshPort }: Bastion): string {
  return `${doorway?.server.address ?? host} port ${doorway?.port ?? sshPort}`;
}

/** The first line of an SSH server (RFC 4253 section 4.2), if it comes soon. */
function greetingOf(connection: Socket): Promise<string | null> {
  return new Promise((resolve) => {
    const end = (greeting: string | null): void => {
      clearTimeout(timer);
      connection.destroy();
      resolve(greeting);
    };
    const timer = setTimeout(end, GREETING_MS, null);
    connection.once('data', (data) =>
      end(/^SSH-[\x20-\x7e]{1,80}/.exec(data.toString('latin1'))?.[0] ?? null),
    );
    connection.once('error', () => end(null));
    connection.once('close', () => end(null));
    connection.resume();
  });
}
