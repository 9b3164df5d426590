import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The NTP servers that this system is set up to ask; if it says nothing of any, the public pool. At most three. */
export function systemNtpServers(root = '/'): readonly string[] {
  const texts = FILES.flatMap((file) => readAll(join(root, file)));
  const servers = [...new Set(texts.flatMap(ntpServersIn))];
  return (servers.length === 0 ? [POOL] : servers).slice(0, MAX_SERVERS);
}

/**
 * The servers that a configuration file names: `server`, `pool` and `peer` lines of ntpd's and chrony's, `NTP=` and then
 * `FallbackNTP=` of systemd's timesyncd. Reference clocks (127.127.*) are none.
 */
export function ntpServersIn(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => line.trim());
  const named = (pattern: RegExp): readonly string[] =>
    lines.flatMap((line) => pattern.exec(line)?.[1]?.split(/\s+/) ?? []);
  return [
    ...named(/^(?:server|pool|peer)\s+(?:-[46]\s+)?(\S+)/i),
    ...named(/^NTP\s*=\s*(\S.*)$/),
    ...named(/^FallbackNTP\s*=\s*(\S.*)$/),
  ].filter((server) => /^[\w.:-]+$/.test(server) && !server.startsWith('127.127.'));
}

const POOL = 'pool.ntp.org';
const MAX_SERVERS = 3;
const FILES = [
  'etc/systemd/timesyncd.conf.d',
  'etc/systemd/timesyncd.conf',
  'etc/chrony/chrony.conf',
  'etc/chrony/sources.d',
  'etc/chrony.conf',
  'etc/ntpsec/ntp.conf',
  'etc/ntp.conf',
];

/** The text of a file, or of those in a folder; none if it cannot be read. */
function readAll(path: string): readonly string[] {
  try {
    return [readFileSync(path, 'utf8')];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EISDIR') return [];
    return readdirSync(path)
      .sort()
      .flatMap((name) => readAll(join(path, name)));
  }
}
