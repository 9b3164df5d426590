import type { IpAddress } from 'spa-core';
import type { Account } from '../decision/commands.ts';
import { formatTarget } from '../firewall/doors.ts';
import type { Forward } from '../firewall/forward.ts';
import type { Claim } from '../replay/replay-store.ts';
import type { Asked, Level, LogEvent, PacketOf, Reception, SeveralDoors } from './event.ts';

/** One line of the log. */
export interface Line {
  readonly level: Level;
  readonly text: string;
}

type EventOf<Name extends LogEvent['event']> = Extract<LogEvent, { readonly event: Name }>;
type Granted = EventOf<'granted'>;

/**
 * The event in lines: first those that fwknopd writes when this happens, whole and word for word (section 10.1), so that
 * filters made for its log find what they look for also if they are anchored at both ends; then, where there is more to know,
 * one line of ours. Without `chains` no door opens (`--test`), and the lines say so.
 */
export function linesOf(event: LogEvent, chains: RuleChains | null = DEFAULT_CHAINS): readonly Line[] {
  const write = WRITERS[event.event] as Writer<LogEvent>;
  return write(event, chains);
}

/** The names of chains as fwknopd's lines have them: they stand for doors, whatever firewall those are in. */
export interface RuleChains {
  readonly input: string;
  readonly forward: string;
  readonly dnat: string;
  readonly snat: string;
  readonly masquerade: string;
}

const DEFAULT_CHAINS: RuleChains = {
  input: 'FWKNOP_INPUT',
  forward: 'FWKNOP_FORWARD',
  dnat: 'FWKNOP_PREROUTING',
  snat: 'FWKNOP_POSTROUTING',
  masquerade: 'FWKNOP_MASQUERADE',
};

type Writer<Event extends LogEvent> = (event: Event, chains: RuleChains | null) => readonly Line[];

const WRITERS: { readonly [Name in LogEvent['event']]: Writer<EventOf<Name>> } = {
  starting: ({ version, pid }) => [
    info('Starting fwknopd'),
    info(`this is spa-server ${version} (pid=${pid})`),
  ],
  receiving: ({ by }) => receiving(by),
  ready: ({ places, firewall, stanzas }) => [
    info(`listening on ${places.join(' and ')}; firewall: ${firewall}; ${stanzas} stanzas`),
    info('Starting fwknopd main event loop.'),
  ],
  signal: ({ signal }) => [
    warning(signal === 'SIGHUP' ? 'Got SIGHUP. Re-reading configs.' : `Got ${signal}. Exiting...`),
  ],
  reloaded: () => [info('Re-starting fwknopd'), info('The new configuration is in force.')],
  'reload-failed': ({ problem }) => [error(`${problem}; the old configuration stays in force`)],
  'failed-to-serve': ({ problem }) => [error(`spa-server: ${problem}`)],
  stopped: () => [info('Shutting Down fwknopd.')],
  'configuration-warning': ({ text }) => [warning(text)],

  granted: (event, chains) => [
    ...matched(event),
    ...rules(event, chains),
    info(`${chains === null ? 'would have opened' : 'opened'} ${describeGrant(event)}`),
  ],
  ended,
  denied,
  outdated: (event) => [
    ...matched(event),
    warning(
      `${frame(event)} SPA data time difference is too great (${Math.abs(event.differenceSeconds)} seconds).`,
    ),
    warning(
      `denied ${event.request}: it is ${age(event.differenceSeconds)}, check both clocks; ${describe(event)}`,
    ),
  ],
  'not-claimed': (event) => [
    ...(event.reason === 'replayed'
      ? [warning(`Replay detected from source IP: ${event.source}, packet ${short(event)}`)]
      : matched(event)),
    warning(`denied ${event.request}: ${UNCLAIMED[event.reason]}; ${describe(event)}`),
  ],
  failed: (event) => [
    ...matched(event),
    error(`could not open ${event.request}: ${event.problem}; ${describe(event)}`),
  ],
  ignored,
  summary: ({ what, packets }) => [
    { level: what === 'denied' ? 'warning' : 'info', text: `${what} ${sumUp(packets, 'more packets')}` },
  ],
  'dropped-by-kernel': ({ packets }) => [
    {
      level: packets['receive-buffer'] === undefined ? 'info' : 'warning',
      text: `the kernel dropped ${sumUp(packets, 'packets')}`,
    },
  ],

  revoked: ({ of, grants, closed, kept }) => [
    warning(
      [
        `revoked ${count(grants, 'grant')} of ${of}`,
        `closed ${doors(closed)}`,
        ...(kept.count === 0 ? [] : [`others still hold open ${doors(kept)}`]),
      ].join('; '),
    ),
  ],
  cut: ({ connections, problem }) => [
    warning(`cut ${count(connections, 'connection')}${problem === null ? '' : `; ${problem}`}`),
  ],
  'command-started': (event) => [
    ...matched(event),
    info(`${frame(event)} Processing SPA Command message: command='${event.command}'.`),
    info(`${frame(event)} Running command '${event.runs}'${become(event.account)}`),
    info(`runs ${event.request}: ${describe(event)}`),
  ],
  'command-ended': commandEnded,
  'cycle-opening': (event) => [
    ...matched(event),
    info(`${frame(event)} Running CMD_CYCLE_OPEN command: ${event.command}`),
    ...(event.closeCommand === null
      ? []
      : [
          info(
            `${frame(event)} Running CMD_CYCLE_CLOSE command in ${event.closesAfterSeconds} seconds: ${event.closeCommand}`,
          ),
        ]),
    info(`opens ${event.request} by a command: ${describe(event)}`),
  ],
  'cycle-closing': (event) => [
    info(`${frame(event)} Timer expired, running CMD_CYCLE_CLOSE command: ${event.command}`),
  ],
  'cycle-ended': cycleEnded,
  note: ({ level, text }) => [{ level, text }],
};

