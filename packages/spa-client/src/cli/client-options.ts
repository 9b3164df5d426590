import { formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import type { RcLine } from '../rc-stanza.ts';
import {
  type Keyword,
  readCommand,
  readHttpProxy,
  readSetting,
  type Settings,
  ValueError,
} from '../settings.ts';

/** What a command line of spa-client says. */
export interface ClientCommand {
  /** Settings that override the rc file's. */
  readonly settings: Settings;
  readonly orders: Orders;
  /** The same settings as lines of an rc file. */
  readonly rcLines: readonly RcLine[];
  /** Given options that no line of an rc file can say. */
  readonly withoutKeyword: readonly string[];
  /** The same command line in long options, without those that `-l` does not repeat. */
  readonly words: readonly string[];
  /** Without the keys too: that there is an HMAC is still said. */
  readonly wordsToSave: readonly string[];
  /** Given options that put a secret where every user of the machine can read it. */
  readonly exposedSecrets: readonly string[];
}

/** The options that set nothing but say what to do, by long name. */
export interface Orders {
  readonly stdin?: true;
  readonly fd?: string;
  readonly 'named-config'?: string;
  readonly 'rc-file'?: string;
  readonly 'no-rc-file'?: true;
  readonly 'no-home-dir'?: true;
  readonly 'stanza-list'?: true;
  readonly 'save-rc-stanza'?: true;
  readonly 'force-stanza'?: true;
  readonly 'last-cmd'?: true;
  readonly 'show-last'?: true;
  readonly 'save-args-file'?: string;
  readonly test?: true;
  readonly 'save-packet'?: string;
  readonly 'save-packet-append'?: true;
  readonly 'key-gen'?: true;
  readonly 'key-gen-file'?: string;
  readonly 'key-len'?: string;
  readonly 'hmac-key-len'?: string;
  readonly version?: true;
  readonly help?: true;
}

/**
 * Reads spa-client's command line.
 * @throws UsageError for what is unknown, refused, wrong, or contradicts itself.
 */
export function parseClientCommand(argv: readonly string[]): ClientCommand {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (positionals.length > 0)
    throw new UsageError(`what is "${positionals[0]}"? every value belongs to an option`);
  const given = OPTIONS.filter((row) => values[row.long] !== undefined);
  checkConflicts(given.map((row) => row.long));
  const settings: Settings = Object.assign({}, ...given.map((row) => settingsOf(row, values[row.long])));
  return {
    settings,
    rcLines: rcLinesOf(
      given.flatMap((row) => rcLineOf(row, values[row.long]) ?? []),
      settings,
    ),
    withoutKeyword: given.filter((row: ClientOption) => row.read !== undefined).map((row) => `--${row.long}`),
    orders: values,
    words: given.flatMap((row) => wordsOf(row, values[row.long])),
    wordsToSave: given.flatMap((row) => wordsToSave(row, values[row.long])),
    exposedSecrets: given.filter((row: ClientOption) => row.secret).map((row) => `--${row.long}`),
  };
}

/**
 * The words of a command line without its keys, for a person to read.
 * What stands after a key is taken for a part of it: fwknop saves keys with blanks as they are.
 */
export function withoutSecrets(words: readonly string[]): readonly string[] {
  const shown: string[] = [];
  let isWithinSecret = false;
  for (const word of words) {
    const [name = ''] = word.split('=', 1);
    if (word.startsWith('-')) isWithinSecret = isSecretOption(name);
    else if (isWithinSecret) continue;
    shown.push(isWithinSecret ? `${name}=[secret]` : word);
  }
  return shown;
}

/** The options' part of the help: those that work, by group. */
export function formatClientOptions(): string {
  return GROUPS.map(([group, title]) => {
    const rows = OPTIONS.filter((row: ClientOption) => row.group === group);
    return `${title}:\n${formatOptions(rows)}`;
  }).join('\n\n');
}

/** An option of fwknop or ours: a short way to write a keyword of the rc file, an order to the program, or a refusal. */
interface ClientOption extends Option {
  /** Where the help lists it; none for another spelling of an option, and for one that is refused or has no effect. */
  readonly group?: (typeof GROUPS)[number][0];
  readonly keyword?: Keyword;
  /** The keyword's value: of an option without argument, or made from its argument. */
  readonly value?: string | ((argument: string) => string);
  /** What is wanted too. */
  readonly implies?: Settings;
  /** What it says if no keyword can say it. */
  readonly read?: (argument: string) => Settings;
  readonly secret?: true;
  /** `-l` does not repeat it. */
  readonly once?: true;
  /** Why it is not taken. */
  readonly refused?: string;
}

type OptionValue = string | number | true | undefined;

const GROUPS = [
  ['what', 'What to open, and for whom'],
  ['nat', 'Through the server'],
  ['where', 'Where to send the packet'],
  ['shared', 'Shared keys (AES, HMAC)'],
  ['gpg', 'OpenPGP keys'],
  ['message', 'More about the message'],
  ['rc', 'The rc file'],
  ['saved', 'The last command line'],
  ['do', 'What to do'],
] as const;

const GPG: Settings = { useGpg: true };
const HMAC: Settings = { useHmac: true };
const RAW = 'that takes a raw socket, which only root has; leave it out, and send by -P udp, tcp or http';

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { group: 'what', long: 'access', short: 'A', argument: 'LIST', keyword: 'ACCESS', help: 'ports to open: tcp/22 or tcp/22,udp/53' },
  { group: 'what', long: 'allow-ip', short: 'a', argument: 'ADDRESS', keyword: 'ALLOW_IP', help: 'open for this address (IPv6: see below)' },
  { group: 'what', long: 'source-ip', short: 's', keyword: 'ALLOW_IP', value: 'source', help: 'open for the address that the packet comes from' },
  { group: 'what', long: 'resolve-ip-https', short: 'R', keyword: 'ALLOW_IP', value: 'resolve', help: 'open for the address that web services see' },
  { group: 'what', long: 'resolve-url', argument: 'URL[,URL...]', keyword: 'RESOLVE_URL', help: 'ask these instead of three well-known ones; more than half must agree' },
  { group: 'what', long: 'resolve-http-only', keyword: 'RESOLVE_HTTP_ONLY', value: 'Y', help: 'let them be http://: anybody on the way can forge the answer' },
  { group: 'what', long: 'user-agent', short: 'u', argument: 'TEXT', keyword: 'HTTP_USER_AGENT', help: 'what they, and servers of HTTP, are told of the program' },
  { group: 'what', long: 'fw-timeout', short: 'f', argument: 'SECONDS', keyword: 'FW_TIMEOUT', help: 'how long to keep the door open; 0: as the server likes' },
  { group: 'what', long: 'server-cmd', short: 'C', argument: 'COMMAND', read: readCommand, help: 'have the server run this instead, if it may' },

  { group: 'nat', long: 'nat-access', short: 'N', argument: 'HOST[:PORT]', keyword: 'NAT_ACCESS', help: 'the port of -A leads to this host behind the server' },
  { group: 'nat', long: 'nat-local', keyword: 'NAT_LOCAL', value: 'Y', help: 'it leads to a port of the server itself (with --nat-port)' },
  { group: 'nat', long: 'nat-port', argument: 'PORT', keyword: 'NAT_PORT', help: 'the port to connect to from outside; -A is the one inside' },
  { group: 'nat', long: 'nat-rand-port', keyword: 'NAT_RAND_PORT', value: 'Y', help: 'any port from 10000 up; it is printed' },

  { group: 'where', long: 'destination', short: 'D', argument: 'HOST', keyword: 'SPA_SERVER', help: 'the server: a name, an IPv4 or an IPv6 address' },
  { group: 'where', long: 'server-port', short: 'p', argument: 'PORT', keyword: 'SPA_SERVER_PORT', help: 'its UDP port (62201)' },
  { group: 'where', long: 'server-proto', short: 'P', argument: 'udp|tcp|http', keyword: 'SPA_SERVER_PROTO', help: 'how to send it (udp)' },
  { group: 'where', long: 'rand-port', short: 'r', keyword: 'RAND_PORT', value: 'Y', help: 'to any port from 10000 up, for servers that capture' },
  { group: 'where', long: 'http-proxy', short: 'H', argument: 'URL', read: readHttpProxy, help: 'through this proxy: http://HOST:PORT, with -P http' },
  { group: 'where', long: 'source-port', short: 'S', argument: 'PORT', keyword: 'SPA_SOURCE_PORT', help: 'send from this port' },
  { group: 'where', long: 'server-resolve-ipv4', keyword: 'SERVER_RESOLVE_IPV4', value: 'Y', help: "use only the server's IPv4 address" },

  { group: 'shared', long: 'use-hmac', keyword: 'USE_HMAC', value: 'Y', help: 'authenticate the packet; asks for the HMAC key if there is none' },
  { group: 'shared', long: 'hmac-digest-type', argument: 'DIGEST', keyword: 'HMAC_DIGEST_TYPE', implies: HMAC, help: 'the same, with this digest (sha256)' },
  { group: 'shared', long: 'get-key', short: 'G', argument: 'FILE', keyword: 'KEY_FILE', help: 'file with lines HOST: KEY' },
  { group: 'shared', long: 'get-hmac-key', argument: 'FILE', keyword: 'HMAC_KEY_FILE', help: 'file with lines HOST: HMAC-KEY' },
  { group: 'shared', long: 'stdin', help: 'read the key (or the signing passphrase) from standard input' },
  { group: 'shared', long: 'fd', argument: 'NUMBER', help: 'read it from this file descriptor' },
  { group: 'shared', long: 'key-rijndael', argument: 'KEY', keyword: 'KEY', secret: true, help: 'the key itself (others can see it: prefer the rc file)' },
  { group: 'shared', long: 'key-base64-rijndael', argument: 'BASE64', keyword: 'KEY_BASE64', secret: true, help: 'the same in base64' },
  { group: 'shared', long: 'key-hmac', argument: 'KEY', keyword: 'HMAC_KEY', secret: true, help: 'the HMAC key itself (others can see it)' },
  { group: 'shared', long: 'key-base64-hmac', argument: 'BASE64', keyword: 'HMAC_KEY_BASE64', secret: true, help: 'the same in base64' },

  { group: 'gpg', long: 'gpg-encryption', short: 'g', keyword: 'USE_GPG', value: 'Y', help: 'sign and encrypt with OpenPGP keys instead of AES' },
  { group: 'gpg', long: 'gpg-recipient-key', argument: 'KEY', keyword: 'GPG_RECIPIENT', implies: GPG, help: "the server's key in the GnuPG home: fingerprint, key ID or user ID" },
  { group: 'gpg', long: 'gpg-signer-key', argument: 'KEY', keyword: 'GPG_SIGNER', implies: GPG, help: 'your key in the GnuPG home' },
  { group: 'gpg', long: 'gpg-recipient-key-file', addition: true, argument: 'FILE', keyword: 'GPG_RECIPIENT_KEY_FILE', implies: GPG, help: "the server's certificate in a file: no GnuPG needed" },
  { group: 'gpg', long: 'gpg-signer-key-file', addition: true, argument: 'FILE', keyword: 'GPG_SIGNER_KEY_FILE', implies: GPG, help: 'your secret key in a file: no GnuPG needed' },
  { group: 'gpg', long: 'gpg-home-dir', argument: 'DIR', keyword: 'GPG_HOMEDIR', help: 'the GnuPG home (~/.gnupg)' },
  { group: 'gpg', long: 'gpg-exe', argument: 'FILE', keyword: 'GPG_EXE', help: 'the gpg program (gpg)' },
  { group: 'gpg', long: 'gpg-agent', keyword: 'USE_GPG_AGENT', value: 'Y', help: 'gpg-agent is used anyway when no passphrase is given' },
  { group: 'gpg', long: 'gpg-no-signing-pw', keyword: 'GPG_NO_SIGNING_PW', value: 'Y', help: 'your key has no passphrase: fail rather than ask' },
  { long: 'gpg-recipient', addition: true, argument: 'KEY', keyword: 'GPG_RECIPIENT', implies: GPG, help: '' },
  { long: 'gpg-signer', addition: true, argument: 'KEY', keyword: 'GPG_SIGNER', implies: GPG, help: '' },

  { group: 'message', long: 'spoof-user', short: 'U', argument: 'NAME', keyword: 'SPOOF_USER', help: 'user name in the message (your login name)' },
  { group: 'message', long: 'digest-type', short: 'm', argument: 'DIGEST', keyword: 'DIGEST_TYPE', help: 'digest of the message: md5 sha1 sha256 sha384 sha512 sha3_256 sha3_512' },
  { group: 'message', long: 'encryption-mode', short: 'M', argument: 'MODE', keyword: 'ENCRYPTION_MODE', help: 'mode of AES, as the server has it: cbc ctr cfb ofb ecb legacy (cbc)' },
  { group: 'message', long: 'time-offset-plus', argument: 'TIME', keyword: 'TIME_OFFSET', help: "add to the message's time: 90s, 5m, 2h, 1d" },
  { group: 'message', long: 'time-offset-minus', argument: 'TIME', keyword: 'TIME_OFFSET', value: (time: string) => `-${time}`, help: 'subtract from it' },

  { group: 'rc', long: 'named-config', short: 'n', argument: 'NAME', help: 'take the settings of stanza [NAME]' },
  { group: 'rc', long: 'rc-file', argument: 'FILE', help: 'the rc file (~/.fwknoprc)' },
  { group: 'rc', long: 'no-rc-file', help: 'read no rc file' },
  { group: 'rc', long: 'no-home-dir', help: 'look for no file in the home directory' },
  { group: 'rc', long: 'stanza-list', help: "list the rc file's stanzas and exit" },
  { group: 'rc', long: 'save-rc-stanza', once: true, help: 'write these options to stanza [NAME] of -n, or else of -D, and go on' },
  { group: 'rc', long: 'force-stanza', once: true, help: 'replace one that is there without a question' },
  { group: 'saved', long: 'last-cmd', short: 'l', once: true, help: 'repeat the options that were saved; others given go after them' },
  { group: 'saved', long: 'show-last', once: true, help: 'print them and exit' },
  { group: 'saved', long: 'save-args-file', short: 'E', argument: 'FILE', once: true, help: 'save the options, without keys, to this file; of -l: read them there (~/.fwknop.run)' },
  { group: 'saved', long: 'no-save-args', keyword: 'NO_SAVE_ARGS', value: 'Y', once: true, help: 'save none, whatever the rc file says' },


  { group: 'do', long: 'test', short: 'T', help: 'make the packet, print it, decode it again, do not send it' },
  { group: 'do', long: 'save-packet', short: 'B', argument: 'FILE', help: 'write the packet to a file too' },
  { group: 'do', long: 'save-packet-append', short: 'b', help: 'append it to the file of -B' },
  { group: 'do', long: 'key-gen', short: 'k', help: 'print new keys for the rc file and access.conf, and exit' },
  { group: 'do', long: 'key-gen-file', short: 'K', argument: 'FILE', help: 'write them to a file (replaced if it is there) and exit' },
  { group: 'do', long: 'key-len', argument: 'BYTES', help: 'length of the new encryption key (32)' },
  { group: 'do', long: 'hmac-key-len', argument: 'BYTES', help: 'length of the new HMAC key (64)' },
  { group: 'do', long: 'verbose', short: 'v', count: true, keyword: 'VERBOSE', help: "print the packet's fields" },
  { group: 'do', long: 'version', short: 'V', help: 'print the version and exit' },
  { group: 'do', long: 'help', short: 'h', help: 'print this and exit' },

  { long: 'resolve-ip-http', keyword: 'ALLOW_IP', value: 'resolve', help: '' },
  { long: 'wget-cmd', short: 'w', argument: 'FILE', keyword: 'WGET_CMD', help: '' },
  { long: 'use-wget-user-agent', keyword: 'USE_WGET_USER_AGENT', value: 'Y', help: '' },

  { long: 'spoof-source', short: 'Q', argument: 'ADDRESS', refused: RAW, help: '' },
  { long: 'spoof-src', argument: 'ADDRESS', refused: RAW, help: '' },
  { long: 'icmp-type', argument: 'NUMBER', refused: RAW, help: '' },
  { long: 'icmp-code', argument: 'NUMBER', refused: RAW, help: '' },
  { long: 'fault-injection-tag', argument: 'TAG', refused: 'that is for test builds of fwknop', help: '' },
] as const satisfies readonly ClientOption[];

