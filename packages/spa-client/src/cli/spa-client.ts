import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync } from 'node:fs';
import {
  digestLength,
  formatGeneratedKeys,
  formatNatTarget,
  formatRequest,
  generateKeys,
  type IpAddress,
  type Message,
  natTargetOf,
  openPacket,
  PROTOCOL_VERSION,
  parsePacket,
  type Request,
  SPA_PORT,
  sealPacket,
} from 'spa-core';
import { ConfigError, ExitCode, readKeyLengths, UsageError, writePrivateFile } from 'spa-host';
import { compose, type Destination, destinationOf } from '../compose.ts';
import type { DumpedPacket } from '../dump.ts';
import { isSigned, loadPacketKeys, type PacketKeys } from '../packet-keys.ts';
import { DEFAULT_STANZA, parseRcFile, type RcFile, readRcFile, stanzaSettings } from '../rc-file.ts';
import { randomPort, resolveServer, type Server, sendPacket } from '../send.ts';
import type { Settings } from '../settings.ts';
import { clientHelp } from './client-help.ts';
import { type ClientCommand, type Orders, parseClientCommand } from './client-options.ts';
import { currentUsername, defaultRcFile, packageVersion, print, runProgram, say } from './program.ts';
import { secretSource } from './secret-source.ts';

/** spa-client: fwknop's client. */
export function runSpaClient(): Promise<void> {
  return runProgram('spa-client', main, { connection: ExitCode.failure });
}

async function main(argv: readonly string[]): Promise<number> {
  const given = parseClientCommand(argv);
  const { orders } = given;
  if (orders.help) return print(clientHelp());
  if (orders.version)
    return print(`spa-client ${packageVersion()}, FKO protocol version ${PROTOCOL_VERSION}\n`);
  if (orders['key-gen'] || orders['key-gen-file'] !== undefined) return makeKeys(given);
  if (orders['show-last'] || orders['last-cmd']) return repeatLast(given);
  return run(given, true);
}

async function repeatLast(given: ClientCommand): Promise<number> {
  const { lastCommand, showLast } = await import('./last-command.ts');
  return given.orders['show-last'] ? showLast(given) : run(lastCommand(given), false);
}

/** `isNew`: the command line was typed, and may be saved. */
async function run(command: ClientCommand, isNew: boolean): Promise<number> {
  const { orders } = command;
  if (orders['force-stanza'] && !orders['save-rc-stanza'])
    throw new UsageError('--force-stanza goes with --save-rc-stanza; give that too');
  if (orders['save-rc-stanza']) {
    const { saveStanza } = await import('./save-stanza.ts');
    await saveStanza(command, []);
  }
  const rcFile = openRcFile(command);
  if (orders['stanza-list']) return listStanzas(rcFile);
  // What was saved is no more than the options say.
  const stanza = orders['save-rc-stanza'] ? null : (orders['named-config'] ?? null);
  const settings = { ...stanzaSettings(rcFile, stanza), ...command.settings };
  const isSaved = settings.savesArguments || orders['save-args-file'] !== undefined;
  if (isNew && isSaved && command.settings.savesArguments !== false) {
    const { saveCommand } = await import('./last-command.ts');
    saveCommand(command);
  }
  return knock(command, settings);
}

async function knock({ orders, exposedSecrets }: ClientCommand, settings: Settings): Promise<number> {
  const append = orders['save-packet-append'] === true;
  const file = orders['save-packet'];
  if (append && file === undefined) throw new UsageError('-b appends to the file of -B; give -B FILE too');
  for (const option of exposedSecrets) {
    say(`spa-client: ${option} shows the key to everybody who lists processes; write it into the rc file`);
  }
  const isVerbose = (settings.verbose ?? 0) > 0;
  const own = settings.allowIp === 'resolve' ? await resolveOwnAddress(settings, orders, isVerbose) : null;
  const allowIp = settings.allowIp === 'resolve' ? own?.address : settings.allowIp;
  const nowSeconds = Math.floor(Date.now() / 1000);
  const composition = compose(
    { ...settings, allowIp },
    { nowSeconds, random: randomBytes, username: currentUsername() },
  );
  const destination = orders.test ? null : portChosen(mustHaveServer(composition.destination));
  const keys = await loadPacketKeys(settings, secretSource(secretDescriptor(orders)));
  const packet = await sealPacket(composition.message, keys, { nowSeconds, random: randomBytes });
  if (!isSigned(settings)) {
    say(
      'spa-client: nobody signs this packet, and only a server with GPG_DISABLE_SIG takes it; give --gpg-signer-key KEY (GPG_SIGNER in the rc file)',
    );
  }
  if (file !== undefined) savePacket(file, packet, append);

  if (settings.natRandPort) print(formatRandomPort(composition.message.request));
  const { formatDump } = await import('../dump.ts');
  const dump = { settings, hmac: dumpedHmac(keys, packet), finalData: packet };
  if (isVerbose || orders.test) print(`${formatDump(composition.message, dump)}\n`);
  if (isVerbose) print(formatRoute(settings, destination));
  if (destination !== null)
    await sendPacket(packet, await firstHop(destination, own?.server ?? null), destination);
  else print('test mode enabled, SPA packet not actually sent.\n');
  if (isVerbose) print(`send_spa_packet: bytes sent: ${destination === null ? 0 : packet.length}\n`);
  if (orders.test) {
    const opened = await openAgain(packet, keys, nowSeconds);
    const finalData = packet.slice(0, packet.length - (dump.hmac?.mac.length ?? 0));
    const again =
      opened === null ? 'Only the server can decode it.\n' : formatDump(opened, { ...dump, finalData });
    if (isVerbose) print(`\nDump of the Decoded Data\n${again}\n`);
  }
  return ExitCode.ok;
}

