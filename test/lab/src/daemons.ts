import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './hosts.ts';
import type { Scratch } from './scratch.ts';
import { until } from './until.ts';

/** A daemon that opens doors, ours or the stock one. */
export interface Daemon {
  readonly process: ChildProcess;
  /** The path of its main configuration file. */
  readonly configFile: string;
  /** What it has logged until now. */
  log(): string;
  /** Waits until the log, from `since` characters on, has `text`. */
  logged(text: string | RegExp, since?: number): Promise<void>;
  /** Sends a signal and waits for its end; resolves to the exit code, null after a signal. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** What is written into the daemon's two files. */
export interface DaemonConfig {
  /** Lines of fwknopd.conf, besides the paths. */
  readonly server?: readonly string[];
  /** Lines of access.conf. */
  readonly access: readonly string[];
}

/** The programs of this repository. */
export const PROGRAMS: Readonly<Record<'spaServer' | 'spaClient' | 'spaKeys' | 'sshbh', string>> = {
  spaServer: programPath('spa-server/dist/src/bin/spa-server.cjs'),
  spaClient: programPath('spa-client/dist/src/bin/spa-client.cjs'),
  spaKeys: programPath('spa-client/dist/src/bin/spa-keys.cjs'),
  sshbh: programPath('spa-client/dist/src/bin/sshbh.cjs'),
};

/** Starts our daemon in the foreground; resolves when it listens. A second start in `scratch` finds what the first left. */
export async function startSpaServer(
  host: Namespace,
  scratch: Pick<Scratch, 'path'>,
  config: DaemonConfig,
): Promise<Daemon> {
  const configFile = writeConfig(scratch, {
    ...config,
    server: [`REPLAY_STORE ${scratch.path('replay')}`, ...(config.server ?? [])],
  });
  const daemon = startDaemon(host, configFile, [
    process.execPath,
    PROGRAMS.spaServer,
    '-f',
    '-c',
    configFile,
  ]);
  await daemon.logged('listening on');
  return daemon;
}

/** Starts stock fwknopd in the foreground; resolves when it sniffs. */
export async function startFwknopd(
  host: Namespace,
  scratch: Pick<Scratch, 'path'>,
  config: DaemonConfig,
): Promise<Daemon> {
  const configFile = writeConfig(scratch, config);
  const run = ['-p', scratch.path('run', 'fwknopd.pid'), '-d', scratch.path('run', 'digest.cache')];
  const access = ['-a', scratch.path('access.conf')];
  const daemon = startDaemon(host, configFile, [
    'fwknopd',
    '-f',
    '-c',
    configFile,
    ...access,
    ...run,
    '-i',
    host.device,
  ]);
  await daemon.logged('Starting fwknopd main event loop');
  return daemon;
}

function writeConfig(scratch: Pick<Scratch, 'path'>, { server = [], access }: DaemonConfig): string {
  mkdirSync(scratch.path('run'), { recursive: true });
  const configFile = scratch.path('fwknopd.conf');
  const accessFile = scratch.path('access.conf');
  const lines = [`FWKNOP_RUN_DIR ${scratch.path('run')}`, `ACCESS_FILE ${accessFile}`, ...server];
  writeFileSync(configFile, `${lines.join('\n')}\n`, { mode: 0o600 });
  writeFileSync(accessFile, `${access.join('\n')}\n`, { mode: 0o600 });
  return configFile;
}

/** Starts a daemon in the foreground by its command, which names `configFile`. When it is ready is the caller's to see. */
export function startDaemon(host: Namespace, configFile: string, command: readonly string[]): Daemon {
  const child = host.spawn(command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const append = (chunk: Buffer): void => {
    text += chunk.toString();
  };
  child.stdout?.on('data', append);
  child.stderr?.on('data', append);
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const has = (wanted: string | RegExp, since: number): boolean =>
    typeof wanted === 'string' ? text.includes(wanted, since) : wanted.test(text.slice(since));
  return {
    process: child,
    configFile,
    log: () => text,
    logged: (wanted, since = 0) =>
      until(`the daemon logs ${wanted}`, () => {
        if (has(wanted, since)) return true;
        if (hasEnded()) throw new Error(`the daemon has ended:\n${text}`);
        return false;
      }).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}; it logged:\n${text}`);
      }),
    stop: async (signal = 'SIGTERM') => {
      if (hasEnded()) return child.exitCode;
      child.kill(signal);
      await until('the daemon ends', hasEnded);
      return child.exitCode;
    },
  };
}

function programPath(relative: string): string {
  return fileURLToPath(new URL(`../../../../packages/${relative}`, import.meta.url));
}
