import { ConfigError } from 'spa-host';
import { parseAccessConfig, type StanzaText } from '../src/config/access-config.ts';
import type { ConfigFiles } from '../src/config/config-files.ts';
import type { ParsedConfig } from '../src/config/server-config.ts';

/** Stanzas of one file with that text. */
export function parseAccessText(file: string, text: string): ParsedConfig<readonly StanzaText[]> {
  return parseAccessConfig([file], filesOf({ [file]: text }));
}

/** Files in memory, by path. */
export function filesOf(texts: Readonly<Record<string, string>>): ConfigFiles {
  const mustHave = <T>(path: string, found: T | undefined): T => {
    if (found === undefined) throw new ConfigError({ file: path }, 'cannot be read: there is no such file');
    return found;
  };
  return {
    read: (path) => mustHave(path, texts[path]),
    list: (folder) =>
      Object.keys(texts)
        .filter((path) => path.startsWith(`${folder}/`) && path.endsWith('.conf'))
        .sort(),
  };
}
