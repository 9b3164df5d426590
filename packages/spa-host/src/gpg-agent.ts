import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { isatty } from 'node:tty';
import { promisify } from 'node:util';
import { writeMpi } from 'spa-core';
import { ConfigError } from './config-error.ts';
import type { GnupgHome } from './gnupg.ts';

/** A key whose secret half a GnuPG home has, on its disk or on a card. */
export interface GnupgSecretKey {
  /** Of this key, which may be a subkey. */
  readonly fingerprint: string;
  /** RFC 9580 section 9.1. */
  readonly algorithm: number;
  /** By which gpg-agent knows it: 40 hexadecimal digits. */
  readonly keygrip: string;
  /** The first one; may be empty. */
  readonly userId: string;
}

/** What signs files in the name of a certificate. */
export interface GnupgSigner {
  /** The fingerprint of its primary key. */
  readonly certificate: string;
  readonly key: GnupgSecretKey;
}

/** Hashes as Node calls them, that gpg-agent signs for us. */
export type AgentHash = 'sha256' | 'sha384' | 'sha512';

/** A secret key that stays where it is: what spa-core certifies with. */
export interface AgentKey {
  readonly fingerprint: string;
  readonly algorithm: number;
  /**
   * The numbers of a signature over `octets` (RFC 9580 section 5.2.3), as multiprecision integers. A pinentry may ask somebody
   * for a passphrase or a card meanwhile, which takes as long as it takes.
   * @throws ConfigError if gpg-agent refuses, or somebody does: one line
   */
  readonly sign: (octets: Buffer, digest: AgentHash) => Promise<Buffer>;
}

/**
 * The primary keys whose secret halves are in `home`, or on a card that it knows.
 * @throws ConfigError if gpg cannot be run
 */
export async function listSecretKeys(home: GnupgHome): Promise<readonly GnupgSecretKey[]> {
  const parts = (await listParts(home)).flatMap(([primary]) => primary ?? []);
  return parts.filter(({ isHere, capabilities }) => isHere && capabilities.includes('c'));
}

/**
 * For each certificate of `home` the (sub)key that signs files now and whose secret half is there, or on a card that it knows: the
 * newest, as gpg itself takes it. Its primary key may be elsewhere.
 * @throws ConfigError if gpg cannot be run
 */
export async function listSigningKeys(home: GnupgHome): Promise<readonly GnupgSigner[]> {
  return (await listParts(home)).flatMap((parts) => {
    const [primary] = parts;
    const [key] = parts
      .filter(({ isHere, isValid, capabilities }) => isHere && isValid && capabilities.includes('s'))
      .toSorted((one, other) => other.createdAtSeconds - one.createdAtSeconds);
    return primary === undefined || key === undefined ? [] : [{ certificate: primary.fingerprint, key }];
  });
}

/**
 * A connection to the gpg-agent of `home`, which is started if it is not there. It speaks Assuan, the protocol of GnuPG's parts
 * (its manual, "The Assuan Protocol" and "Agent's Assuan Protocol"): hundreds of signatures need no gpg process. The passphrase
 * of a key goes from a pinentry to the agent, never through us.
 * @throws ConfigError if there is no agent to be had
 */
export async function connectGpgAgent(home: GnupgHome): Promise<GpgAgent> {
  await run(home, 'gpgconf', ['--launch', 'gpg-agent']);
  const path = (await run(home, 'gpgconf', ['--list-dirs', 'agent-socket'])).trim();
  const socket = await connect(decodeURIComponent(path), home);
  const agent = new GpgAgent(socket, nameOf(home));
  await agent.begin();
  return agent;
}

