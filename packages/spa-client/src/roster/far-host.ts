import { spawn } from 'node:child_process';
import type { Bastion, Fingerprint } from 'spa-core';
import { ConfigError } from 'spa-host';
import { INSTALLER } from './installer.sh.ts';

/** What of a bastion matters to reach it. */
export type FarHost = Pick<Bastion, 'name' | 'host' | 'sshPort'>;

/** How to run a command on a bastion. */
export interface Transport {
  /** Program and arguments; what follows is the command for the far shell, as one word. */
  readonly commandFor: (bastion: FarHost) => readonly string[];
  /** Who logs in is not root, and `sudo` lets him work without a password. */
  readonly sudo: boolean;
}

/** What the installer on a bastion is to do; what is not said there is absent. */
export interface Orders {
  readonly task: 'show' | 'enrol' | 'certify' | 'install' | 'rollback' | 'cut';
  /** The folder on the bastion, absolute. */
  readonly folder: string;
  /** The daemon's main configuration file there, absolute. */
  readonly config: string;
  readonly daemon: 'spa-server' | 'fwknopd';
  /** The daemon's path there, absolute, if it is not on PATH. */
  readonly program?: string;
  readonly release?: string;
  readonly version?: number;
  /** `install`: the daemon's configuration is to name the folder from now on. */
  readonly first?: boolean;
  /** `install`: whose signature of a roster is believed. */
  readonly authority?: readonly Fingerprint[];
  /** `cut`: whose doors. */
  readonly operators?: readonly Fingerprint[];
  /** `enrol`: for whom the key is, and its end in seconds since 1970. */
  readonly userId?: string;
  readonly expiresAtSeconds?: number;
  readonly algorithm?: 'ecc' | 'rsa3072';
  /** `enrol`: a key other than these. */
  readonly known?: readonly Fingerprint[];
  /** `certify`: with which of its keys, whether for others too, and what. */
  readonly key?: Fingerprint;
  readonly isExportable?: boolean;
  readonly subjects?: readonly CertifyOrder[];
}

/** A user ID that a bastion is to certify. */
export interface CertifyOrder {
  readonly fingerprint: Fingerprint;
  readonly userId: string;
  /** In seconds since 1970; null: without end. */
  readonly expiresAtSeconds: number | null;
}

/** How the installer ended. */
export type Ending =
  /** What it said on stdout, without its greeting. */
  | { readonly kind: 'done'; readonly lines: readonly string[] }
  /** It refused or failed, with the status that it ended with: see `INSTALLER`. */
  | {
      readonly kind: 'failed';
      readonly status: number | null;
      readonly reason: string;
      readonly lines: readonly string[];
    }
  | { readonly kind: 'unreachable'; readonly reason: string };

/** Through `sshbh`, which opens the door: the bastion's name is a stanza of the rc file. */
export function throughSshbh(options: {
  readonly rcFile: string | null;
  readonly user: string | null;
  readonly sudo: boolean;
}): Transport {
  const rcFile = options.rcFile === null ? [] : ['--rc-file', options.rcFile];
  return {
    sudo: options.sudo,
    commandFor: ({ name }) => ['sshbh', 'ssh', ...rcFile, ...SSH_OPTIONS, withUser(options.user, name)],
  };
}

/** By a program with ssh's command line, to the bastion's host: for the first time, when there is no door yet. */
export function throughSsh(
  program: string,
  options: { readonly user: string | null; readonly sudo: boolean },
): Transport {
  return {
    sudo: options.sudo,
    commandFor: ({ host, sshPort }) => [
      program,
      ...SSH_OPTIONS,
      ...['-o', 'ConnectTimeout=10', '-p', String(sshPort)],
      withUser(options.user, host),
    ],
  };
}

