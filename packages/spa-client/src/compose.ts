import {
  type IpAddress,
  ipFamily,
  isUsername,
  type Message,
  PROTOCOL_VERSION,
  randomDigits,
  SPA_PORT,
  USERNAME_MAX_BYTES,
} from 'spa-core';
import { UsageError } from 'spa-host';
import { requestOf } from './request.ts';
import type { HttpProxy, Settings, SpaProtocol } from './settings.ts';

/** Settings whose own address is known: asking for it takes a network. */
export interface ResolvedSettings extends Omit<Settings, 'allowIp'> {
  /** Whom to open for; null: the address that the packet comes from. */
  readonly allowIp?: IpAddress | null | undefined;
}

/** What composing takes from the host. */
export interface ComposeHost {
  readonly nowSeconds: number;
  readonly random: (bytes: number) => Uint8Array;
  /** Who runs the client: the user name of a message unless the settings have another. */
  readonly username: string;
}

/** Where a packet goes. */
export interface Destination {
  /** Host name or address. */
  readonly host: string;
  /** Null: any from 10000 up, another for each packet. */
  readonly port: number | null;
  readonly protocol: SpaProtocol;
  /** What the packet goes through, for HTTP only; null: nothing. */
  readonly proxy: HttpProxy | null;
  /** For HTTP: what is said of the program; null: what stock fwknop says. */
  readonly userAgent: string | null;
  /** Port to send from; null: any. */
  readonly sourcePort: number | null;
  /** Only an address of this family will do; null: any. */
  readonly family: 4 | 6 | null;
  /** Of several addresses rather one of this family: the one that the door is to open for. */
  readonly preferredFamily: 4 | 6 | null;
}

/** A message and where it goes; `destination` null if the settings have no server. */
export interface Composition {
  readonly message: Message;
  readonly destination: Destination | null;
}

/**
 * Makes the message that the settings ask for.
 * @throws UsageError if something is missing, or too much for one packet.
 */
export function compose(settings: ResolvedSettings, host: ComposeHost): Composition {
  const request = requestOf(settings, host.random);
  const timestampSeconds = host.nowSeconds + (settings.timeOffsetSeconds ?? 0);
  if (timestampSeconds < 0) throw new UsageError('the time offset goes back before 1970');
  // There is no command with a timeout.
  const clientTimeoutSeconds = request.kind === 'command' ? null : settings.clientTimeoutSeconds || null;
  return {
    message: {
      randomValue: randomDigits(host.random),
      username: mustBeUsername(settings.username ?? host.username),
      timestampSeconds,
      version: PROTOCOL_VERSION,
      request,
      clientTimeoutSeconds,
      digest: settings.digest ?? 'sha256',
    },
    destination: destinationOf(settings),
  };
}

/** Where the settings send a packet; null if they have no server. @throws UsageError for a proxy that nothing goes through. */
export function destinationOf(settings: Settings | ResolvedSettings): Destination | null {
  const { server, serverPort, sourcePort, serverIpv4Only, allowIp } = settings;
  const { protocol = 'udp', randomPort, httpProxy, httpUserAgent } = settings;
  if (httpProxy !== undefined && protocol !== 'http')
    throw new UsageError('a proxy passes HTTP on only; give -P http too, or leave -H out');
  if (server === undefined) return null;
  return {
    host: server,
    port: randomPort ? null : (serverPort ?? SPA_PORT),
    protocol,
    proxy: httpProxy ?? null,
    userAgent: httpUserAgent ?? null,
    sourcePort: sourcePort ?? null,
    family: serverIpv4Only ? 4 : null,
    preferredFamily:
      allowIp === undefined || allowIp === null || allowIp === 'resolve' ? null : ipFamily(allowIp),
  };
}

/** The user name of a message when nobody gave one, in fwknop's order. */
export function defaultUsername(
  env: Readonly<Record<string, string | undefined>>,
  loginName: string | null,
): string {
  return env.SPOOF_USER || env.LOGNAME || loginName || env.USER || 'NO_USER';
}

function mustBeUsername(name: string): string {
  if (isUsername(name)) return name;
  throw new UsageError(
    `"${name}" cannot be sent as user name (1 to ${USERNAME_MAX_BYTES} letters, digits, dots, dashes); give another with -U, or SPOOF_USER in the rc file`,
  );
}
