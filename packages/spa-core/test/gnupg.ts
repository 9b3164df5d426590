import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RawCertificate, readRawCertificates, readSecretKeys, type SecretKey } from 'spa-core';
import type { Test } from 'tap';

const hasGpg = spawnSync('gpg', ['--version']).status === 0;
if (!hasGpg && process.env.CI) throw new Error('in CI nothing is skipped: gpg is not installed');

/** For `t.test`: false, or why tests with gpg are skipped. */
export const skip: false | string = hasGpg ? false : 'gpg is not installed';

/** 2026-01-01T00:00:00Z: the time of all keys and signatures unless a test says otherwise. */
export const START = 1_767_225_600;
export const DAY = 86_400;

/** A GnuPG home of a test. */
export interface Home {
  /** Runs gpg at that time, with that input; what it printed. */
  readonly gpg: (args: readonly string[], atSeconds?: number, input?: string | Buffer) => string;
  /** The same, binary. */
  readonly gpgBytes: (args: readonly string[], atSeconds?: number, input?: string | Buffer) => Buffer;
  /** Makes a key pair for `NAME <NAME@example.com>`; its fingerprint. */
  readonly key: (name: string, options?: KeyOptions) => string;
  /** The certificate, with its local certifications. */
  readonly raw: (name: string) => RawCertificate;
  readonly secret: (name: string) => Promise<SecretKey>;
}

/** As gpg's `--quick-generate-key` takes them. */
export interface KeyOptions {
  readonly algorithm?: string;
  readonly usage?: string;
  readonly expiry?: string;
}

/** A new home, which ends with the test. */
export function createHome(t: Test): Home {
  const directory = mkdtempSync(join(tmpdir(), 'c'));
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', directory, '--kill', 'all']);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });
  writeFileSync(join(directory, 'gpg.conf'), 'no-auto-check-trustdb\ntrust-model always\n');
  const gpgBytes: Home['gpgBytes'] = (args, atSeconds = START, input = '') =>
    execFileSync(
      'gpg',
      [
        ...['--homedir', directory, '--batch', '--quiet', '--yes', '--no-tty', '--pinentry-mode', 'loopback'],
        ...['--passphrase', '', '--faked-system-time', `${atSeconds}!`, ...args],
      ],
      { input, stdio: ['pipe', 'pipe', 'pipe'] },
    );
  const gpg: Home['gpg'] = (...args) => gpgBytes(...args).toString();
  const user = (name: string): string => `${name}@example.com`;
  return {
    gpg,
    gpgBytes,
    key: (name, { algorithm = 'ed25519', usage = 'cert,sign', expiry = 'never' } = {}) => {
      gpg(['--quick-generate-key', `${name} <${user(name)}>`, algorithm, usage, expiry]);
      const listed = gpg(['--with-colons', '--list-keys', user(name)]);
      return /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? '';
    },
    raw: (name) => {
      const options = ['--export-options', 'export-local-sigs', '--export', user(name)];
      const [raw] = readRawCertificates(gpgBytes(options));
      if (raw === undefined) throw new Error(`gpg exported nothing for ${name}`);
      return raw;
    },
    secret: async (name) => {
      const [secret] = await readSecretKeys(gpgBytes(['--export-secret-keys', user(name)]));
      if (secret === undefined) throw new Error(`gpg exported nothing for ${name}`);
      return secret;
    },
  };
}
