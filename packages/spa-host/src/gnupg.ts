import { spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { isatty } from 'node:tty';
import { ConfigError } from './config-error.ts';

/** A GnuPG home and the program that works on it. `directory` null is gpg's own default, `~/.gnupg`. */
export interface GnupgHome {
  readonly directory: string | null;
  /** Path or name of gpg. */
  readonly program: string;
}

/** What gpg itself is to sign and encrypt with. Key names are what gpg's `--local-user` and `--recipient` take. */
export interface GnupgSealing {
  /** Null: nobody signs. */
  readonly signer: string | null;
  /** A name, or a file with one certificate, of which gpg does not ask whether it has expired. */
  readonly recipient: string | { readonly file: string };
  /** Null: gpg-agent knows it, asks for it (pinentry), or needs none (a card). */
  readonly passphrase: string | null;
}

/**
 * The certificates that `keyIds` name (fingerprints, key IDs, user IDs: whatever gpg takes), or all of the home, as
 * binary OpenPGP. Empty only for `'all'` of an empty home.
 * @throws ConfigError if gpg cannot be run or a key ID names no certificate.
 */
export async function exportCertificates(
  home: GnupgHome,
  keyIds: readonly string[] | 'all',
): Promise<Buffer> {
  if (keyIds === 'all') return (await mustRunGpg(home, ['--export'], {})).output;
  if (keyIds.length === 0) return Buffer.alloc(0);
  const [exported, ...counts] = await Promise.all([
    mustRunGpg(home, ['--export', '--', ...keyIds], {}),
    ...keyIds.map((keyId) => listFingerprints(home, 'public', keyId)),
  ]);
  const missing = keyIds.find((_, index) => counts[index]?.length === 0);
  if (missing !== undefined) throw noSuchKey(home, 'public', missing);
  return exported.output;
}

/**
 * The certificate that `keyId` names, as binary OpenPGP.
 * @throws ConfigError if gpg cannot be run, or if `keyId` names no certificate or several.
 */
export function exportOneCertificate(home: GnupgHome, keyId: string): Promise<Buffer> {
  return exportOne(home, keyId, []);
}

/**
 * The same with the certifications that are for this home only (`--lsign-key`): to look at, not to hand on.
 * @throws ConfigError as {@link exportOneCertificate}
 */
export function exportOneWithLocalCertifications(home: GnupgHome, keyId: string): Promise<Buffer> {
  return exportOne(home, keyId, ['--export-options', 'export-local-sigs']);
}

/**
 * The secret key that `keyId` names, as binary OpenPGP, protected by `passphrase` if it has one.
 *
 * Null: gpg-agent does not hand it out, because the passphrase is wrong or missing (null) or loopback is forbidden.
 * A key on a card is exported as a stub without secret material.
 * @throws ConfigError if gpg cannot be run, or if `keyId` names no secret key or several.
 */
export async function exportSecretKey(
  home: GnupgHome,
  keyId: string,
  passphrase: string | null,
): Promise<Buffer | null> {
  const loopback = ['--pinentry-mode', 'loopback', '--passphrase-fd', String(PASSPHRASE_FD)];
  const [exported, fingerprints] = await Promise.all([
    runGpg(home, [...loopback, '--export-secret-keys', '--', keyId], { passphrase: passphrase ?? '' }),
    listFingerprints(home, 'secret', keyId),
  ]);
  mustBeOne(home, 'secret', keyId, fingerprints);
  return exported.output.length === 0 ? null : exported.output;
}

/**
 * `text`, signed and encrypted by gpg: a binary OpenPGP message, not compressed. The secret key stays where it is;
 * gpg-agent may open a pinentry on the terminal meanwhile.
 * @throws ConfigError if gpg cannot be run or refuses; the message is gpg's own last line.
 */
export async function signAndEncrypt(home: GnupgHome, keys: GnupgSealing, text: string): Promise<Buffer> {
  const loopback = ['--pinentry-mode', 'loopback', '--passphrase-fd', String(PASSPHRASE_FD)];
  const { output } = await mustRunGpg(
    home,
    [
      ...(keys.passphrase === null ? [] : loopback),
      ...['--yes', '--trust-model', 'always', '--no-encrypt-to', '--no-armor', '--compress-algo', 'none'],
      ...(keys.signer === null ? [] : ['--sign', '--local-user', keys.signer]),
      '--encrypt',
      ...(typeof keys.recipient === 'string'
        ? ['--recipient', keys.recipient]
        : ['--recipient-file', keys.recipient.file]),
      ...['--output', '-'],
    ],
    { input: text, ...(keys.passphrase === null ? {} : { passphrase: keys.passphrase }) },
  );
  return output;
}

/**
 * The session key in `packet`, a whole public-key encrypted session key packet, as gpg prints it: algorithm number, colon,
 * hexadecimal digits. Null if gpg or its agent refuses, or has not answered after `limitMs`; then it is killed.
 *
 * gpg gets this packet and zeros: what was encrypted with the session key is not gpg's to read.
 * @throws ConfigError if gpg cannot be run.
 */
export async function decryptSessionKey(
  home: GnupgHome,
  packet: Buffer,
  { passphrase, limitMs }: { readonly passphrase: string | null; readonly limitMs: number },
): Promise<string | null> {
  const { statusText } = await runGpg(
    home,
    [
      ...(passphrase === null
        ? []
        : ['--pinentry-mode', 'loopback', '--passphrase-fd', String(PASSPHRASE_FD)]),
      ...['--status-fd', String(STATUS_FD), '--show-session-key', '--max-output', '1024', '--decrypt'],
    ],
    {
      input: Buffer.concat([packet, NOTHING_ENCRYPTED]),
      isUnattended: true,
      limitMs,
      ...(passphrase === null ? {} : { passphrase }),
    },
  );
  return /^\[GNUPG:\] SESSION_KEY (\S+)$/m.exec(statusText)?.[1] ?? null;
}

/** A packet that is encrypted and integrity protected (RFC 9580 section 5.13), as short as gpg takes it. */
const NOTHING_ENCRYPTED = Buffer.concat([Buffer.of(0xd2, 41, 1), Buffer.alloc(40)]);

/**
 * The fingerprint of the one key that `keyId` names.
 * @throws ConfigError if gpg cannot be run, or if `keyId` names no key or several.
 */
export async function findKey(home: GnupgHome, kind: 'public' | 'secret', keyId: string): Promise<string> {
  const fingerprints = await listFingerprints(home, kind, keyId);
  return mustBeOne(home, kind, keyId, fingerprints);
}

/** A public key of a home, as far as its size goes. Algorithm: RFC 9580 section 9.1. */
export interface GnupgKeySize {
  readonly algorithm: number;
  readonly bits: number;
}

/**
 * The keys that gpg would sign and encrypt with now for the certificates with these fingerprints: of each its newest valid one.
 * Null for what is not to be found; then gpg itself says what is wrong.
 * @throws ConfigError if gpg cannot be run.
 */
export async function listKeySizes(
  home: GnupgHome,
  wanted: readonly (readonly [fingerprint: string, use: 'sign' | 'encrypt'])[],
): Promise<readonly (GnupgKeySize | null)[]> {
  const fingerprints = wanted.map(([fingerprint]) => fingerprint);
  const { output } = await runGpg(home, ['--with-colons', '--list-keys', '--', ...fingerprints], {});
  const certificates = output.toString('utf8').split(/^(?=pub:)/m);
  return wanted.map(([fingerprint, use]) => {
    const certificate = certificates.find((text) => text.includes(`:${fingerprint}:`));
    return certificate === undefined ? null : newestFor(certificate, use.charAt(0));
  });
}

/** Of the records of a certificate (GnuPG's doc/DETAILS), the newest valid (sub)key with that capability. */
function newestFor(certificate: string, capability: string): GnupgKeySize | null {
  const parts = certificate.split('\n').flatMap((line) => {
    const [type, validity = '', bits, algorithm, , createdAt] = line.split(':');
    const capabilities = line.split(':')[11] ?? '';
    const isForIt = (type === 'pub' || type === 'sub') && capabilities.includes(capability);
    return isForIt && !/^[eridn]/.test(validity)
      ? [{ algorithm: Number(algorithm), bits: Number(bits), createdAt: Number(createdAt) }]
      : [];
  });
  // Of equally old ones gpg takes the subkey, which comes later.
  const [newest] = parts.toReversed().toSorted((one, other) => other.createdAt - one.createdAt);
  return newest === undefined ? null : { algorithm: newest.algorithm, bits: newest.bits };
}

/**
 * The fingerprints of the keys that gpg finds valid, at least marginally: the owner of the home has certified them, or trusts
 * whoever did.
 * @throws ConfigError if gpg cannot be run.
 */
export async function listValidKeys(home: GnupgHome): Promise<readonly string[]> {
  const { output } = await mustRunGpg(home, ['--auto-check-trustdb', '--with-colons', '--list-keys'], {});
  const certificates = output.toString('utf8').split(/^(?=pub:)/m);
  return certificates.flatMap((text) => {
    const fingerprint = /^pub:[mfu]:[\s\S]*?^fpr:(?:[^:]*:){8}([0-9A-F]+):/m.exec(text)?.[1];
    return fingerprint === undefined ? [] : [fingerprint];
  });
}

/**
 * The upper-case fingerprints of the primary keys that `keyId` names, best match first as gpg has it.
 * @throws ConfigError if gpg cannot be run.
 */
export async function listFingerprints(
  home: GnupgHome,
  kind: 'public' | 'secret',
  keyId: string,
): Promise<readonly string[]> {
  const command = kind === 'public' ? '--list-keys' : '--list-secret-keys';
  const { output } = await runGpg(home, ['--with-colons', command, '--', keyId], {});
  // The first fpr record after a pub or sec record is the primary key's; those after sub and ssb are subkeys'.
  const pattern = /^(?:pub|sec):.*\n(?:(?!pub:|sec:|sub:|ssb:|fpr:).*\n)*fpr:(?:[^:]*:){8}([0-9A-F]+):/gm;
  return Array.from(output.toString('utf8').matchAll(pattern), (match) => match[1] ?? '');
}

const PASSPHRASE_FD = 3;
const STATUS_FD = 4;

interface GpgInput {
  readonly input?: string | Buffer;
  readonly passphrase?: string;
  /** Nobody sits at our terminal. */
  readonly isUnattended?: true;
  readonly limitMs?: number;
}

interface GpgResult {
  readonly status: number | null;
  readonly output: Buffer;
  /** What it wrote for `--status-fd`. */
  readonly statusText: string;
  readonly complaint: string;
}

async function exportOne(home: GnupgHome, keyId: string, options: readonly string[]): Promise<Buffer> {
  const [exported, fingerprints] = await Promise.all([
    mustRunGpg(home, [...options, '--export', '--', keyId], {}),
    listFingerprints(home, 'public', keyId),
  ]);
  mustBeOne(home, 'public', keyId, fingerprints);
  return exported.output;
}

async function mustRunGpg(home: GnupgHome, args: readonly string[], input: GpgInput): Promise<GpgResult> {
  const result = await runGpg(home, args, input);
  if (result.status !== 0) throw new ConfigError({ file: nameOf(home) }, `gpg: ${result.complaint}`);
  return result;
}

/** Keys come from the home only: looking one up on the network would tell others which bastion is meant. */
function runGpg(home: GnupgHome, args: readonly string[], input: GpgInput): Promise<GpgResult> {
  const common = [
    '--batch',
    '--quiet',
    '--no-permission-warning',
    '--no-auto-check-trustdb',
    '--no-auto-key-locate',
  ];
  const where = home.directory === null ? [] : ['--homedir', home.directory];
  const child = spawn(home.program, [...where, ...common, ...args], {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...(input.isUnattended ? { GPG_TTY: undefined } : terminalForPinentry()) },
    windowsHide: true,
    ...(input.limitMs === undefined ? {} : { timeout: input.limitMs, killSignal: 'SIGKILL' as const }),
  });
  const output: Buffer[] = [];
  const messages: Buffer[] = [];
  const statuses: Buffer[] = [];
  child.stdio[STATUS_FD]?.on('data', (chunk: Buffer) => statuses.push(chunk));
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => messages.push(chunk));
  write(child.stdin, input.input ?? '');
  write(child.stdio[PASSPHRASE_FD] as NodeJS.WritableStream, `${input.passphrase ?? ''}\n`);
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      const cause = error.code === 'ENOENT' ? 'there is no such program' : (error.code ?? error.message);
      reject(
        new ConfigError({ file: home.program }, `cannot be run: ${cause}; install GnuPG or correct GPG_EXE`),
      );
    });
    child.on('exit', (_, signal) => {
      // Whatever it started may hold on to its pipes; who killed it does not wait for that.
      if (signal === 'SIGKILL') for (const stream of child.stdio) stream?.destroy();
    });
    child.on('close', (status) => {
      resolve({
        status,
        output: Buffer.concat(output),
        statusText: Buffer.concat(statuses).toString('latin1'),
        complaint: lastLine(Buffer.concat(messages)),
      });
    });
  });
}

