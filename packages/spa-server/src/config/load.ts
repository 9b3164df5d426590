import { readFileSync } from 'node:fs';
import { ConfigError, readPrivateFile } from 'spa-host';
import type { Stanza } from '../decision/stanza.ts';
import { loadKeys } from '../keys/load-keys.ts';
import { parseAccessConfig } from './access-config.ts';
import type { Statement } from './keywords.ts';
import { type Parsed, parseServerConfig, type ServerConfig } from './server-config.ts';

/** Where the configuration starts: a file, and what the command line says on top of it. */
export interface ConfigSource {
  /** Path of fwknopd.conf. */
  readonly configFile: string;
  readonly overrides: readonly Statement[];
}

/** All that the daemon needs to know before it starts. */
export interface Configuration {
  readonly config: ServerConfig;
  readonly stanzas: readonly Stanza[];
  /** One line each, for the operator. */
  readonly warnings: readonly string[];
}

/**
 * Reads fwknopd.conf, access.conf and the keys that it names.
 * @throws ConfigError: the first thing that is wrong.
 */
export async function loadConfiguration(source: ConfigSource): Promise<Configuration> {
  const { value: config, warnings } = loadServerConfig(source);
  const access = parseAccessConfig(
    config.accessFile,
    decodeText(config.accessFile, readPrivateFile(config.accessFile)),
  );
  const stanzas = await loadKeys(access.value, config.gnupg);
  return { config, stanzas, warnings: [...warnings, ...access.warnings] };
}

/** Reads fwknopd.conf alone: enough to find a running daemon. @throws ConfigError */
export function loadServerConfig({ configFile, overrides }: ConfigSource): Parsed<ServerConfig> {
  return parseServerConfig(configFile, decodeText(configFile, readConfigFile(configFile)), overrides);
}

function readConfigFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    const reason = code === 'ENOENT' ? 'there is no such file; name another with --config-file' : message;
    throw new ConfigError({ file: path }, `cannot be read: ${reason}`);
  }
}

function decodeText(path: string, data: Buffer): string {
  const text = data.toString('utf8');
  if (text.includes('\0')) throw new ConfigError({ file: path }, 'this is no text file; name another');
  return text;
}
