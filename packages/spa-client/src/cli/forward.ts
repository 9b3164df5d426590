import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { findProgram } from '../become.ts';
import { type DeathWatch, startDeathWatch } from '../death-watch.ts';
import { describeForward, type Forward, mustDiffer, parseForward } from '../forward-spec.ts';
import { type Attempt, type KeepUpEvent, keepUp } from '../keep-up.ts';
import { whyTaken } from '../local-port.ts';
import type { SecretSource } from '../packet-keys.ts';
import { readRcFile } from '../rc-file.ts';
import { type Region, readRegion } from '../region.ts';
import { bastionOf } from '../region-door.ts';
import type { Secret } from '../secret.ts';
import { sshArguments } from '../ssh-command.ts';
import { doorIsOpen } from '../ssh-settings.ts';
import { startTunnel, tunnelOptions } from '../tunnel.ts';
import { CONNECTION_FAILED, type EnterOrders, enter, familyOf, parseWait } from './enter.ts';
import { defaultRcFile, exitCodeOf, print, say } from './program.ts';
import { secretSource } from './secret-source.ts';
import { parseSshbhCommand } from './sshbh-options.ts';
import { untilSignal } from './until-signal.ts';

/** `sshbh forward`: keeps a tunnel up until it is told to end. */
export async function forwardVerb(argv: readonly string[]): Promise<number> {
  const separator = argv.indexOf('--');
  const { values, positionals } = parseCommandLine(OPTIONS, separator < 0 ? argv : argv.slice(0, separator));
  if (values.help) return print(help());
  const order = readOrder(values, positionals, separator < 0 ? [] : argv.slice(separator + 1));
  const { signal, passOn } = untilSignal();
  const folder = mkdtempSync(join(temporaryFolder(), 'sshbh-'));
  const watch = startDeathWatch(folder);
  try {
    return await keepTunnelUp(order, { signal, watch, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
    watch.end();
    passOn();
  }
}

/** Options of `sshbh forward`. */
export function forwardOptions(): readonly Option[] {
  return OPTIONS;
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'local', short: 'L', argument: 'SPEC', many: true, help: 'the same as a SPEC alone' },
  { long: 'socks', short: 'D', argument: '[BIND:]PORT', many: true, help: 'a SOCKS proxy here: connections leave from the bastion' },
  { long: 'remote', short: 'R', argument: 'SPEC', many: true, help: 'a port on the bastion that leads here; PORT alone is SOCKS' },
  { long: 'alive', argument: 'SECONDS', help: 'how long the bastion may be silent (15)' },
  { long: 'ipv4', short: '4', help: "only the bastion's IPv4 addresses" },
  { long: 'ipv6', short: '6', help: "only the bastion's IPv6 addresses" },
  { long: 'rc-file', argument: 'FILE', help: 'the file with the regions (~/.fwknoprc)' },
  { long: 'wait', argument: 'SECONDS', help: 'how long to wait for the door (10)' },
  { long: 'verbose', short: 'v', count: true, help: 'say what happens' },
  { long: 'help', short: 'h', help: 'print this and exit' },
] as const satisfies readonly Option[];

interface ForwardOrder {
  readonly region: Region;
  readonly user: string | null;
  readonly forwards: readonly Forward[];
  readonly sshOptions: readonly string[];
  readonly aliveSeconds: number;
  readonly orders: EnterOrders;
}

type ForwardValues = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values'];

function readOrder(
  values: ForwardValues,
  [name, ...specs]: readonly string[],
  afterDashes: readonly string[],
): ForwardOrder {
  if (name === undefined) throw new UsageError('which region? sshbh forward REGION 5000:db.internal:5432');
  const forwards = [
    ...[...specs, ...(values.local ?? [])].map((text) => parseForward('local', text)),
    ...(values.socks ?? []).map((text) => parseForward('socks', text)),
    ...(values.remote ?? []).map((text) => parseForward('remote', text)),
  ];
  if (forwards.length === 0) {
    throw new UsageError(`forward what? sshbh forward ${name} 5000:db.internal:5432, or -D 1080`);
  }
  mustDiffer(forwards);
  const aliveSeconds = parseAlive(values.alive);
  parseWait(values.wait);
  familyOf(values);
  const { user, regionName, sshOptions } = readSshPart(name, afterDashes);
  const region = readRegion(readRcFile(values['rc-file'] ?? defaultRcFile()), regionName);
  return { region, user, forwards, sshOptions, aliveSeconds, orders: values };
}

/** `[USER@]REGION`, and options for ssh. */
function readSshPart(
  name: string,
  afterDashes: readonly string[],
): Pick<ForwardOrder, 'user' | 'sshOptions'> & { readonly regionName: string } {
  const { region, host, sshOptions, command } = parseSshbhCommand([name, ...afterDashes]);
  const stray = host?.name ?? command[0];
  if (stray !== undefined || region === null) {
    throw new UsageError(`"${stray ?? name}": a tunnel runs no command; after -- stand options of ssh`);
  }
  const late = sshOptions.find((option) => /^-[LRD]/.test(option));
  if (late !== undefined) throw new UsageError(`${late}: what to forward stands before the --`);
  return { user: region.user, regionName: region.name, sshOptions };
}

interface Surroundings {
  readonly signal: AbortSignal;
  readonly watch: DeathWatch;
  readonly folder: string;
}

function keepTunnelUp(order: ForwardOrder, surroundings: Surroundings): Promise<number> {
  const { signal } = surroundings;
  const secrets = rememberingSecrets();
  let attempts = 0;
  return keepUp({
    connect: (isFirst) => {
      const attempt = connect(order, surroundings, { secrets, isFirst, number: ++attempts });
      return isFirst ? attempt : attempt.catch(afterError);
    },
    onEvent: (event) => {
      for (const line of describe(order, event)) tell(order, line);
    },
    signal,
    pause: (ms) => delay(ms, undefined, { signal }).catch(() => {}),
    now: Date.now,
  });
}

interface Circumstances {
  readonly secrets: SecretSource;
  readonly isFirst: boolean;
  readonly number: number;
}

async function connect(
  order: ForwardOrder,
  { signal, watch, folder }: Surroundings,
  { secrets, isFirst, number }: Circumstances,
): Promise<Attempt> {
  const { region, user, forwards, sshOptions, aliveSeconds, orders } = order;
  const taken = await whyAnyTaken(forwards);
  if (taken !== null) return fail(order, taken, isFirst);
  // The person's own ControlMaster may live: its forwards are not ours, and it may end at any time.
  const way = { sshOptions: ['-o', 'ControlPath=none', ...sshOptions], user };
  const passage = await Promise.race([enter(region, orders, way, MIN_GRACE_MS, secrets), aborted(signal)]);
  if (passage === null || passage.state === 'closed') return FAILED;
  if (passage.state === 'open') passage.connection.destroy();
  Object.assign(process.env, doorIsOpen(bastionOf(passage).name));
  const ssh = findProgram('ssh');
  const controlPath = join(folder, String(number));
  const ours = tunnelOptions(controlPath, { aliveSeconds, isAttended: isFirst });
  const start = await startTunnel({
    ssh,
    args: sshArguments(ssh, passage, {
      user,
      target: null,
      sshOptions: [...ours, ...sshOptions],
      command: [],
    }),
    controlPath,
    forwards,
    isAttended: isFirst,
    onLine: say,
    onProcess: watch.guard,
    signal,
  });
  if (start.state === 'up') return start;
  if (signal.aborted) return FAILED;
  const { status, reason } = start;
  const said = reason === null ? `ssh ended with status ${status}` : `ssh said: ${reason}`;
  return { ...fail(order, said, isFirst), status: status === 0 ? CONNECTION_FAILED : status };
}

const MIN_GRACE_MS = 3;

type Failure = Attempt & { readonly state: 'failed' };

const FAILED: Failure = { state: 'failed', status: CONNECTION_FAILED, reason: null };

/** A first attempt has no other: its reason is said here. */
function fail(order: ForwardOrder, reason: string, isFirst: boolean): Failure {
  if (!isFirst) return { ...FAILED, reason };
  tell(order, reason);
  return FAILED;
}

/** The network, a key or the rc file may be mended while we try. */
function afterError(error: unknown): Attempt {
  if (exitCodeOf(error, { connection: CONNECTION_FAILED }) === null) throw error;
  return { ...FAILED, reason: (error as Error).message };
}

async function whyAnyTaken(forwards: readonly Forward[]): Promise<string | null> {
  for (const { side, bind, port } of forwards) {
    const reason = side === 'here' ? await whyTaken(bind, port) : null;
    if (reason !== null) return reason;
  }
  return null;
}

/** Null at the signal. */
function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    else signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}

