import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatGeneratedKeys, generateKeys } from 'spa-core';
import { ConfigError, ExitCode, writePrivateFile } from 'spa-host';
import { formatConfiguration } from './config/dump.ts';
import { loadConfiguration, loadServerConfig } from './config/load.ts';
import { ask } from './control/ask.ts';
import type { ControlAnswer } from './control/protocol.ts';
import { askDaemon, controlPath } from './control/socket.ts';
import { describeCounters, describeFlush, describeList, describeRevocation } from './control/words.ts';
import { describeFailure, UnavailableError } from './failure.ts';
import { listAllRules } from './firewall/all-rules.ts';
import { formatHelp, type Options, readOptions, type Task } from './options.ts';
import { badLines, readDigestCache, usefulSince } from './replay/digest-cache.ts';
import { describeRoster } from './roster/describe.ts';
import { logOptionsOf, serve } from './serve.ts';
import { startInBackground } from './system/background.ts';
import { createStderrLog, type Log, logOf, printable, teeLog } from './system/log.ts';
import { packageVersion } from './system/package-version.ts';
import { findDaemon, isRunning } from './system/pid-file.ts';
import { createSystemLog } from './system/syslog.ts';
import { describeReception } from './transport/reception-config.ts';
import { checkSource } from './transport/sources.ts';

/** Runs the program with the arguments of the command line; resolves to its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = readOptions(argv);
    return await TASKS[options.task](options, argv);
  } catch (error) {
    const failure = describeFailure(error);
    if (failure === null) throw error;
    complain(failure.line);
    for (const other of error instanceof ConfigError ? error.others : []) complain(other.message);
    return failure.exitCode;
  }
}

type RunTask = (options: Options, argv: readonly string[]) => Promise<number>;

const TASKS: Readonly<Record<Task, RunTask>> = {
  serve: (options, argv) => (options.foreground ? serveInForeground(options) : startInBackground(argv, warn)),
  help: async () => print(formatHelp()),
  'key-gen': makeKeys,
  version: async () => print(`spa-server ${packageVersion()}\n`),
  'dump-config': async (options) => print(formatConfiguration(await loadConfiguration(options.source))),
  'exit-parse-config': checkConfiguration,
  'exit-parse-digest-cache': checkDigestCache,
  status: showStatus,
  kill: stopDaemon,
  restart: reloadDaemon,
  'fw-list': list,
  'fw-list-all': async ({ source }) => print(await listAllRules(loadServerConfig(source).value.firewall)),
  'fw-flush': flush,
  revoke,
};

/** How long the daemon may take to stop: its firewall may wait for somebody else's lock. */
const STOP_LIMIT_MS = 15_000;

async function serveInForeground(options: Options): Promise<number> {
  let log: Log | null = null;
  try {
    await serve(options, {
      openLog: (config) => {
        const shown = logOptionsOf(config, options);
        const stderr = createStderrLog(shown);
        const opened = options.syslog ? teeLog(stderr, createSystemLog(config.syslog, shown)) : stderr;
        log = opened;
        return opened;
      },
      ready: () => {},
    });
    return ExitCode.ok;
  } catch (error) {
    const failure = describeFailure(error);
    if (failure === null || log === null) throw error;
    (log as Log).event({ event: 'failed-to-serve', problem: failure.line });
    return failure.exitCode;
  }
}

async function makeKeys({ newKeys: { hmacDigest, lengths, file } }: Options): Promise<number> {
  const text = formatGeneratedKeys(generateKeys(hmacDigest, lengths, randomBytes));
  if (file === null) return print(text);
  writePrivateFile(file, text);
  return print(`[+] Wrote Rijndael and HMAC keys to: ${file}\n`);
}

async function checkConfiguration({ source }: Options): Promise<number> {
  const { config, stanzas, roster, warnings, differences } = await loadConfiguration(source);
  const missing = checkSource(config.reception);
  for (const line of missing === null ? warnings : [...warnings, missing]) complain(line);
  const count = stanzas.length === 1 ? '1 stanza' : `${stanzas.length} stanzas`;
  print(
    `configuration OK: ${count} in ${config.accessFolder ?? config.accessFile}, ${describeReception(config.reception)}\n`,
  );
  if (roster !== null) print(`${describeRoster(roster)}${roster.isNew ? ' (not yet)' : ''}\n`);
  if (differences.length > 0) print(`what differs from fwknopd:\n${differences.map(indented).join('')}`);
  return ExitCode.ok;
}