/** A random port is printed, so it is chosen before the packet is sent. */
function portChosen(destination: Destination): Destination {
  return { ...destination, port: destination.port ?? randomPort() };
}

/** `known`: where the own address was asked for; null: nowhere. */
async function firstHop(destination: Destination, known: Server | null): Promise<Server> {
  const { proxy } = destination;
  if (proxy === null) return known ?? resolveServer(destination);
  return resolveServer({ host: proxy.host, family: null, preferredFamily: null });
}

interface OwnAddress {
  readonly address: IpAddress;
  /** Where the packet is to go: the address was asked in this one's family. Null: nowhere. */
  readonly server: Server | null;
}

/** Without a server (`-T`) it is the IPv4 address, as for fwknop. */
async function resolveOwnAddress(
  settings: Settings,
  orders: Orders,
  isVerbose: boolean,
): Promise<OwnAddress> {
  const found = destinationOf(settings);
  const destination = orders.test ? found : mustHaveServer(found);
  const { ownAddress, resolversOf } = await import('../own-address.ts');
  const resolvers = resolversOf(settings);
  const server = destination === null ? null : await resolveServer(destination);
  const address = await ownAddress({
    resolvers,
    family: server?.family ?? 4,
    ...(server === null ? {} : { towards: server.address }),
    ...(isVerbose ? { note: (line: string) => say(`spa-client: ${line}`) } : {}),
  });
  return { address, server };
}

/** fwknop lets -T run without a server; everything else needs one. */
function mustHaveServer(destination: Destination | null): Destination {
  if (destination !== null) return destination;
  throw new UsageError('which server? give -D HOST, or -n NAME of a stanza with SPA_SERVER');
}

function openRcFile({ orders }: ClientCommand): RcFile {
  const named = orders['rc-file'];
  const isOff = orders['no-rc-file'] || (orders['no-home-dir'] && named === undefined);
  if (!isOff) {
    const file = named ?? defaultRcFile();
    const isNeeded = named !== undefined || orders['named-config'] !== undefined || orders['stanza-list'];
    if (isNeeded || existsSync(file)) return readRcFile(file);
  }
  if (orders['named-config'] !== undefined) throw new UsageError('-n needs an rc file');
  if (orders['stanza-list']) throw new UsageError('--stanza-list needs an rc file');
  return parseRcFile('no rc file', '');
}

/** As fwknop prints them: all that `-n` can name, but the default. */
function listStanzas(rcFile: RcFile): number {
  const named = rcFile.stanzas.filter(({ name }) => name.toLowerCase() !== DEFAULT_STANZA);
  const names = named.map(({ name }) => ` - ${name}\n`).join('');
  return print(`The following stanzas are configured in ${rcFile.file} :\n${names}`);
}

async function makeKeys(command: ClientCommand): Promise<number> {
  const { orders, settings } = command;
  const keys = generateKeys(settings.hmacDigest ?? 'sha256', readKeyLengths(orders), randomBytes);
  if (orders['save-rc-stanza']) {
    const { saveStanza } = await import('./save-stanza.ts');
    const saved = await saveStanza(command, keys);
    return saved === null
      ? ExitCode.failure
      : print(`[+] Wrote Rijndael and HMAC keys to rc file: ${saved}\n`);
  }
  const text = formatGeneratedKeys(keys);
  const file = orders['key-gen-file'];
  if (file === undefined) return print(text);
  writePrivateFile(file, text);
  return print(`[+] Wrote Rijndael and HMAC keys to: ${file}\n`);
}

/** Descriptor that a secret comes from; null: none. */
function secretDescriptor({ stdin, fd }: Orders): number | null {
  if (stdin) return 0;
  if (fd === undefined) return null;
  if (!/^\d{1,4}$/.test(fd)) throw new UsageError(`--fd: "${fd}" is no file descriptor`);
  return Number(fd);
}

function savePacket(file: string, packet: string, append: boolean): void {
  try {
    if (append) appendFileSync(file, `${packet}\n`, { mode: 0o600 });
    else writePrivateFile(file, `${packet}\n`);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError({ file }, `cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function dumpedHmac({ hmac }: PacketKeys, packet: string): DumpedPacket['hmac'] {
  if (hmac === null) return null;
  return { digest: hmac.digest, mac: packet.slice(-digestLength(hmac.digest)) };
}

/** fwknop's own line: nobody could use a port that is not known. A command has none. */
function formatRandomPort(request: Request): string {
  if (request.kind === 'command') return '';
  const target = natTargetOf(request);
  const leads = target === null ? '' : ` will grant access to: '${formatNatTarget(target)}'`;
  return `[+] Randomly assigned port '${request.ports[0]?.port}' on: '${formatRequest(request)}'${leads}\n`;
}

function formatRoute(settings: Settings, destination: Destination | null): string {
  const rows: readonly (readonly [string, string | number])[] = [
    ['protocol', settings.protocol ?? 'udp'],
    ['source port', settings.sourcePort ?? '<OS assigned>'],
    ['destination port', destination?.port ?? settings.serverPort ?? SPA_PORT],
    ['IP/host', settings.server ?? '<NULL>'],
  ];
  const lines = rows.map(([label, value]) => `${label.padStart(20)}: ${value}\n`).join('');
  return `Generating SPA packet:\n${lines}`;
}

/** Null: only the recipient's secret key opens the packet. */
async function openAgain(packet: string, keys: PacketKeys, nowSeconds: number): Promise<Message | null> {
  if (keys.encryption.kind !== 'aes') return null;
  const opened = await openPacket(
    parsePacket(Buffer.from(packet, 'latin1')),
    { kind: 'aes', key: keys.encryption.key, hmac: keys.hmac },
    { nowSeconds },
  );
  return opened.message;
}