type Denied = EventOf<'denied'>;

/** What fwknopd says and what we say, by the reason. Null: of that it says nothing. */
const DENIALS: Readonly<
  Record<Denied['reason'], { readonly theirs: ((event: Denied) => string) | null; readonly ours: string }>
> = {
  'stanza-expired': {
    theirs: (event) => `${frame(event)} Access stanza has expired`,
    ours: 'the stanza has expired (ACCESS_EXPIRE)',
  },
  destination: {
    theirs: null,
    ours: 'it was sent to an address that the stanza is not for (DESTINATION)',
  },
  'nat-not-allowed': {
    theirs: ({ stanza, source }) =>
      `(stanza #${stanza}) SPA packet from ${source} requested NAT access, but is not enabled/supported`,
    ours: 'it asks for NAT, which is not enabled (ENABLE_IPT_FORWARDING, ENABLE_IPT_LOCAL_NAT)',
  },
  'nat-target': { theirs: portsDenied, ours: 'NAT must not lead there (NAT_TARGETS, OPEN_PORTS)' },
  'command-not-allowed': {
    theirs: (event) => `${frame(event)} SPA Command messages are not allowed in the current configuration.`,
    ours: 'it asks for a command, which the stanza does not allow (ENABLE_CMD_EXEC)',
  },
  'not-certified': {
    theirs: null,
    ours: 'the key of its signer is not certified as the stanza requires (SPA_CERTIFIED_BY)',
  },
  'signer-expired': {
    theirs: null,
    ours: 'the key of its signer, or the certification of it, has expired (SPA_CERTIFIED_BY)',
  },
  'not-enrolled': { theirs: null, ours: 'its signer is not on the roster, or not any more (SPA_ROSTER)' },
  user: {
    theirs: (event) =>
      `${frame(event)} Username in SPA data (${event.username}) does not match required username: ${event.requiredUsername}`,
    ours: 'the stanza requires another user name (REQUIRE_USERNAME)',
  },
  'source-required': {
    theirs: (event) => `${frame(event)} Got 0.0.0.0 when valid source IP was required.`,
    ours: 'it names no address, which the stanza requires (REQUIRE_SOURCE_ADDRESS)',
  },
  'port-restricted': {
    theirs: portsDenied,
    ours: 'the stanza forbids one of the ports (RESTRICT_PORTS)',
  },
  'port-not-open': {
    theirs: portsDenied,
    ours: 'the stanza does not open all of the ports (OPEN_PORTS)',
  },
  'port-not-enrolled': {
    theirs: portsDenied,
    ours: 'the roster does not give its signer all of the ports (SPA_ROSTER)',
  },
  revoked: { theirs: null, ours: 'it was revoked while it was being opened' },
  'commands-busy': { theirs: null, ours: 'too many commands run already, or wait for their time' },
};

