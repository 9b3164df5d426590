import { ConfigError, readPrivateFile } from 'spa-host';
import { Secret } from './secret.ts';

/**
 * The key for `host` in a file of lines `host: key` (fwknop's `--get-key`). The key runs to the end of its line; of
 * several lines for one host the last counts.
 * @throws ConfigError if the file has none, cannot be read, or others can read it.
 */
export function readKeyFile(file: string, host: string): Secret {
  // Latin-1 keeps every byte of a key. Comments (# and ;) never begin with the name of a host.
  const lines = readPrivateFile(file).toString('latin1').split(/\r?\n/);
  const line = lines.findLast((candidate) => candidate.trimStart().startsWith(`${host}:`));
  const key =
    line
      ?.trimStart()
      .slice(host.length + 1)
      .trimStart() ?? '';
  if (key === '') throw new ConfigError({ file }, `there is no key for ${host}; write ${host}: KEY`);
  return new Secret(Buffer.from(key, 'latin1'));
}
