import { formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { readRcFile } from '../rc-file.ts';
import { type Region, readRegion } from '../region.ts';
import type { Passage } from '../region-door.ts';
import { isControlSocketLive } from '../ssh-settings.ts';
import { CONNECTION_FAILED, enter, type Refusal } from './enter.ts';
import { defaultRcFile, print } from './program.ts';

/** `sshbh open`: opens a region's door and ends. */
export async function openVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) throw new UsageError('which region? sshbh open REGION');
  const startedAt = performance.now();
  const region = readRegion(readRcFile(values['rc-file'] ?? defaultRcFile()), name);
  const { control } = values;
  if (values['if-needed'] && control !== undefined && (await isControlSocketLive(control))) return 0;
  const passage = await enter(region, values, NO_SSH, values['if-needed'] ? IF_NEEDED_GRACE_MS : 0);
  if (values.json) print(`${JSON.stringify(report(region, passage, performance.now() - startedAt))}\n`);
  if (passage.state === 'open') passage.connection.destroy();
  return passage.state === 'closed' ? CONNECTION_FAILED : 0;
}

/** Options of `sshbh open`. */
export function openOptions(): readonly Option[] {
  return OPTIONS;
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'if-needed', help: 'send nothing if the port answers, or a connection of ssh is alive' },
  { long: 'control', argument: 'PATH', help: "with --if-needed: ssh's control socket" },
  { long: 'ipv4', short: '4', help: "only the bastion's IPv4 addresses" },
  { long: 'ipv6', short: '6', help: "only the bastion's IPv6 addresses" },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'wait', argument: 'SECONDS', help: 'how long to wait for the door (10)' },
  { long: 'json', help: 'say on standard output what was done, as JSON' },
  { long: 'verbose', short: 'v', count: true, help: 'say what happens' },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

/** Whoever asks "if needed" would rather wait a moment than send a packet in vain. */
const IF_NEEDED_GRACE_MS = 25;
const NO_SSH = { sshOptions: [], user: null };

function report(region: Region, passage: Passage | Refusal, milliseconds: number): object {
  const took = { milliseconds: Math.round(milliseconds) };
  if (passage.state === 'closed') {
    const { state, doorway, packets, errors } = passage.closed;
    const address = doorway?.server.address ?? null;
    const messages = errors.map((error) => error.message);
    return { region: region.name, state, address, packets, errors: messages, ...took };
  }
  if (passage.state !== 'open') {
    return { region: region.name, state: passage.state, host: passage.bastion.host, ...took };
  }
  const { doorway, localAddress, packets } = passage;
  return {
    region: region.name,
    state: 'open',
    host: doorway.bastion.host,
    address: doorway.server.address,
    port: doorway.port,
    from: localAddress,
    packets,
    ...took,
  };
}

function help(): string {
  return `sshbh open: open a region's door, and end

Usage: sshbh open [options] REGION

${formatOptions(OPTIONS)}

  sshbh open us-east-1 && mosh bastion.us-east-1.example.com
  sshbh open --json us-east-1

With --json: {"region", "state", "host", "address", "port", "from", "packets", "milliseconds"}; the state is open, shared
(a connection of ssh's is alive), unseen (ssh goes through a proxy), refused, silent or unsent.

Exit status: 0 the door is open (unseen: the packet was sent), 255 it is not, 64 the command line is wrong, 78 the rc file or a key is wrong.
`;
}