/** A connection to gpg-agent. What is asked at the same time is done one after the other. */
export class GpgAgent {
  readonly #socket: Socket;
  readonly #name: string;
  #received = '';
  #failure: ConfigError | null = null;
  #waiting: ((reply: Reply) => void) | null = null;
  #data: Buffer[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(socket: Socket, name: string) {
    this.#socket = socket;
    this.#name = name;
    socket.setEncoding('latin1');
    socket.on('data', (text) => this.#receive(String(text)));
    socket.on('error', () => {});
    socket.on('close', () => this.#fail('the connection ended'));
  }

  /** The agent's greeting, and what its pinentry must know of our terminal. */
  async begin(): Promise<void> {
    const greeting = await this.#reply();
    if (greeting.kind !== 'ok') throw this.#complaint('connect', greeting);
    for (const [name, value] of pinentryOptions()) {
      // An agent that does not know one of them does without.
      await this.#ask(`OPTION ${name}=${value}`);
    }
  }

  /** The key as something to certify with; `purpose` is what a pinentry says that its passphrase is wanted for. */
  key({ fingerprint, algorithm, keygrip, userId }: GnupgSecretKey, purpose: string): AgentKey {
    const description = `${purpose}\n"${userId}"\n${fingerprint}`;
    const sign = (octets: Buffer, digest: AgentHash): Promise<Buffer> =>
      this.#inTurn(async () => {
        const value = hash(digest, octets, 'hex').toUpperCase();
        await this.#mustAsk('RESET');
        await this.#mustAsk(`SIGKEY ${keygrip}`);
        await this.#mustAsk(`SETKEYDESC ${plusPercentEscape(description)}`);
        await this.#mustAsk(`SETHASH ${HASH_NUMBERS[digest]} ${value}`);
        const expression = await this.#mustAsk('PKSIGN', fingerprint);
        const numbers = readSignature(expression);
        if (numbers === null) throw this.#error(`gpg-agent made a signature that is not understood`);
        return numbers;
      });
    return { fingerprint, algorithm, sign };
  }

  /** Ends the connection; the agent stays. */
  close(): void {
    this.#socket.destroy();
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  async #mustAsk(command: string, key?: string): Promise<Buffer> {
    const reply = await this.#ask(command);
    if (reply.kind === 'error') throw this.#complaint(command, reply, key);
    return reply.data;
  }

  #ask(command: string): Promise<Reply> {
    if (this.#failure !== null) throw this.#failure;
    this.#socket.write(`${command}\n`, 'utf8');
    return this.#reply();
  }

  #reply(): Promise<Reply> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = (reply) => (this.#failure === null ? resolve(reply) : reject(this.#failure));
      this.#readLines();
    });
  }

  #receive(text: string): void {
    this.#received += text;
    if (this.#received.length > REPLY_MAX_BYTES) this.#fail('gpg-agent says too much');
    this.#readLines();
  }

  #readLines(): void {
    while (this.#waiting !== null) {
      const end = this.#received.indexOf('\n');
      if (end < 0) return;
      const line = this.#received.slice(0, end);
      this.#received = this.#received.slice(end + 1);
      this.#readLine(line);
    }
  }

  #readLine(line: string): void {
    const [word = ''] = line.split(' ', 1);
    const rest = line.slice(word.length + 1);
    switch (word) {
      case 'D':
        this.#data.push(percentDecode(rest));
        return;
      case 'OK':
        this.#answer({ kind: 'ok', data: Buffer.concat(this.#data) });
        return;
      case 'ERR':
        this.#answer({
          kind: 'error',
          code: Number.parseInt(rest, 10) & 0xffff,
          text: rest.replace(/^\d+ /, ''),
        });
        return;
      case 'INQUIRE':
        // We have nothing to tell but that a pinentry is welcome.
        this.#socket.write(rest.startsWith('PINENTRY_LAUNCHED') ? 'END\n' : 'CAN\n');
        return;
    }
  }

  #answer(reply: Reply): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#data = [];
    waiting?.(reply);
  }

  #fail(problem: string): void {
    this.#failure ??= this.#error(`gpg-agent: ${problem}; gpg-connect-agent /bye says whether it runs`);
    this.#socket.destroy();
    this.#answer({ kind: 'error', code: 0, text: problem });
  }

  #complaint(command: string, reply: Reply, key?: string): ConfigError {
    const { code, text } = reply.kind === 'error' ? reply : { code: 0, text: 'no greeting' };
    const [word] = command.split(' ', 1);
    const problem = PROBLEMS[code] ?? `gpg-agent does not do ${word}: ${text}`;
    return this.#error(key === undefined ? problem : `${problem}; nothing was signed with ${key}`);
  }

  #error(problem: string): ConfigError {
    return new ConfigError({ file: this.#name }, problem);
  }
}