/** Asks a person once: when the door is opened again, nobody may be there. */
function rememberingSecrets(): SecretSource {
  const { piped, ask } = secretSource(null);
  const known = new Map<string, Secret>();
  return {
    piped,
    ask: async (what) => {
      const secret = known.get(what) ?? (await ask(what));
      known.set(what, secret);
      return secret;
    },
  };
}

function describe({ forwards }: ForwardOrder, event: KeepUpEvent): readonly string[] {
  if (event.kind === 'up') return forwards.map((forward) => `${describeForward(forward)} is up`);
  if (event.kind === 'up again') return [`up again after ${formatSeconds(event.downMs)}`];
  const retry = `trying again in ${formatSeconds(event.retryMs)}`;
  if (event.kind === 'lost') return [`the tunnel is lost; ${retry}`];
  const { reason } = event;
  if (reason === null) return [retry];
  return [`${reason}${reason.includes('Permission denied') ? UNATTENDED : ''}; ${retry}`];
}

const UNATTENDED = ' (ssh may ask nothing now: a key with a passphrase has to be in ssh-agent)';

function formatSeconds(ms: number): string {
  return `${Math.max(1, Math.round(ms / 1000))} s`;
}

function tell({ region }: ForwardOrder, line: string): void {
  say(`sshbh: ${region.name}: ${line}`);
}