/** gpg-agent and its pinentry run without our terminal: gpg tells them which one it is, if it is told. */
function terminalForPinentry(): { readonly GPG_TTY?: string } {
  const descriptor = [0, 1, 2].find(isatty);
  if (process.env.GPG_TTY !== undefined || descriptor === undefined) return {};
  try {
    return { GPG_TTY: readlinkSync(`/proc/self/fd/${descriptor}`) };
  } catch {
    // Without /proc a graphical pinentry still works.
    return {};
  }
}

function write(stream: NodeJS.WritableStream, text: string | Buffer): void {
  stream.on('error', ignoreClosedPipe);
  stream.end(text);
}

/** gpg may end without reading all of its input; its exit status says the rest. */
function ignoreClosedPipe(): void {}

function lastLine(messages: Buffer): string {
  const lines = messages.toString('utf8').trim().split('\n');
  return (lines.at(-1) ?? '').replace(/^gpg: /, '') || 'failed without a message';
}

function mustBeOne(
  home: GnupgHome,
  kind: 'public' | 'secret',
  keyId: string,
  fingerprints: readonly string[],
): string {
  const [fingerprint, ...others] = fingerprints;
  if (fingerprint === undefined) throw noSuchKey(home, kind, keyId);
  if (others.length === 0) return fingerprint;
  throw new ConfigError(
    { file: nameOf(home) },
    `"${keyId}" is ambiguous; write the fingerprint of one ${kind} key: ${fingerprints.join(', ')}`,
  );
}

function noSuchKey(home: GnupgHome, kind: 'public' | 'secret', keyId: string): ConfigError {
  const list = kind === 'public' ? '--list-keys' : '--list-secret-keys';
  const where = home.directory === null ? '' : ` --homedir ${home.directory}`;
  return new ConfigError(
    { file: nameOf(home) },
    `gpg finds no ${kind} key "${keyId}" here; gpg${where} ${list} shows those it has`,
  );
}

function nameOf(home: GnupgHome): string {
  return home.directory ?? '~/.gnupg';
}