function indented(line: string): string {
  return `  ${printable(line)}\n`;
}

async function checkDigestCache({ source }: Options): Promise<number> {
  const { config } = await loadConfiguration(source);
  const { digestFile, maxPacketAgeSeconds } = config;
  const sinceSeconds = usefulSince(Math.floor(Date.now() / 1000), maxPacketAgeSeconds);
  const cache = readDigestCache(digestFile, { sinceSeconds, maxBytes: null });
  if (cache === null) return print(`there is no digest cache ${digestFile}: nothing to take over\n`);
  if (cache.badLineCount > 0) complain(badLines(digestFile, cache));
  const { packetCount, recent } = cache;
  return print(
    `digest cache OK: ${packetCount} packets in ${digestFile}, of which ${recent.size} are not too old yet and stay refused\n`,
  );
}

async function showStatus({ source }: Options): Promise<number> {
  const pid = runningDaemon(source);
  if (pid === null) {
    print('spa-server is not running.\n');
    return ExitCode.failure;
  }
  print(`spa-server is running (pid=${pid}).\n`);
  const counted = await askDaemon(controlPath(loadServerConfig(source).value.runFolder), { do: 'counters' });
  return counted !== null && 'counters' in counted ? print(describeCounters(counted)) : ExitCode.ok;
}

async function stopDaemon({ source }: Options): Promise<number> {
  const pid = runningDaemon(source);
  if (pid === null) return notRunning();
  process.kill(pid, 'SIGTERM');
  for (let waited = 0; waited < STOP_LIMIT_MS; waited += 20) {
    if (!isRunning(pid)) return print(`Stopped spa-server (pid=${pid}).\n`);
    await sleep(20);
  }
  complain(`pid ${pid} got SIGTERM and still runs; look at its log, or end it with kill -9 ${pid}`);
  return ExitCode.failure;
}

async function reloadDaemon({ source }: Options): Promise<number> {
  const pid = runningDaemon(source);
  if (pid === null) return notRunning();
  process.kill(pid, 'SIGHUP');
  return print(`Sent SIGHUP to spa-server (pid=${pid}): it reads its configuration again.\n`);
}

function runningDaemon(source: Options['source']): number | null {
  return findDaemon(loadServerConfig(source).value.pidFile);
}

function notRunning(): number {
  complain('not running');
  return ExitCode.failure;
}

async function list({ source }: Options): Promise<number> {
  const { answer } = await ask(source, { do: 'list' }, askLog());
  return 'doors' in answer ? print(describeList(answer)) : failed(answer);
}

async function flush(options: Options): Promise<number> {
  const { answer, byDaemon } = await ask(
    options.source,
    { do: 'revoke', which: { by: 'all' }, cut: false },
    askLog(),
  );
  if (!('closed' in answer)) return failed(answer);
  print(describeFlush(answer));
  return byDaemon ? ExitCode.ok : untold(options);
}

async function revoke(options: Options): Promise<number> {
  const { revoke: which, cut } = options;
  if (which === null) throw new TypeError('--revoke without whose');
  const { answer, byDaemon } = await ask(options.source, { do: 'revoke', which, cut }, askLog());
  if (!('closed' in answer)) return failed(answer);
  print(describeRevocation(which, answer));
  if (answer.cut !== null && answer.cut.problem !== null) {
    complain(answer.cut.problem);
    return ExitCode.unavailable;
  }
  return byDaemon ? ExitCode.ok : untold(options);
}

/** A daemon that runs and does not listen would open again what somebody else's flush closes. */
function untold({ source }: Options): number {
  const pid = runningDaemon(source);
  if (pid === null) return ExitCode.ok;
  complain(`the daemon (pid=${pid}) does not listen to this; stop it with --kill and start it again`);
  return ExitCode.failure;
}

/** What the answer says is told by us; only what goes wrong beside it has lines of its own. */
function askLog(): Log {
  return logOf((event) => {
    if (event.event === 'note' && event.level === 'error') complain(event.text);
  });
}

function failed(answer: ControlAnswer): number {
  if (!('error' in answer)) throw new UnavailableError('the daemon answers something else; restart it');
  complain(answer.error);
  return answer.exitCode;
}

function print(text: string): number {
  process.stdout.write(text);
  return ExitCode.ok;
}

function complain(line: string): void {
  warn(`spa-server: ${printable(line)}\n`);
}

function warn(text: string): void {
  process.stderr.write(text);
}
