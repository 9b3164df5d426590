/**
 * Hosts of our own in the kernel, for tests against real firewalls: network namespaces that reach nothing but what they are
 * joined to. Works as root and inside `unshare -Urn`. The namespaces have no names: each lives as long as a `cat` whose stdin
 * is a pipe from this process, so that nothing stays behind even if the test is killed.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { inhabitants, networkOf } from './inhabitants.ts';
import { environment } from './programs.ts';

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
  /** What programs there are given. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The interface at its end of the (first) cable. */
  readonly device: string;
  /** Starts a command there. {@link Hosts.dispose} kills it if it still lives. */
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Runs a command there to its end; its status is the caller's to look at. Rejects if it cannot be started. */
  run(command: readonly string[], input?: string): Promise<CommandResult>;
  /** Like `run`, and rejects unless the status is 0. Resolves to stdout. */
  must(command: readonly string[], input?: string): Promise<string>;
}

/** How a host differs from the machine it is on. */
export interface HostOptions {
  readonly device: string;
  /**
   * Files that only this host sees, by the path that they are seen at: `{ '/etc/hosts': '/tmp/x/hosts' }`. Both exist. What
   * runs on such a host starts in `/`.
   */
  readonly files?: Readonly<Record<string, string>>;
  /** Variables that differ. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Some hosts and their end. */
export interface Hosts {
  /** A fresh host, joined to nothing. Rejects if this process may not make one. */
  add(options: HostOptions): Promise<Namespace>;
  /** Starts a process that belongs to no host and ends with them all. */
  spawn(command: readonly string[], options: SpawnOptions): ChildProcess;
  /** Kills all that lives in them and takes them away. Never rejects; may be called twice. */
  dispose(): Promise<void>;
}

/** No hosts yet. */
export function createHosts(): Hosts {
  const children = new Set<ChildProcess>();
  const networks: string[] = [];
  const start = (command: readonly string[], options: SpawnOptions): ChildProcess => {
    const [program = '', ...args] = command;
    const child = spawn(program, args, { env: environment(), ...options });
    children.add(child);
    child.on('exit', () => children.delete(child));
    child.on('error', () => children.delete(child));
    return child;
  };
  return {
    add: async (options) => {
      const host = await createHost(start, options);
      networks.push(host.network);
      for (const [at, file] of Object.entries(options.files ?? {})) {
        await host.must(['mount', '--bind', file, at]);
      }
      return host;
    },
    spawn: (command, options) => start([...DIES_WITH_US, ...command], options),
    dispose: async () => {
      // First what was left by programs started here, such as ssh's session; the holders keep the names of the namespaces.
      for (const pid of inhabitants(networks.splice(0))) kill(pid);
      await Promise.all([...children].map(end));
    },
  };
}

/** What runs on a host dies with this process, however that ends. */
const DIES_WITH_US = ['setpriv', '--pdeathsig', 'KILL', '--'];

type Start = (command: readonly string[], options: SpawnOptions) => ChildProcess;

async function createHost(
  start: Start,
  { device, files, environment: own }: HostOptions,
): Promise<Namespace> {
  const namespaces = files === undefined ? ['-n'] : ['-n', '-m'];
  const holder = start(['unshare', ...namespaces, '--', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const pid = holder.pid;
  if (pid === undefined) throw new Error('unshare cannot be started');
  const network = await networkAfterLeaving(pid);
  const enter = ['nsenter', '-t', String(pid), ...namespaces, '--', ...DIES_WITH_US];
  const env = { ...environment(), ...own };

  const run = (command: readonly string[], input = ''): Promise<CommandResult> =>
    new Promise((resolve, reject) => {
      const child = start([...enter, ...command], { env, stdio: 'pipe' });
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
    environment: env,
    device,
    spawn: (command, options = {}) => start([...enter, ...command], { env, ...options }),
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
