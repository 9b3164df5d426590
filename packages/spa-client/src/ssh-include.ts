import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, writePrivateFile } from 'spa-host';
import { systemHome } from './home.ts';
import { SSH_CONFIG_MARK } from './ssh-config-text.ts';

/** ssh's configuration and the file of ours that it includes. Absolute paths. */
export interface SshFiles {
  readonly config: string;
  /** In the same directory. */
  readonly managed: string;
}

/** What {@link installSshConfig} did. */
export interface Installed {
  readonly managed: 'written' | 'unchanged';
  /** `created`: there was no configuration. */
  readonly include: 'added' | 'created' | 'unchanged';
}

/** What {@link removeSshConfig} did. */
export interface Removed {
  readonly managed: 'removed' | 'absent';
  /** `deleted`: the configuration held nothing else, and had been made for it. */
  readonly include: 'removed' | 'deleted' | 'absent';
}

/**
 * The files of a run; `config`: null for the one that ssh reads, which is in the home directory that the system knows,
 * whatever `HOME` says.
 * @throws ConfigError for a path that cannot stand after `Include`.
 */
export function sshFiles(config: string | null): SshFiles {
  const file = config === null ? join(systemHome(), '.ssh', 'config') : resolve(config);
  const managed = join(dirname(file), 'sshbh_config');
  // Quotes, the signs of a pattern, and those that begin a token or a variable.
  if (/["'\\*?[\]{}%$\p{Cc}]/u.test(managed)) {
    throw new ConfigError({ file: managed }, 'cannot stand after Include; choose a plainer path');
  }
  return { config: file, managed };
}

/** A path of the person's own, as they would write it. */
export function tildePath(path: string): string {
  const home = `${systemHome()}/`;
  return path.startsWith(home) ? `~/${path.slice(home.length)}` : path;
}

/**
 * Writes the managed file and then has ssh's configuration include it, by one line at its top: below a `Host` or `Match`
 * it would be part of that. Each file is replaced in one step, or not at all if it is as it should be.
 * `format` gets whether the configuration exists only for that line, and makes the managed file, which has to tell.
 * @throws ConfigError if a file cannot be read or replaced, or the managed one is not ours.
 */
export function installSshConfig(
  files: SshFiles,
  format: (isConfigOurs: boolean) => string,
): Promise<Installed> {
  const directory = dirname(files.managed);
  orComplain(directory, 'cannot be made', () => mkdirSync(directory, { recursive: true, mode: 0o700 }));
  return alone(files.managed, () => {
    const path = tildePath(files.managed);
    const before = readBytes(files.config);
    const present = readManaged(files);
    const isIncluded = before !== null && includes(before, path);
    const text = format(before === null || (isIncluded && isConfigOurs(present)));
    const isWritten = present !== text;
    if (isWritten) writePrivateFile(files.managed, text);
    if (isIncluded) return { managed: isWritten ? 'written' : 'unchanged', include: 'unchanged' };
    replaceConfig(files, before, withInclude(before ?? '', path));
    return { managed: isWritten ? 'written' : 'unchanged', include: before === null ? 'created' : 'added' };
  });
}

/**
 * Undoes {@link installSshConfig}: the configuration is byte for byte what it was.
 * @throws ConfigError if a file cannot be read or replaced, or the managed one is not ours.
 */
export async function removeSshConfig(files: SshFiles): Promise<Removed> {
  if (lstatSync(dirname(files.managed), { throwIfNoEntry: false }) === undefined) return NOTHING;
  return alone(files.managed, () => {
    const present = readManaged(files);
    const include = removeInclude(files, isConfigOurs(present));
    if (present !== null) unlinkSync(files.managed);
    return { managed: present === null ? 'absent' : 'removed', include };
  });
}

/** A remark for the managed file: see {@link installSshConfig}. */
export const CONFIG_IS_OURS = 'The file that includes this one was made for that.';

/**
 * The text of a configuration (bytes as Latin-1) that includes `path` in its first line.
 * A line of ours elsewhere goes: below a `Host` it would not count.
 */
export function withInclude(text: string, path: string): string {
  const eol = /^[^\n]*\r\n/.test(text) ? '\r\n' : '\n';
  return `${includeLine(path)}${eol}${withoutInclude(text, path)}`;
}

/** The text without the lines that include `path`. */
export function withoutInclude(text: string, path: string): string {
  return splitLines(text)
    .filter((line) => !isInclude(line, path))
    .join('');
}

const NOTHING: Removed = { managed: 'absent', include: 'absent' };

/** True if the line is there and holds for every host. */
function includes(text: string, path: string): boolean {
  const lines = splitLines(text);
  const block = lines.findIndex((line) => /^\s*(host|match)[\s="]/i.test(line));
  return lines.slice(0, block < 0 ? lines.length : block).some((line) => isInclude(line, path));
}

function isInclude(line: string, path: string): boolean {
  return line.trim() === includeLine(path);
}

function includeLine(path: string): string {
  const bytes = Buffer.from(path, 'utf8').toString('latin1');
  return `Include ${bytes.includes(' ') ? `"${bytes}"` : bytes}`;
}

/** Lines with their ends. */
function splitLines(text: string): readonly string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function removeInclude({ config, managed }: SshFiles, isOurs: boolean): Removed['include'] {
  const path = tildePath(managed);
  const before = readBytes(config);
  const after = withoutInclude(before ?? '', path);
  if (before === null || after === before) return 'absent';
  if (isOurs && after === '' && lstatSync(config).isFile()) {
    unlinkSync(config);
    return 'deleted';
  }
  replaceConfig({ config, managed }, before, after);
  return 'removed';
}

function readManaged({ managed }: SshFiles): string | null {
  const bytes = readBytes(managed);
  if (bytes === null) return null;
  const text = Buffer.from(bytes, 'latin1').toString('utf8');
  if (text.startsWith(SSH_CONFIG_MARK)) return text;
  throw new ConfigError({ file: managed }, 'is not from sshbh config; move it away');
}

function isConfigOurs(managed: string | null): boolean {
  return managed?.split('\n').includes(`# ${CONFIG_IS_OURS}`) ?? false;
}

/** Bytes as Latin-1: a person's file is in whatever encoding. Null if there is none. */
function readBytes(file: string): string | null {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && !isLink(file)) return null;
    const reason = isLink(file) ? 'is a symbolic link to nothing' : 'cannot be read';
    throw new ConfigError({ file }, `${reason} (${codeOf(error)})`);
  }
}

function isLink(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** Replaces the configuration, or what it links to, in one step; mode and owner stay. `before`: null if there is none. */
function replaceConfig({ config, managed }: SshFiles, before: string | null, after: string): void {
  let draft: string | null = null;
  try {
    const target = before === null ? config : realpathSync(config);
    const stats = statSync(target, { throwIfNoEntry: false });
    if (stats !== undefined && (stats.mode & 0o200) === 0) throw new Refusal('is read-only');
    const path = `${target}.${randomBytes(6).toString('hex')}`;
    const descriptor = openSync(path, 'wx', 0o600);
    draft = path;
    writeDraft(descriptor, after, stats);
    if (readBytes(target) !== before) throw new Refusal('was changed by somebody else in this moment');
    renameSync(draft, target);
  } catch (error) {
    if (draft !== null) unlinkSync(draft);
    const reason = error instanceof Refusal ? error.message : `cannot be replaced (${codeOf(error)})`;
    const line = Buffer.from(includeLine(tildePath(managed)), 'latin1').toString('utf8');
    const advice = includes(after, tildePath(managed)) ? 'write this as its first line' : 'delete this line';
    throw new ConfigError({ file: config }, `${reason}; ${advice} yourself: ${line}`);
  }
}

/** Why a file is left alone. */
class Refusal extends Error {}

function writeDraft(descriptor: number, text: string, like: Stats | undefined): void {
  try {
    writeFileSync(descriptor, text, 'latin1');
    if (like !== undefined) {
      if (like.uid !== process.getuid?.() || like.gid !== process.getgid?.()) {
        fchownSync(descriptor, like.uid, like.gid);
      }
      fchmodSync(descriptor, like.mode & 0o7777);
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const PATIENCE_MS = 10_000;

/** Runs `work` while no other run works on the same file. */
async function alone<Result>(file: string, work: () => Result): Promise<Result> {
  const lock = `${file}.lock`;
  const claim = `${lock}.${randomBytes(6).toString('hex')}`;
  orComplain(dirname(file), 'cannot be written to', () =>
    writeFileSync(claim, String(process.pid), { mode: 0o600, flag: 'wx' }),
  );
  try {
    for (const giveUpAt = Date.now() + PATIENCE_MS; !tryLink(claim, lock); await delay(10)) {
      if (Date.now() > giveUpAt)
        throw new ConfigError({ file: lock }, 'another run does not end; delete this file');
    }
    try {
      return work();
    } finally {
      unlinkSync(lock);
    }
  } finally {
    unlinkSync(claim);
  }
}

/** A link is made with its content, so a lock always tells whose it is; one of a dead process is cleared away. */
function tryLink(claim: string, lock: string): boolean {
  try {
    linkSync(claim, lock);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    const owner = readBytes(lock);
    if (owner !== null && !isAlive(Number(owner))) unlinkSync(lock);
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** @throws ConfigError if the system refuses `work`. */
function orComplain(file: string, problem: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw new ConfigError({ file }, `${problem} (${codeOf(error)})`);
  }
}

function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return code;
}
