import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type Forward, forwardOption } from './forward-spec.ts';

/** What one ssh is to do. */
export interface TunnelOrder {
  readonly ssh: string;
  /** Its arguments, with those of {@link tunnelOptions}. */
  readonly args: readonly string[];
  /** As in those options. Its folder is nobody else's; the file does not exist. Nothing in it that ssh would expand. */
  readonly controlPath: string;
  readonly forwards: readonly Forward[];
  /** A person sees what ssh says and may be asked. Else its words go to `onLine` once it is up. */
  readonly isAttended: boolean;
  readonly onLine: (line: string) => void;
  /** Hears the process's id, and null when it has ended. */
  readonly onProcess: (pid: number | null) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** What became of it. */
export type TunnelStart =
  /** All ports are forwarded, until `ended`. */
  | { readonly state: 'up'; readonly ended: Promise<unknown> }
  /** ssh has ended. `reason`: the last that it said; null if the person has read it, or it said nothing. */
  | { readonly state: 'failed'; readonly status: number; readonly reason: string | null };

/** How long a connection lives that has no answer, and whether ssh may ask a person. */
export interface TunnelManners {
  readonly aliveSeconds: number;
  readonly isAttended: boolean;
}

/**
 * Options for the ssh that holds a tunnel. It has a control socket of its own, which appears when it has logged in, and
 * through which it is told what to forward: that is answered for each port, and forwards in ssh's configuration, which
 * another ssh may hold already, are not in the way.
 */
export function tunnelOptions(
  controlPath: string,
  { aliveSeconds, isAttended }: TunnelManners,
): readonly string[] {
  const settings = [
    `ControlPath=${controlPath}`,
    'ControlPersist=no',
    'ClearAllForwardings=yes',
    // It gives up when the third question would be due and the two before are not answered.
    `ServerAliveInterval=${Math.ceil(aliveSeconds / 3)}`,
    'ServerAliveCountMax=2',
    ...(isAttended ? [] : ['BatchMode=yes', `ConnectTimeout=${aliveSeconds}`]),
  ];
  return ['-M', '-N', '-T', ...settings.flatMap((setting) => ['-o', setting])];
}

/** Starts ssh and forwards the ports. Resolves when all are, or ssh has ended. */
export async function startTunnel(order: TunnelOrder): Promise<TunnelStart> {
  const run = startSsh(order);
  if (!(await hasLoggedIn(run, order)))
    return { state: 'failed', status: await run.ended, reason: run.said() };
  const refusal = await askToForward(order);
  if (refusal === null) {
    run.letSpeak();
    return { state: 'up', ended: run.ended };
  }
  run.stop();
  await run.ended;
  return { state: 'failed', status: CONNECTION_FAILED, reason: refusal };
}

const CONNECTION_FAILED = 255;
const POLL_MS = 20;
/** ssh ends at once if it can. */
const STOP_MS = 2_000;
/** Between two networks, a handshake may wait for an answer that never comes. */
const UNATTENDED_LOGIN_MS = 60_000;

interface SshRun {
  /** Its status; 255 after a signal. */
  readonly ended: Promise<number>;
  readonly hasEnded: () => boolean;
  /** The last line that a person has not seen. */
  readonly said: () => string | null;
  /** From now on what it says is passed on. */
  readonly letSpeak: () => void;
  readonly stop: () => void;
}

function startSsh({ ssh, args, isAttended, onLine, onProcess, signal }: TunnelOrder): SshRun {
  const child = spawn(ssh, args, { stdio: ['ignore', 'ignore', isAttended ? 'inherit' : 'pipe'] });
  onProcess(child.pid ?? null);
  let isUp = false;
  let last: string | null = null;
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (isUp) onLine(line);
      else if (line.trim() !== '') last = line.trim();
    });
  }
  const stop = (): void => terminate(child);
  const ended = endOf(child).finally(() => {
    onProcess(null);
    signal.removeEventListener('abort', stop);
  });
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  return {
    ended,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    said: () => last,
    letSpeak: () => {
      isUp = true;
    },
    stop,
  };
}

/** True when its control socket is there, false when it has ended. */
async function hasLoggedIn(run: SshRun, { controlPath, isAttended }: TunnelOrder): Promise<boolean> {
  const tooLate = isAttended ? Number.POSITIVE_INFINITY : performance.now() + UNATTENDED_LOGIN_MS;
  while (!run.hasEnded()) {
    if (existsSync(controlPath)) return true;
    if (performance.now() > tooLate) break;
    await Promise.race([delay(POLL_MS), run.ended]);
  }
  if (!run.hasEnded()) run.stop();
  await run.ended;
  return false;
}

/** Why not all ports can be forwarded; null if they are. */
function askToForward({ ssh, controlPath, forwards, signal }: TunnelOrder): Promise<string | null> {
  const args = [
    '-F',
    'none',
    '-S',
    controlPath,
    '-O',
    'forward',
    ...forwards.flatMap(forwardOption),
    'bastion',
  ];
  return new Promise((resolve) => {
    execFile(ssh, args, { signal }, (error, _stdout, stderr) => {
      if (error === null) return resolve(null);
      const [, refusal] = /forwarding request failed: (.+)/.exec(stderr) ?? [];
      resolve(refusal ?? (stderr.trim() || error.message));
    });
  });
}

function terminate(child: ChildProcess): void {
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', async (code) => {
      // Its last words may still be in the pipe, which a child of its own may hold open.
      if (child.stderr?.readableEnded === false) {
        await Promise.race([new Promise((ended) => child.stderr?.once('end', ended)), delay(100)]);
      }
      child.stderr?.destroy();
      resolve(code ?? CONNECTION_FAILED);
    });
  });
}
