import { ConfigError } from 'spa-host';
import { type Configuration, loadConfiguration } from './config/load.ts';
import type { ServerConfig } from './config/server-config.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { describeFailure, UnavailableError } from './failure.ts';
import type { Options } from './options.ts';
import { rotateDigestCache } from './replay/digest-cache.ts';
import { writeAccepted } from './roster/accepted.ts';
import { describeRoster } from './roster/describe.ts';
import type { DaemonLog, Log, LogOptions } from './system/log.ts';
import { keepSmall, keepTidy } from './system/memory.ts';
import { packageVersion } from './system/package-version.ts';
import {
  claimProcessName,
  findDaemon,
  findDeadDaemon,
  removePidFile,
  writePidFile,
} from './system/pid-file.ts';
import { comeFirst } from './system/priority.ts';
import { warmUp } from './warm-up.ts';

/** Where the daemon runs: what it logs to, and who waits for it. */
export interface Surroundings {
  openLog(config: ServerConfig): DaemonLog;
  /** Called once packets are received and the firewall is in place. */
  ready(): void;
}

/**
 * The daemon's life: resolves when it has ended, by SIGTERM, SIGINT or its packet limit.
 * SIGHUP reads the configuration again; one that is wrong changes nothing.
 * @throws ConfigError, FirewallError, UnavailableError or a system error if it cannot start.
 */
export async function serve(options: Options, surroundings: Surroundings): Promise<void> {
  keepSmall();
  claimProcessName();
  const { config, stanzas, roster, warnings } = await loadConfiguration(options.source);
  const log = surroundings.openLog(config);
  const { dryRun, packetLimit } = options;
  // Whoever only looks at a capture is in no daemon's way, and none in his.
  const pidFile = dryRun && config.reception.datagrams.kind === 'file' ? null : config.pidFile;
  if (pidFile !== null) mustBeAlone(pidFile);
  log.event({ event: 'starting', version: packageVersion(), pid: process.pid });
  if (pidFile !== null) tellOfDead(pidFile, log);
  for (const text of warnings) log.event({ event: 'configuration-warning', text });
  if (!dryRun) remember(config, roster);
  if (roster !== null) log.info(describeRoster(roster));
  const starting = startDaemon({ config, stanzas, roster, log, dryRun, packetLimit });
  const stopFailed = obeySignals(starting, options, log);
  const [daemon] = await Promise.all([starting, warmUp(stanzas, Math.floor(Date.now() / 1000))]);
  comeFirst();
  keepTidy();
  try {
    if (pidFile !== null) writePidFile(pidFile);
    if (options.rotateDigestCache && !dryRun) rotateDigestCache(config.digestFile);
    surroundings.ready();
    await Promise.race([daemon.closed, stopFailed]);
  } catch (error) {
    await daemon.close();
    throw error;
  } finally {
    if (pidFile !== null) removePidFile(pidFile);
  }
  log.event({ event: 'stopped' });
}

/** What a log shows, and how, as the configuration says. */
export function logOptionsOf(
  { verbosity, logFormat, firewall }: ServerConfig,
  { dryRun }: Pick<Options, 'dryRun'>,
): Omit<LogOptions, 'priorityPrefix'> {
  const { forward, dnat, snat, masquerade } = firewall.iptablesForwards;
  return {
    least: verbosity > 0 ? 'debug' : 'info',
    format: logFormat,
    chains: dryRun
      ? null
      : {
          input: firewall.iptables.chain,
          forward: forward.chain,
          dnat: dnat.chain,
          snat: snat.chain,
          masquerade: masquerade.chain,
        },
  };
}

function mustBeAlone(pidFile: string): void {
  const pid = findDaemon(pidFile);
  if (pid !== null && pid !== process.pid) {
    throw new UnavailableError(
      `a daemon is already running (pid=${pid}, ${pidFile}); stop it with --kill, or name another --pid-file`,
    );
  }
}

/** Who was killed could not say so himself. */
function tellOfDead(pidFile: string, log: Log): void {
  const pid = findDeadDaemon(pidFile);
  if (pid === null) return;
  log.warning(
    `the daemon before this one (pid=${pid}) was killed, or crashed (or it was fwknopd, which leaves its pid file)`,
  );
}

/** Rejects if the daemon was told to stop and could not do so in good order; never resolves. */
function obeySignals(starting: Promise<Daemon>, options: Options, log: DaemonLog): Promise<never> {
  let reloading = Promise.resolve();
  process.on('SIGHUP', () => {
    reloading = reloading.then(() => reload(starting, options, log));
    // Whoever revokes after this signal means the new configuration.
    starting.then((daemon) => daemon.delayAnswers(reloading), startFailed);
  });
  // Without listeners Node opens its debugger on SIGUSR1, and dies of SIGUSR2.
  process.on('SIGUSR1', ignoreSignal);
  process.on('SIGUSR2', ignoreSignal);
  return new Promise((_, reject) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        log.event({ event: 'signal', signal });
        starting.then((daemon) => daemon.close(), startFailed).catch(reject);
      });
    }
  });
}

async function reload(starting: Promise<Daemon>, options: Options, log: DaemonLog): Promise<void> {
  log.event({ event: 'signal', signal: 'SIGHUP' });
  const daemon = await starting.catch(startFailed);
  if (daemon === undefined) return;
  try {
    const next: Configuration = await loadConfiguration(options.source);
    for (const text of next.warnings) log.event({ event: 'configuration-warning', text });
    await daemon.reload(next);
    log.changeFormat(next.config.logFormat);
    if (next.roster !== null) log.info(describeRoster(next.roster));
    if (!options.dryRun) rememberOrSay(next, log);
    log.event({ event: 'reloaded' });
  } catch (error) {
    const failure = describeFailure(error);
    if (failure === null) throw error;
    log.event({ event: 'reload-failed', problem: failure.line });
  }
}

/** From now on no older roster is accepted. @throws ConfigError */
function remember(config: ServerConfig, roster: Configuration['roster']): void {
  if (config.roster === null || roster === null || !roster.isNew) return;
  writeAccepted(config.roster.stateFile, roster.accepted);
}

/** That a roster is in force matters more than that it is remembered: it may be there to keep somebody out. */
function rememberOrSay({ config, roster }: Configuration, log: Log): void {
  try {
    remember(config, roster);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.error(`${error.message}; the roster is in force, but an older one would be accepted`);
  }
}

/** Whoever called {@link serve} hears of it. */
function startFailed(): undefined {}

function ignoreSignal(): void {}
