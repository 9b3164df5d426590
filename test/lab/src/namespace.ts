/**
 * Two hosts of our own in the kernel, for tests against the real firewall: network namespaces joined by a cable.
 *
 *     client  10.77.0.1, 10.77.0.3 ──── veth ──── 10.77.0.2  server
 *             fd77::1,   fd77::3                  fd77::2
 *
 * Neither reaches anything else. Works as root and inside `unshare -Urn`. The namespaces have no names: each lives as long as
 * a `cat` whose stdin is a pipe from this process, so that nothing stays behind even if the test is killed.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { inhabitants, networkOf } from './inhabitants.ts';
import { environment } from './programs.ts';

/** The addresses of {@link createNamespacePair}. `other` is a second address of the client's. */
export const addresses = {
  client4: '10.77.0.1',
  other4: '10.77.0.3',
  server4: '10.77.0.2',
  client6: 'fd77::1',
  other6: 'fd77::3',
  server6: 'fd77::2',
} as const;

/** What a command said and how it ended. `status` is null if a signal ended it. */
export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One host. */
export interface Namespace {
  /** A process that lives in it: `nsenter -t PID -n` enters. */
  readonly pid: number;
  /** The kernel's name for it: see {@link inhabitants}. */
  readonly network: string;
  /** What to put before a command's name so that it runs there: `['nsenter', '-t', '123', '-n', '--']`. */
  readonly enter: readonly string[];
  /** The interface at its end of the cable. */
  readonly device: string;
  /** Starts a command there. {@link NamespacePair.dispose} kills it if it still lives. */
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Runs a command there to its end; its status is the caller's to look at. Rejects if it cannot be started. */
  run(command: readonly string[], input?: string): Promise<CommandResult>;
  /** Like `run`, and rejects unless the status is 0. Resolves to stdout. */
  must(command: readonly string[], input?: string): Promise<string>;
}

/** The two hosts and their end. */
export interface NamespacePair {
  readonly client: Namespace;
  readonly server: Namespace;
  /** Kills all that lives in them and takes them away. Never rejects; may be called twice. */
  dispose(): Promise<void>;
}

/** Two fresh hosts, joined, with their addresses up. Rejects if this process may not make them. */
export async function createNamespacePair(): Promise<NamespacePair> {
  const children = new Set<ChildProcess>();
  const networks: string[] = [];
  const dispose = async (): Promise<void> => {
    // First what was left by programs started here, such as ssh's session; the holders keep the names of the namespaces.
    for (const pid of inhabitants(networks.splice(0))) kill(pid);
    await Promise.all([...children].map(end));
  };
  try {
    const client = await createNamespace(children, 'veth1');
    networks.push(client.network);
    const server = await createNamespace(children, 'veth0');
    networks.push(server.network);
    await server.must(ip('link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1'));
    await server.must(ip('link', 'set', 'veth1', 'netns', String(client.pid)));
    await server.must(['ip', '-batch', '-'], bringUp('veth0', [addresses.server4], [addresses.server6]));
    const { client4, other4, client6, other6 } = addresses;
    await client.must(['ip', '-batch', '-'], bringUp('veth1', [client4, other4], [client6, other6]));
    return { client, server, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function createNamespace(children: Set<ChildProcess>, device: string): Promise<Namespace> {
  const start = (command: readonly string[], options: SpawnOptions): ChildProcess => {
    const [program = '', ...args] = command;
    const child = spawn(program, args, { env: environment(), ...options });
    children.add(child);
    child.on('exit', () => children.delete(child));
    child.on('error', () => children.delete(child));
    return child;
  };
  const holder = start(['unshare', '-n', '--', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const pid = holder.pid;
  if (pid === undefined) throw new Error('unshare cannot be started');
  const network = await networkAfterLeaving(pid);
  // What runs there dies with this process, however that ends.
  const enter = ['nsenter', '-t', String(pid), '-n', '--', 'setpriv', '--pdeathsig', 'KILL', '--'];

  const run = (command: readonly string[], input = ''): Promise<CommandResult> =>
    new Promise((resolve, reject) => {
      const child = start([...enter, ...command], { stdio: 'pipe' });
      let stdout = '';
      let stderr = '';
      child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
        stdout += chunk;
      });
      child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
        stderr += chunk;
      });
      child.on('error', reject);
      child.on('close', (status) => resolve({ status, stdout, stderr }));
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });

  return {
    pid,
    network,
    enter,
    device,
    spawn: (command, options = {}) => start([...enter, ...command], options),
    run,
    must: async (command, input) => {
      const { status, stdout, stderr } = await run(command, input);
      if (status !== 0) throw new Error(`${command.join(' ')}: status ${status}: ${stderr}`);
      return stdout;
    },
  };
}

/** Waits until `pid` is in a network namespace other than ours. */
async function networkAfterLeaving(pid: number): Promise<string> {
  const ours = networkOf(process.pid);
  for (let tries = 0; tries < 500; tries++) {
    const network = networkOf(pid);
    if (network !== ours) return network;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('unshare -n made no namespace within 5 s');
}

function ip(...args: readonly string[]): readonly string[] {
  return ['ip', ...args];
}

/**
 * Duplicate address detection would leave IPv6 addresses unusable for a second. The first address is the one that
 * connections come from unless they ask for another.
 */
function bringUp(device: string, addresses4: readonly string[], addresses6: readonly string[]): string {
  return [
    'link set lo up',
    ...addresses4.map((address) => `address add ${address}/24 dev ${device}`),
    ...addresses6.map((address, index) => {
      const lifetime = index === 0 ? '' : ' preferred_lft 0';
      return `address add ${address}/64 dev ${device} nodad${lifetime}`;
    }),
    `link set ${device} up`,
    '',
  ].join('\n');
}

/** It may have ended meanwhile. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Kills one child and waits for its end. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}
