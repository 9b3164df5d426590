import type { Socket } from 'node:net';
import { formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { readRcFile } from '../rc-file.ts';
import { readRegion } from '../region.ts';
import { CONNECTION_FAILED, enter } from './enter.ts';
import { defaultRcFile, print } from './program.ts';

/** `sshbh connect`: opens a region's door and gives ssh the connection; for `ProxyCommand`. */
export async function connectVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) throw new UsageError('which region? sshbh connect REGION');
  const region = readRegion(readRcFile(values['rc-file'] ?? defaultRcFile()), name);
  const passage = await enter(region, values, DIRECTLY, MIN_GRACE_MS);
  if (passage.state !== 'open') return CONNECTION_FAILED;
  return process.send === undefined ? relay(passage.connection) : passOn(passage.connection);
}

/** Options of `sshbh connect`. */
export function connectOptions(): readonly Option[] {
  return OPTIONS;
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'ipv4', short: '4', help: "only the bastion's IPv4 addresses" },
  { long: 'ipv6', short: '6', help: "only the bastion's IPv6 addresses" },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'wait', argument: 'SECONDS', help: 'how long to wait for the door (10)' },
  { long: 'verbose', short: 'v', count: true, help: 'say what happens' },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

/** This is ssh's proxy, and runs only when no connection is shared. */
const DIRECTLY = { sshOptions: ['-o', 'ProxyCommand=none', '-o', 'ControlPath=none'], user: null };
const MIN_GRACE_MS = 3;

/** Gives the connection to ssh as one descriptor (SCM_RIGHTS) over the channel that `NODE_CHANNEL_FD` names, and ends. */
function passOn(connection: Socket): Promise<number> {
  // ssh itself asks for this only when it is logged in: until then a small message would wait for an acknowledgement.
  connection.setNoDelay(true);
  return new Promise((_resolve, reject) => {
    process.send?.({}, connection, {}, (error) => {
      // Node waits for an acknowledgement that only another Node would send.
      if (error === null) process.exit(0);
      reject(error);
    });
  });
}

/** Copies what ssh says to the server, and back. */
function relay(connection: Socket): Promise<number> {
  return new Promise((resolve) => {
    connection.once('close', () => resolve(0));
    connection.on('error', () => resolve(CONNECTION_FAILED));
    process.stdin.pipe(connection);
    connection.pipe(process.stdout);
  });
}

function help(): string {
  return `sshbh connect: open a region's door and give ssh the connection

Usage: sshbh connect [options] REGION

${formatOptions(OPTIONS)}

For ssh_config; sshbh config writes it:
  ProxyCommand     env NODE_CHANNEL_FD=1 sshbh connect us-east-1
  ProxyUseFdpass   yes
ssh gets the very connection that found the door open, and no process stays between. Without these two it works as an
ordinary ProxyCommand, and copies bytes.

Exit status: 0, 255 the door is not open, 64 the command line is wrong, 78 the rc file or a key is wrong.
`;
}
