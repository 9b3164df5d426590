import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

/** The program, bundled. */
export const BIN: string = fileURLToPath(new URL('../src/bin/spa-server.cjs', import.meta.url));
/** The key of {@link ACCESS}. */
export const KEY: string = 'c2VjcmV0LWtleS1vZi10aGUtdGVzdA==';
/** The HMAC key of {@link ACCESS}. */
export const HMAC_KEY: string = 'aG1hYy1rZXktb2YtdGhlLXRlc3Q=';
/** An access.conf with nothing to complain about. */
export const ACCESS: string = `SOURCE ANY
KEY_BASE64 ${KEY}
HMAC_KEY_BASE64 ${HMAC_KEY}
OPEN_PORTS tcp/22
REQUIRE_SOURCE_ADDRESS Y
`;

/** A configuration of its own in a folder that is gone after the test, with the daemon that its pid file names. */
export interface Setting {
  readonly folder: string;
  readonly pidFile: string;
  readonly access: string;
  readonly command: (...args: readonly string[]) => readonly string[];
}

/** What {@link makeSetting} writes. */
export interface SettingOptions {
  readonly access?: string;
  readonly config?: string;
}

/** Writes a configuration. */
export function makeSetting(t: Test, { access = ACCESS, config = '' }: SettingOptions = {}): Setting {
  const folder = mkdtempSync(join(tmpdir(), 's'));
  const pidFile = join(folder, 'run', 'fwknopd.pid');
  t.teardown(() => {
    const pid = readPid(pidFile);
    if (pid !== null) killIfThere(pid);
    rmSync(folder, { recursive: true, force: true });
  });
  const accessFile = join(folder, 'access.conf');
  writeFileSync(accessFile, access, { mode: 0o600 });
  const configFile = join(folder, 'fwknopd.conf');
  writeFileSync(configFile, `FWKNOP_RUN_DIR run\nACCESS_FILE access.conf\nFIREWALL nftables\n${config}`);
  return {
    folder,
    pidFile,
    access: accessFile,
    command: (...args) => [process.execPath, BIN, '-c', configFile, ...args],
  };
}

/** What the pid file says; null if there is none. */
export function readPid(pidFile: string): number | null {
  return existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : null;
}

/** SIGKILL. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