const UNCLAIMED: Readonly<Record<Exclude<Claim, 'claimed'>, string>> = {
  replayed: 'replay: this message was accepted before',
  'before-floor': 'it was made before the replay store began; send a new one',
};

function receiving(by: Reception): readonly Line[] {
  if (by.kind === 'capture') {
    return [info(`Sniffing interface: ${by.interface}`), info(`PCAP filter is: '${by.filter}'`)];
  }
  if (by.kind === 'file') return [info(`Reading pcap file: '${by.path}'`)];
  return [info(`Kicking off ${by.kind.toUpperCase()} server to listen on port ${by.port}.`)];
}

/** How fwknopd begins whatever it says of a packet whose source some stanza is for. */
function matched(event: Asked): readonly Line[] {
  const { source, stanza, fingerprint } = event;
  const lines = [info(`(stanza #${stanza}) SPA Packet from IP: ${source} received with access source match`)];
  if (fingerprint === null) return lines;
  const signer = `'${fingerprint.slice(-8)}' (fingerprint '${fingerprint}')`;
  return [...lines, info(`${frame(event)} Incoming SPA data signed by ${signer}.`)];
}

function rules(event: Granted, chains: RuleChains | null): readonly Line[] {
  if (chains === null) return [info(`${frame(event)} --test mode enabled, skipping firewall manipulation.`)];
  const { address, ports, expiresAtSeconds, destination, forward } = event;
  const to = destination ?? (address.includes(':') ? '::/0' : '0.0.0.0/0');
  const isAll = forward?.all === true;
  return rulesOf(forward, chains).flatMap(({ name, chain }) =>
    (isAll ? ['*/*'] : ports).map((port) =>
      info(
        `Added ${name}${isAll ? ' ALL' : ''} rule to ${chain} for ${address} -> ${to} ${port}, expires at ${expiresAtSeconds}`,
      ),
    ),
  );
}

/** A rule as fwknopd calls it, and the chain that it is in. */
interface Rule {
  readonly name: 'access' | 'local NAT' | 'FORWARD' | 'DNAT' | 'SNAT';
  readonly chain: string;
}

function rulesOf(forward: Forward | null, chains: RuleChains): readonly Rule[] {
  const { input, dnat, snat, masquerade } = chains;
  if (forward === null) return [{ name: 'access', chain: input }];
  const { kind, translates, sourceAs } = forward;
  const rules: Rule[] = [
    kind === 'nat'
      ? { name: 'FORWARD', chain: chains.forward }
      : { name: translates ? 'local NAT' : 'access', chain: input },
  ];
  if (translates) rules.push({ name: 'DNAT', chain: dnat });
  if (sourceAs !== null) rules.push({ name: 'SNAT', chain: sourceAs === 'masquerade' ? masquerade : snat });
  return rules;
}

function describeGrant(event: Granted): string {
  const { ports, address, timeoutSeconds, expiresAtSeconds, forward } = event;
  const until = new Date(expiresAtSeconds * 1000).toISOString().slice(11, 19);
  return `${ports.join()} for ${address}${leadsTo(forward)}, ${timeoutSeconds} s until ${until} UTC: ${describe(event)}`;
}

function leadsTo(forward: Forward | null): string {
  if (forward === null) return '';
  return ` to ${forward.target === null ? 'wherever it sends to' : formatTarget(forward.target)}`;
}

/** The kernel takes doors away, by no number: fwknopd's first number is said. */
function ended(event: EventOf<'ended'>, chains: RuleChains | null): readonly Line[] {
  if (chains === null) return [];
  const { packet, address, username, fingerprint, ports, expiresAtSeconds, forward } = event;
  const who = [
    `user ${username ?? 'unknown'}`,
    ...(fingerprint === null ? [] : [`signed by ${fingerprint}`]),
  ];
  const what = `${ports.join()} for ${address}${leadsTo(forward)}`;
  return [
    ...rulesOf(forward, chains).flatMap(({ chain }) =>
      ports.map(() => info(`Removed rule 1 from ${chain} with expire time of ${expiresAtSeconds}`)),
    ),
    info(`ended ${what}: ${who.join(', ')}, packet ${packet.slice(0, 16)}`),
  ];
}