type Reply =
  | { readonly kind: 'ok'; readonly data: Buffer }
  | { readonly kind: 'error'; readonly code: number; readonly text: string };

const REPLY_MAX_BYTES = 1 << 16;
/** RFC 9580 section 9.5. */
const HASH_NUMBERS: Readonly<Record<AgentHash, number>> = { sha256: 8, sha384: 9, sha512: 10 };

/** By libgpg-error's numbers; of others the agent's own words are shown. */
const NO_PINENTRY =
  'gpg-agent has no pinentry to ask for the passphrase with; install one (pinentry-curses), or set pinentry-program in gpg-agent.conf';
const NOT_GIVEN = 'the passphrase was asked for, and whoever was asked did not give it';
const PROBLEMS: Readonly<Record<number, string>> = {
  11: 'the passphrase was wrong',
  17: 'gpg-agent does not have the secret key',
  62: 'nobody gave the passphrase in time',
  85: NO_PINENTRY,
  87: 'the PIN was wrong',
  99: NOT_GIVEN,
  112: 'there is no card in the reader',
  198: NOT_GIVEN,
  // What the system says of a pinentry without a terminal.
  32793: 'gpg-agent has no terminal to ask for the passphrase on; run: export GPG_TTY=$(tty)',
};

const COLON = {
  validity: 1,
  algorithm: 3,
  createdAt: 5,
  userId: 9,
  value: 9,
  capabilities: 11,
  token: 14,
} as const;

/** A primary key or a subkey, as gpg lists it. */
interface ListedKey extends GnupgSecretKey {
  readonly createdAtSeconds: number;
  /** False: there is only a stub of its secret half. */
  readonly isHere: boolean;
  /** False: expired, revoked or disabled. */
  readonly isValid: boolean;
  /** Lower-case letters: what this key may do. */
  readonly capabilities: string;
}

/** The keys of each secret certificate of a home, the primary key first. */
async function listParts(home: GnupgHome): Promise<readonly (readonly ListedKey[])[]> {
  const output = await run(home, home.program, [
    ...['--batch', '--quiet', '--no-permission-warning', '--no-auto-check-trustdb'],
    ...['--with-colons', '--with-keygrip', '--list-secret-keys'],
  ]);
  return output.split(/^(?=sec:)/m).map((text) => {
    const userId = unescapeColons(/^uid:(?:[^:\n]*:){8}([^:\n]*)/m.exec(text)?.[1] ?? '');
    return text.split(/^(?=sec:|ssb:)/m).flatMap((part) => readListedKey(part, userId) ?? []);
  });
}

/** The records of one (sub)key (GnuPG's doc/DETAILS); null if they are not understood. */
function readListedKey(text: string, userId: string): ListedKey | null {
  const records = text.split('\n').map((line) => line.split(':'));
  const field = (type: string, index: number): string =>
    records.find(([name]) => name === type)?.[index] ?? '';
  const [[type = ''] = []] = records;
  const fingerprint = field('fpr', COLON.value);
  const keygrip = field('grp', COLON.value);
  if (!/^[0-9A-F]{40}$/.test(fingerprint) || !/^[0-9A-F]{40}$/.test(keygrip)) return null;
  return {
    ...{ fingerprint, keygrip, userId },
    algorithm: Number(field(type, COLON.algorithm)),
    createdAtSeconds: Number(field(type, COLON.createdAt)),
    isHere: field(type, COLON.token) !== '#',
    isValid: !/^[eridn]/.test(field(type, COLON.validity)),
    capabilities: field(type, COLON.capabilities),
  };
}

function unescapeColons(text: string): string {
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_, digits) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

/** As gpg tells its agent where a pinentry finds the person. */
function pinentryOptions(): readonly (readonly [name: string, value: string])[] {
  const { GPG_TTY, TERM, DISPLAY, XAUTHORITY, LC_ALL, LC_CTYPE, LC_MESSAGES, LANG } = process.env;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['ttyname', GPG_TTY ?? terminalName()],
    ['ttytype', TERM],
    ['display', DISPLAY],
    ['xauthority', XAUTHORITY],
    ['lc-ctype', LC_ALL ?? LC_CTYPE ?? LANG],
    ['lc-messages', LC_ALL ?? LC_MESSAGES ?? LANG],
  ];
  return rows.flatMap(([name, value]) =>
    value === undefined || value === '' || /[\r\n]/.test(value) ? [] : [[name, value] as const],
  );
}