/** All options, also those that are refused. */
export const CLIENT_OPTIONS: readonly Option[] = OPTIONS;

type LongName = (typeof OPTIONS)[number]['long'];

/** Options that say the same thing in two ways: of each set only one may be given. */
const CONFLICTS: readonly (readonly LongName[])[] = [
  ['allow-ip', 'source-ip', 'resolve-ip-https'],
  ['allow-ip', 'source-ip', 'resolve-ip-http'],
  ['key-rijndael', 'key-base64-rijndael', 'get-key'],
  ['key-hmac', 'key-base64-hmac', 'get-hmac-key'],
  ['time-offset-plus', 'time-offset-minus'],
  ['server-cmd', 'nat-access'],
  ['server-cmd', 'nat-local'],
  ['nat-port', 'nat-rand-port'],
  ['gpg-recipient-key', 'gpg-recipient', 'gpg-recipient-key-file'],
  ['gpg-signer-key', 'gpg-signer', 'gpg-signer-key-file'],
  ['stdin', 'fd'],
  ['rc-file', 'no-rc-file'],
  ['stanza-list', 'no-rc-file'],
  ['save-rc-stanza', 'no-rc-file'],
  ['save-rc-stanza', 'no-home-dir'],
  ['save-rc-stanza', 'key-gen-file'],
];

