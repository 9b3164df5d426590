import { type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { readGuardedFile, readPrivateFile } from 'spa-host';
import { homeDirectory } from '../home.ts';
import { readKeyFile } from '../key-file.ts';
import type { Settings } from '../settings.ts';
import { type Check, makeCheck } from './check.ts';
import { bad, complaint, type Finding, ok, warn } from './finding.ts';

/** The files and the GnuPG home that the settings name: that they are there, and who else can get at them. */
export const keyFilesCheck: Check = makeCheck({
  name: 'key-files',
  run: async ({ bastion: { settings } }) => ({
    findings: ROWS.flatMap((row) => row(settings)),
  }),
});

/** One row for each setting that names a file. */
const ROWS: readonly ((settings: Settings) => readonly Finding[])[] = [
  ({ key, server, useGpg }) =>
    key?.kind === 'file' && !useGpg ? [keyFile('KEY_FILE', key.path, server)] : [],
  ({ hmacKey, server }) => (hmacKey?.kind === 'file' ? [keyFile('HMAC_KEY_FILE', hmacKey.path, server)] : []),
  ({ useGpg, gpgSignerKeyFile: path }) => (useGpg && path !== undefined ? [signerFile(path)] : []),
  ({ useGpg, gpgRecipientKeyFile: path }) => (useGpg && path !== undefined ? [recipientFile(path)] : []),
  (settings) => (settings.useGpg && usesHome(settings) ? [gpgHome(settings)] : []),
];

function keyFile(keyword: string, path: string, server = ''): Finding {
  return reading(`${keyword} ${path}`, `has a key for ${server}`, () => readKeyFile(path, server));
}

function signerFile(path: string): Finding {
  return reading(`GPG_SIGNER_KEY_FILE ${path}`, 'is yours alone', () => readPrivateFile(path));
}

/** A certificate is no secret, but who can write it can put his own in its place. */
function recipientFile(path: string): Finding {
  const finding = reading(`GPG_RECIPIENT_KEY_FILE ${path}`, 'is there', () => readGuardedFile(path));
  if (finding.state !== 'ok' || !othersCan(statSync(path), WRITE)) return finding;
  return bad('key-files', `others can put another key into ${path}`, `run: chmod go-w ${path}`);
}

function usesHome({ gpgSignerKeyFile, gpgRecipientKeyFile }: Settings): boolean {
  return gpgSignerKeyFile === undefined || gpgRecipientKeyFile === undefined;
}

function gpgHome({ gpgHome: configured }: Settings): Finding {
  const path = configured ?? process.env.GNUPGHOME ?? join(homeDirectory(), '.gnupg');
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    return bad(
      'key-files',
      `there is no GnuPG home ${path}`,
      'correct GPG_HOMEDIR, or import your keys with gpg',
    );
  }
  if (!stats.isDirectory()) {
    return bad('key-files', `${path} is no folder`, 'write the folder of the keys into GPG_HOMEDIR');
  }
  if (isForeign(stats)) {
    const todo = `run: sudo chown -R ${process.getuid?.()} ${path}`;
    return bad('key-files', `GnuPG home ${path} belongs to user ${stats.uid}`, todo);
  }
  if (othersCan(stats, WRITE)) {
    return bad('key-files', `others can write into GnuPG home ${path}`, `run: chmod 700 ${path}`);
  }
  if (othersCan(stats, ANY)) {
    return warn('key-files', `others can look into GnuPG home ${path}`, `run: chmod 700 ${path}`);
  }
  return ok('key-files', `GnuPG home ${path} is yours alone`);
}

const WRITE = 0o022;
const ANY = 0o077;

function othersCan(stats: Stats, what: number): boolean {
  return process.platform !== 'win32' && (stats.mode & what) !== 0;
}

function isForeign({ uid }: Stats): boolean {
  const self = process.getuid?.();
  return self !== undefined && self !== 0 && uid !== self;
}

function reading(what: string, success: string, read: () => unknown): Finding {
  try {
    read();
    return ok('key-files', `${what} ${success}`);
  } catch (error) {
    const finding = complaint('key-files', error, 'correct the path in the rc file');
    if (finding === null) throw error;
    return finding;
  }
}
