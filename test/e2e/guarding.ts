import { type CommandResult, type Daemon, type Lab, PROGRAMS, until } from 'spa-lab';

/** An ssh session in which a command prints a line every few hundredths of a second. */
export interface TickingSession {
  /** Lines that it has printed until now. */
  ticks(): number;
  /** Waits until it prints more. */
  goesOn(): Promise<void>;
  /** Resolves when ssh has ended. */
  readonly ended: Promise<number | null>;
}

/** Logs in through a door that is open. `silent`: it prints one line and waits. */
export async function startSession(
  lab: Lab,
  address: string,
  options: { readonly silent?: true; readonly from?: string } = {},
): Promise<TickingSession> {
  const command = options.silent ? 'echo tick; sleep 300' : 'while echo tick; do sleep 0.03; done';
  const from = options.from === undefined ? [] : ['-b', options.from];
  const destination = `${lab.sshd.user}@${address}`;
  const child = lab.operator.spawn(['ssh', ...lab.sshd.clientOptions, ...from, destination, command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let count = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    count += chunk.toString().split('\n').length - 1;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const goesOn = async (): Promise<void> => {
    const before = count;
    await until('the session prints more', () => count > before + 3);
  };
  await until('the session prints', () => count > 0);
  return { ticks: () => count, goesOn, ended };
}

/** Somebody who tries the port every few milliseconds, from an address that has no door. */
export interface Prober {
  /** Connections that he tried, and those that he got. */
  readonly tried: () => number;
  readonly gotIn: () => number;
  stop(): void;
}

/** Starts him; resolves when he tries. */
export async function startProber(
  lab: Lab,
  address: string,
  localAddress: string,
  { everyMs = 4 }: { readonly everyMs?: number } = {},
): Promise<Prober> {
  const script = `
    const [host, localAddress, everyMs] = process.argv.slice(1);
    setInterval(() => {
      const socket = require('node:net').connect({ host, port: 22, localAddress });
      socket.on('connect', () => process.stdout.write('+')).on('error', () => {});
      setTimeout(() => { process.stdout.write('.'); socket.destroy(); }, 300);
    }, Number(everyMs));`;
  const child = lab.operator.spawn([process.execPath, '-e', script, address, localAddress, String(everyMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let heard = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
  });
  const countOf = (mark: string): number => heard.split(mark).length - 1;
  await until('somebody tries the port', () => countOf('.') > 0);
  return { tried: () => countOf('.'), gotIn: () => countOf('+'), stop: () => child.kill('SIGKILL') };
}

/** Runs spa-server with other options on the bastion, for the daemon's configuration. */
export function tell(lab: Lab, daemon: Daemon, ...options: readonly string[]): Promise<CommandResult> {
  return lab.bastion.run([process.execPath, PROGRAMS.spaServer, '-c', daemon.configFile, ...options]);
}

/** Seconds that the one open door has left, as `--fw-list` says. */
export async function secondsLeft(lab: Lab, daemon: Daemon): Promise<number> {
  const { stdout } = await tell(lab, daemon, '--fw-list');
  const left = /, (\d+) s left/.exec(stdout)?.[1];
  if (left === undefined) throw new Error(`no door is open: ${stdout}`);
  return Number(left);
}