const MIN_ALIVE_SECONDS = 3;
const MAX_ALIVE_SECONDS = 3_600;

function parseAlive(text = '15'): number {
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (seconds >= MIN_ALIVE_SECONDS && seconds <= MAX_ALIVE_SECONDS) return seconds;
  throw new UsageError(
    `--alive: "${text}" is no time; write seconds, from ${MIN_ALIVE_SECONDS} to ${MAX_ALIVE_SECONDS}`,
  );
}

/** A socket's path is short, and ssh expands some characters in it. */
function temporaryFolder(): string {
  const folder = tmpdir();
  return /^[\w./+-]{1,60}$/.test(folder) ? folder : '/tmp';
}

function help(): string {
  return `sshbh forward: keep a tunnel up, and open the door again when it must connect again

Usage: sshbh forward [options] [USER@]REGION SPEC... [-- SSH OPTIONS...]

A SPEC is [BIND:]PORT:HOST:PORT: a port here, and where it leads, by the name that the bastion knows. PORT:/PATH leads to a
socket there. BIND is localhost unless it is said; * is all addresses.

  sshbh forward us-east-1 5000:db.internal:5432
  sshbh forward us-east-1 5000:db-3:5432 8080:web:80    several at once
  sshbh forward us-east-1 -D 1080                       curl --proxy socks5h://localhost:1080 http://web/
  sshbh forward us-east-1 -R 9000:localhost:3000        a port on the bastion that leads here
  sshbh forward us-east-1 5000:db-3:5432 -- -v -i ~/.ssh/other

${formatOptions(OPTIONS)}

It runs until Ctrl-C. When the connection is lost, it tries again after 1, 2, 4 ... 30 seconds, each time with a new packet
if the door is closed. ssh may ask for a passphrase the first time only: later nobody may be there, so keep the key in
ssh-agent. Forwards that ssh_config has for the bastion are left out.

Exit status: that of ssh, or 255, if the tunnel never came up; 64 the command line is wrong, 78 the rc file or a key is wrong.
`;
}
