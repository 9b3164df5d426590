import {
  FIELD_MAX_LENGTH,
  formatRequest,
  type IpAddress,
  isHost,
  type NatTarget,
  type ProtoPort,
  type Request,
} from 'spa-core';
import { UsageError } from 'spa-host';
import type { ResolvedSettings } from './compose.ts';

/**
 * What the settings ask for: a command, if there is one, or else ports, of the server itself or (`NAT_ACCESS`, `NAT_LOCAL`) leading
 * through it.
 * @throws UsageError if something is missing, or too much for one packet.
 */
export function requestOf(settings: ResolvedSettings, random: (bytes: number) => Uint8Array): Request {
  const { command, allowIp } = settings;
  if (command === undefined && settings.access === undefined)
    throw new UsageError('what to open? give -A tcp/22, or ACCESS in the rc file');
  if (allowIp === undefined) {
    throw new UsageError(
      'whom to open for? give -a ADDRESS, -s for the address that the packet comes from, or -R for the one that web services see, or ALLOW_IP in the rc file',
    );
  }
  if (command !== undefined) return mustFit({ kind: 'command', source: allowIp, command });
  return mustFit(portsRequest(settings, allowIp, random));
}

/** The field is base64: three bytes become four characters. */
const REQUEST_MAX_LENGTH = (FIELD_MAX_LENGTH / 4) * 3;

/** The message names the ports to connect to from outside; the NAT field, where they lead. */
function portsRequest(
  settings: ResolvedSettings,
  source: IpAddress | null,
  random: (bytes: number) => Uint8Array,
): Request {
  const { access = [], natAccess, natLocal = false } = settings;
  const ports = outsidePorts(settings, access, random);
  if (natAccess === undefined && !natLocal) return { kind: 'access', source, ports };
  const target = { host: natHost(settings), port: natAccess?.port ?? access[0]?.port ?? 0 };
  return { kind: natLocal ? 'local-nat-access' : 'nat-access', source, ports, target };
}

function outsidePorts(
  { natPort, natRandPort = false }: ResolvedSettings,
  access: readonly ProtoPort[],
  random: (bytes: number) => Uint8Array,
): readonly ProtoPort[] {
  if (natPort === undefined && !natRandPort) return access;
  const [inside, ...others] = access;
  if (inside === undefined || others.length > 0)
    throw new UsageError('one port outside leads to one inside: with a NAT port, give -A a single port');
  return [
    { protocol: inside.protocol, port: natRandPort || natPort === undefined ? randomPort(random) : natPort },
  ];
}

/** 10000..65534, as fwknop takes one. */
function randomPort(random: (bytes: number) => Uint8Array): number {
  for (;;) {
    const [high = 0, low = 0] = random(2);
    const port = high * 256 + low;
    if (port >= RANDOM_PORT_MIN && port <= RANDOM_PORT_MAX) return port;
  }
}

const RANDOM_PORT_MIN = 10_000;
const RANDOM_PORT_MAX = 65_534;

function natHost({ natAccess, server }: ResolvedSettings): NatTarget['host'] {
  const host = natAccess?.host ?? server;
  if (host === undefined) throw new UsageError('--nat-local means a port of the server: give -D HOST');
  if (isHost(host)) return host;
  throw new UsageError(`"${host}" is too long for a packet, or no host; give its address with -N ADDRESS`);
}

function mustFit(request: Request): Request {
  if (formatRequest(request).length <= REQUEST_MAX_LENGTH) return request;
  if (request.kind === 'command')
    throw new UsageError(
      `the command has ${request.command.length} characters, too many for one packet; have the server keep it as a script`,
    );
  throw new UsageError(`${request.ports.length} ports are too many for one packet; send several`);
}
