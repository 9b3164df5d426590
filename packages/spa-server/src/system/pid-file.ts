import { chmodSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** How `ps` and /proc name the daemon: set with {@link claimProcessName}, looked for by {@link findDaemon}. */
const PROCESS_NAME = 'spa-server';

/** Names of processes that may own the pid file. The stock daemon counts: two daemons on one port help nobody. */
const DAEMON_NAMES: readonly string[] = [PROCESS_NAME, 'fwknopd'];

/** Makes this process one that {@link findDaemon} recognises. */
export function claimProcessName(): void {
  process.title = PROCESS_NAME;
}

/** The id of the daemon that `pidFile` names; null if there is no such file, process, or it is somebody else's. */
export function findDaemon(pidFile: string): number | null {
  const pid = readPid(pidFile);
  return pid !== null && DAEMON_NAMES.includes(processName(pid) ?? '') ? pid : null;
}

/**
 * The id that a daemon left in `pidFile` when it was killed, or crashed; null if the last one ended in good order. To be asked
 * before {@link writePidFile}: in a container the next daemon may have the same id.
 */
export function findDeadDaemon(pidFile: string): number | null {
  const running = findDaemon(pidFile);
  return running === null || running === process.pid ? readPid(pidFile) : null;
}

/** Writes the own process id in one step, for everybody to read. Folders that are missing are made. */
export function writePidFile(pidFile: string): void {
  mkdirSync(dirname(pidFile), { recursive: true, mode: 0o755 });
  const draft = `${pidFile}.${process.pid}`;
  writeFileSync(draft, `${process.pid}\n`);
  chmodSync(draft, 0o644);
  renameSync(draft, pidFile);
}

/** Removes the pid file if it is this process's own. */
export function removePidFile(pidFile: string): void {
  if (readPid(pidFile) === process.pid) unlinkSync(pidFile);
}

/** True while there is a process of that id. */
export function isRunning(pid: number): boolean {
  return processName(pid) !== null;
}

function readPid(pidFile: string): number | null {
  const text = readIfThere(pidFile);
  const pid = /^\s*([1-9]\d{0,9})\s*$/.exec(text ?? '')?.[1];
  return pid === undefined ? null : Number(pid);
}

/** Null if there is no such process, or only its remains that nobody has collected yet. */
function processName(pid: number): string | null {
  const stat = readIfThere(`/proc/${pid}/stat`);
  const [, name = null, state] = /^\d+ \((.*)\) (\S)/s.exec(stat ?? '') ?? [];
  return state === 'Z' || state === 'X' ? null : name;
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR') return null;
    throw error;
  }
}