/** Runs the installer on `bastion`. Rejects with ConfigError if the program that goes there cannot be run. */
export function runInstaller(
  transport: Transport,
  bastion: FarHost,
  orders: Orders,
  archive: Buffer | null = null,
): Promise<Ending> {
  const [program = '', ...args] = transport.commandFor(bastion);
  const shell = `exec ${transport.sudo ? 'sudo -n ' : ''}sh -c '${INSTALLER}' spa-keys`;
  const child = spawn(program, [...args, shell], { stdio: ['pipe', 'pipe', 'pipe'], windowsHide: true });
  let isTooMuch = false;
  const tooMuch = (): void => {
    isTooMuch = true;
    child.kill();
  };
  const output = collect(child.stdout, tooMuch);
  const complaints = collect(child.stderr, tooMuch);
  // It may end without reading all of it; its status says the rest.
  child.stdin.on('error', () => {});
  child.stdin.end(Buffer.concat([Buffer.from(formatOrders(orders)), archive ?? Buffer.alloc(0)]));
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      const cause = error.code === 'ENOENT' ? 'there is no such program' : (error.code ?? error.message);
      reject(new ConfigError({ file: program }, `cannot be run: ${cause}`));
    });
    child.on('close', (status) => {
      const reason = `it says more than ${OUTPUT_MAX_BYTES >> 20} MB, and was not heard out`;
      resolve(
        isTooMuch ? { kind: 'failed', status, reason, lines: [] } : endingOf(status, output(), complaints()),
      );
    });
  });
}

/** One line each; an order that would not be one is a mistake of ours. @throws RangeError */
export function formatOrders(orders: Orders): string {
  const values: readonly (readonly [string, string | number | undefined])[] = [
    ['task', orders.task],
    ['folder', orders.folder],
    ['config', orders.config],
    ['daemon', orders.daemon],
    ['program', orders.program],
    ['release', orders.release],
    ['version', orders.version],
    ['first', orders.first ? 'yes' : undefined],
    ['authority', orders.authority?.join(', ')],
    ['user-id', orders.userId],
    ['expires', orders.expiresAtSeconds],
    ['algorithm', orders.algorithm],
    ['key', orders.key],
    ['exportable', orders.isExportable === false ? 'no' : undefined],
    ...(orders.known ?? []).map((fingerprint) => ['known', fingerprint] as const),
    ...(orders.subjects ?? []).map(
      ({ fingerprint, expiresAtSeconds, userId }) =>
        ['subject', `${fingerprint} ${expiresAtSeconds ?? 0} ${userId}`] as const,
    ),
    ...(orders.operators ?? []).map((fingerprint) => ['operator', fingerprint] as const),
  ];
  const lines = values.filter(([, value]) => value !== undefined).map(([word, value]) => `${word} ${value}`);
  const broken = lines.find((line) => /\p{C}/u.test(line));
  if (broken !== undefined) throw new RangeError(`${JSON.stringify(broken)} is no order of one line`);
  return `${lines.join('\n')}\n\n`;
}

/** Nobody answers questions of several bastions at once. */
const SSH_OPTIONS = ['-T', '-o', 'BatchMode=yes', '-o', 'ServerAliveInterval=15'];
const GREETING = 'spa-keys installer 1';
const OUTPUT_MAX_BYTES = 8 << 20;
/** ssh's own, and that of `sshbh` when no door opens. */
const NOT_FOUND_STATUS = 127;

function withUser(user: string | null, host: string): string {
  return user === null ? host : `${user}@${host}`;
}

function collect(stream: NodeJS.ReadableStream, tooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    if (length > OUTPUT_MAX_BYTES) return;
    length += chunk.length;
    chunks.push(chunk);
    if (length > OUTPUT_MAX_BYTES) tooMuch();
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function endingOf(status: number | null, output: string, complaints: string): Ending {
  const lines = output.split('\n');
  const greeting = lines.indexOf(GREETING);
  const said = complaints.trim();
  if (greeting < 0) {
    const reason =
      said !== ''
        ? said
        : status === NOT_FOUND_STATUS
          ? 'there is no sh'
          : `ended with status ${status} and said nothing`;
    return { kind: 'unreachable', reason };
  }
  const rest = lines.slice(greeting + 1);
  if (status === 0) return { kind: 'done', lines: rest };
  const reason = said === '' ? 'the connection broke' : said;
  return { kind: 'failed', status, reason, lines: rest };
}