function denied(event: Denied): readonly Line[] {
  const { theirs, ours } = DENIALS[event.reason];
  return [
    ...matched(event),
    ...(theirs === null ? [] : [warning(theirs(event))]),
    warning(`denied ${event.request}: ${ours}; ${describe(event)}`),
  ];
}

function portsDenied(event: Denied): string {
  return `${frame(event)} One or more requested protocol/ports was denied per access.conf.`;
}

/** What fwknopd is silent about has a line of ours. */
function ignored({ source, stanza, code, detail }: EventOf<'ignored'>): readonly Line[] {
  switch (code) {
    case 'no-stanza':
      return [warning(`No access data found for source IP: ${source}`)];
    case 'packet-length':
    case 'packet-alphabet':
    case 'packet-prefix':
    case 'budget':
    case 'overload':
      return [info(`ignored a packet from ${source}: ${detail} (${code})`)];
    default:
      return [warning(`${frame({ source, stanza })} Error creating fko context: ${detail} (${code})`)];
  }
}

/** fwknopd names user and group apart. */
function become(account: Account | null): string {
  if (account === null) return '';
  const { name, uid, gid } = account;
  return ` setuid/setgid user/group to ${name.replace(':', '/')} (UID=${uid},GID=${gid})`;
}

function commandEnded(event: EventOf<'command-ended'>): readonly Line[] {
  const { ending } = event;
  const line = `${frame(event)} CMD_EXEC: command returned`;
  switch (ending.kind) {
    case 'ended':
      return [
        {
          level: ending.status === 0 ? 'info' : 'warning',
          text: `${line} 0, pid_status: ${ending.status}`,
        },
      ];
    case 'killed':
      return [
        warning(`${line} 0, pid_status: 137`),
        warning(
          `the command of packet ${short(event)} was killed: it took too long (CMD_EXEC_TIMEOUT), or the daemon ended`,
        ),
      ];
    case 'not-started':
      return [
        warning(`${line} 0, pid_status: 255`),
        warning(`the command of packet ${short(event)} was not started: ${ending.problem}`),
      ];
  }
}

/** fwknopd says nothing of it. */
function cycleEnded({ command, ending, packet }: EventOf<'cycle-ended'>): readonly Line[] {
  const of = `'${command}' of packet ${packet.slice(0, 16)}`;
  switch (ending.kind) {
    case 'ended':
      return [{ level: ending.status === 0 ? 'debug' : 'warning', text: `${of} returned ${ending.status}` }];
    case 'killed':
      return [warning(`${of} took too long, and was killed (CMD_EXEC_TIMEOUT)`)];
    case 'not-started':
      return [error(`${of} was not started: ${ending.problem}`)];
  }
}

function frame({ source, stanza }: { readonly source: IpAddress; readonly stanza: number | null }): string {
  return stanza === null ? `[${source}]` : `[${source}] (stanza #${stanza})`;
}

function age(differenceSeconds: number): string {
  return differenceSeconds > 0 ? `${differenceSeconds} s old` : `${-differenceSeconds} s ahead`;
}

function describe(event: Asked): string {
  const { username, operator, fingerprint, stanza, source } = event;
  const parts = [
    `user ${username}`,
    ...(operator === null ? [] : [`operator ${operator}`]),
    ...(fingerprint === null ? [] : [`signed by ${fingerprint}`]),
    `stanza #${stanza}`,
    `packet ${short(event)} from ${source}`,
  ];
  return parts.join(', ');
}

function doors({ count, first }: SeveralDoors): string {
  if (count === 0) return 'no door';
  return `${first.join(', ')}${count > first.length ? ` and ${count - first.length} more` : ''}`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function short({ packet }: Pick<PacketOf, 'packet'>): string {
  return packet.slice(0, 16);
}

/** `107 packets: rate 100, length 7`. */
function sumUp(packets: Readonly<Record<string, number>>, noun: string): string {
  const counts = Object.entries(packets);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  return `${total} ${noun}: ${counts.map(([what, count]) => `${what} ${count}`).join(', ')}`;
}

function info(text: string): Line {
  return { level: 'info', text };
}

function warning(text: string): Line {
  return { level: 'warning', text };
}

function error(text: string): Line {
  return { level: 'error', text };
}
