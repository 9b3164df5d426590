import { existsSync } from 'node:fs';
import { ConfigError, type ConfigPlace, readTrustedFile } from 'spa-host';
import { warnOfMissingPrograms } from '../commands/missing-programs.ts';
import type { Stanza } from '../decision/stanza.ts';
import { loadKeys } from '../keys/load-keys.ts';
import { enrol, mustAllSign } from '../roster/enrol.ts';
import { type LoadedRoster, loadRoster } from '../roster/load-roster.ts';
import { parseAccessConfig, type StanzaText } from './access-config.ts';
import { decodeText, HOST_FILES, mustNotBePipe } from './config-files.ts';
import type { Statement } from './keywords.ts';
import { natPolicy } from './nat-config.ts';
import { type ParsedConfig, parseServerConfig, type ServerConfig } from './server-config.ts';

/** Where the configuration starts: a file, and what the command line says on top of it. */
export interface ConfigSource {
  /** Path of fwknopd.conf. */
  readonly configFile: string;
  /** Paths of files that count more, the last one most: `-O`. */
  readonly overrideFiles: readonly string[];
  readonly overrides: readonly Statement[];
}

/** All that the daemon needs to know before it starts. */
export interface Configuration {
  readonly config: ServerConfig;
  readonly stanzas: readonly Stanza[];
  /** Null: there is none. It may come into force, and has to be remembered then. */
  readonly roster: LoadedRoster | null;
  /** One line each, for the operator. */
  readonly warnings: readonly string[];
  /** Where its files mean something else to fwknopd, one line each. */
  readonly differences: readonly string[];
}

/**
 * Reads fwknopd.conf, access.conf, the keys that it names, and the roster. It changes nothing.
 * @throws ConfigError: the first thing that is wrong.
 */
export async function loadConfiguration(source: ConfigSource): Promise<Configuration> {
  const server = loadServerConfig(source);
  const config = server.value;
  const access = parseAccessConfig(accessPaths(config), HOST_FILES);
  const warnings = [...server.warnings, ...access.warnings, ...warnOfDestinations(config, access.value)];
  const warn = (line: string): void => {
    // What is wrong in fwknopd.conf may be wrong for many stanzas.
    if (!warnings.includes(line)) warnings.push(line);
  };
  const context = { nowSeconds: Math.floor(Date.now() / 1000), warn };
  warnings.push(...warnOfExpired(access.value, context.nowSeconds));
  if (config.roster !== null) mustAllSign(access.value);
  const { doorsAtDestination } = config;
  const texts = access.value.map((text) => ({
    ...text,
    ...{ nat: natPolicy(config.nat, text.natSaid, warn), doorsAtDestination },
  }));
  const stanzas = await loadKeys(texts, config.gnupg, context);
  warnings.push(...warnOfMissingPrograms(stanzas, config.commands.sudo));
  const differences = [...server.differences, ...access.differences];
  if (config.roster === null) return { config, stanzas, roster: null, warnings, differences };
  const { file } = config.roster;
  const roster = await loadRoster(config.roster, context);
  const warnAt = (line: string): void => warn(`${formatPlace(file.place)} ${line}`);
  return {
    config,
    stanzas: enrol(stanzas, roster.roster, file.place, warnAt),
    roster,
    warnings,
    differences,
  };
}

/** Reads fwknopd.conf alone: enough to find a running daemon. @throws ConfigError */
export function loadServerConfig({
  configFile,
  overrideFiles,
  overrides,
}: ConfigSource): ParsedConfig<ServerConfig> {
  const text = readConfigFile(configFile, 'config-file');
  const more = overrideFiles.map((file) => ({ file, text: readConfigFile(file, 'override-config') }));
  return parseServerConfig(configFile, text, overrides, more);
}

/** A socket on all addresses does not tell which of them a packet was sent to; a capture does. */
function warnOfDestinations(
  { reception: { datagrams, listenAddress }, doorsAtDestination }: ServerConfig,
  stanzas: readonly StanzaText[],
): readonly string[] {
  if (listenAddress !== null || datagrams.kind !== 'socket') return [];
  const nothingOpens = stanzas
    .filter(({ destinations }) => destinations !== 'any')
    .map(
      ({ place }) =>
        `${place}: SOURCE: nothing opens this stanza: which DESTINATION a packet was sent to is known with LISTEN_ADDRESS in fwknopd.conf, or by capturing (PCAP_INTF)`,
    );
  if (!doorsAtDestination) return nothingOpens;
  return [
    ...nothingOpens,
    'ENABLE_DESTINATION_RULE: doors are open at all addresses of this host: to which a packet was sent is known with LISTEN_ADDRESS, or by capturing (PCAP_INTF)',
  ];
}

function warnOfExpired(stanzas: readonly StanzaText[], nowSeconds: number): readonly string[] {
  return stanzas
    .filter(({ expiresAtSeconds }) => expiresAtSeconds !== null && expiresAtSeconds <= nowSeconds)
    .map(
      ({ place }) => `${place}: SOURCE: nothing opens this stanza: its ACCESS_EXPIRE has passed; remove it`,
    );
}

/** A folder takes the place of the file, as in fwknopd. */
function accessPaths({ accessFolder, accessFile }: ServerConfig): readonly string[] {
  if (accessFolder === null) return [accessFile];
  const paths = HOST_FILES.list(accessFolder);
  if (paths.length > 0) return paths;
  throw new ConfigError(
    { file: accessFolder },
    'there is no file *.conf in this folder; write one, or ACCESS_FILE',
  );
}

/** It says which programs run as root: nobody else may change it. `option` is the one that names the file. */
function readConfigFile(path: string, option: string): string {
  mustNotBePipe(path);
  if (existsSync(path)) return decodeText(path, readTrustedFile(path));
  throw new ConfigError(
    { file: path },
    `cannot be read: there is no such file; name another with --${option}`,
  );
}

function formatPlace({ file, line, keyword }: ConfigPlace): string {
  return `${file}:${line === undefined ? '' : `${line}:`}${keyword === undefined ? '' : ` ${keyword}:`}`;
}