function terminalName(): string | undefined {
  const descriptor = [0, 1, 2].find(isatty);
  if (descriptor === undefined) return undefined;
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    // Without /proc a graphical pinentry still works.
    return undefined;
  }
}

/** The numbers of `(sig-val (rsa (s …)))`, `(eddsa (r …)(s …))` or `(ecdsa (r …)(s …))`, Libgcrypt's canonical form. */
function readSignature(expression: Buffer): Buffer | null {
  const outer = readExpression(expression, 0, 0)?.value;
  if (!Array.isArray(outer) || !isWord(outer[0], 'sig-val')) return null;
  const inner = outer[1];
  if (!Array.isArray(inner) || !Buffer.isBuffer(inner[0])) return null;
  const names = SIGNATURE_NUMBERS[inner[0].toString('latin1')];
  const numbers = names?.map((name) => {
    const pair = inner.find((one) => Array.isArray(one) && isWord(one[0], name));
    const value = Array.isArray(pair) ? pair[1] : undefined;
    return Buffer.isBuffer(value) ? writeMpi(value) : null;
  });
  if (numbers === undefined) return null;
  const whole = numbers.filter((number) => number !== null);
  return whole.length === numbers.length ? Buffer.concat(whole) : null;
}

const SIGNATURE_NUMBERS: Readonly<Record<string, readonly string[]>> = {
  rsa: ['s'],
  eddsa: ['r', 's'],
  ecdsa: ['r', 's'],
};

type Expression = Buffer | readonly Expression[];

function isWord(value: Expression | undefined, word: string): boolean {
  return Buffer.isBuffer(value) && value.toString('latin1') === word;
}

/** `(`, `)`, and octets with their length in front: `3:rsa`. */
function readExpression(
  octets: Buffer,
  at: number,
  depth: number,
): { readonly value: Expression; readonly end: number } | null {
  if (octets[at] === 0x28) {
    const items: Expression[] = [];
    let next = at + 1;
    while (octets[next] !== 0x29) {
      const item = depth < 8 ? readExpression(octets, next, depth + 1) : null;
      if (item === null) return null;
      items.push(item.value);
      next = item.end;
    }
    return { value: items, end: next + 1 };
  }
  const length = /^\d{1,5}(?=:)/.exec(octets.toString('latin1', at, at + 6))?.[0];
  if (length === undefined) return null;
  const start = at + length.length + 1;
  const end = start + Number(length);
  return end <= octets.length ? { value: octets.subarray(start, end), end } : null;
}

function percentDecode(text: string): Buffer {
  return Buffer.from(
    text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16))),
    'latin1',
  );
}

/** Not more than fits a line of the protocol. */
function plusPercentEscape(text: string): string {
  const escaped = Array.from(Buffer.from(text, 'utf8').subarray(0, 250), (octet) => {
    if (octet === 0x20) return '+';
    const isPlain = octet > 0x20 && octet < 0x7f && octet !== 0x25 && octet !== 0x2b;
    return isPlain ? String.fromCharCode(octet) : `%${octet.toString(16).padStart(2, '0').toUpperCase()}`;
  });
  return escaped.join('');
}

function connect(path: string, home: GnupgHome): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const fail = ({ code, message }: NodeJS.ErrnoException): void =>
      reject(
        new ConfigError({ file: nameOf(home) }, `gpg-agent cannot be reached at ${path}: ${code ?? message}`),
      );
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

async function run(home: GnupgHome, program: string, args: readonly string[]): Promise<string> {
  const where = home.directory === null ? [] : ['--homedir', home.directory];
  try {
    const { stdout } = await promisify(execFile)(program, [...where, ...args], { maxBuffer: 64 << 20 });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { readonly stderr?: string };
    if (code === 'ENOENT')
      throw new ConfigError({ file: program }, 'there is no such program; install GnuPG');
    const last = stderr?.trim().split('\n').at(-1) ?? '';
    throw new ConfigError({ file: nameOf(home) }, `${program}: ${last || 'failed without a message'}`);
  }
}

function nameOf(home: GnupgHome): string {
  return home.directory ?? '~/.gnupg';
}