function checkConflicts(given: readonly LongName[]): void {
  for (const names of CONFLICTS) {
    const [first, second] = names.filter((name) => given.includes(name));
    if (second !== undefined)
      throw new UsageError(`--${first} and --${second} contradict each other; give one`);
  }
}

/** An option may be cut short. */
function isSecretOption(name: string): boolean {
  return OPTIONS.some(
    (row: ClientOption) => row.secret && `--${row.long}`.startsWith(name) && name.length > 2,
  );
}

function wordsOf(row: ClientOption, given: OptionValue): readonly string[] {
  if (row.once || given === undefined) return [];
  if (row.argument !== undefined) return [`--${row.long}=${given}`];
  return Array.from({ length: given === true ? 1 : Number(given) }, () => `--${row.long}`);
}

function wordsToSave(row: ClientOption, given: OptionValue): readonly string[] {
  if (!row.secret) return wordsOf(row, given);
  return row.keyword?.startsWith('HMAC') ? ['--use-hmac'] : [];
}

function settingsOf(row: ClientOption, given: OptionValue): Settings {
  if (row.refused !== undefined) throw new UsageError(`--${row.long}: ${row.refused}`);
  const value = rcValueOf(row, given);
  try {
    if (row.read !== undefined) return row.read(value);
    return row.keyword === undefined ? {} : { ...readSetting(row.keyword, value), ...row.implies };
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--${row.long}: ${error.message}`);
    throw error;
  }
}

function rcValueOf(row: ClientOption, given: OptionValue): string {
  const argument = String(given);
  return typeof row.value === 'function' ? row.value(argument) : (row.value ?? argument);
}

function rcLineOf(row: ClientOption, given: OptionValue): RcLine | null {
  return row.keyword === undefined ? null : { keyword: row.keyword, value: rcValueOf(row, given) };
}

/** One line a keyword, and what the others imply. */
function rcLinesOf(lines: readonly RcLine[], settings: Settings): readonly RcLine[] {
  const implied: readonly RcLine[] = [
    ...(settings.useGpg ? [{ keyword: 'USE_GPG', value: 'Y' } as const] : []),
    ...(settings.useHmac ? [{ keyword: 'USE_HMAC', value: 'Y' } as const] : []),
  ];
  const byKeyword = new Map([...lines, ...implied].map((line) => [line.keyword, line]));
  return [...byKeyword.values()];
}
