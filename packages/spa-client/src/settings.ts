import { join } from 'node:path';
import {
  CIPHER_MODES,
  type CipherMode,
  CLIENT_TIMEOUT_MAX_SECONDS,
  DIGEST_NAMES,
  type DigestName,
  type IpAddress,
  isCommand,
  isHost,
  isUsername,
  type ProtoPort,
  parseCipherMode,
  parseDigestName,
  parseIpAddress,
  parseProtoPorts,
  USERNAME_MAX_BYTES,
} from 'spa-core';
import { homeDirectory } from './home.ts';
import { Secret, secretFromBase64 } from './secret.ts';

/** Where a shared secret comes from. A file has lines `host: key` (fwknop's `--get-key`). */
export type KeySource =
  | { readonly kind: 'given'; readonly secret: Secret }
  | { readonly kind: 'file'; readonly path: string };

/** How a packet travels. */
export type SpaProtocol = 'udp' | 'tcp' | 'http';

/** Where requests of HTTP are passed on. */
export interface HttpProxy {
  readonly host: string;
  readonly port: number;
}

/** What the rc file and the options said. What they left out is absent, so that one layer spreads over another. */
export interface Settings {
  /** Host name or address of the bastion. */
  readonly server?: string;
  readonly serverPort?: number;
  readonly serverIpv4Only?: boolean;
  readonly sourcePort?: number;
  readonly randomPort?: boolean;
  readonly protocol?: SpaProtocol;
  readonly httpProxy?: HttpProxy;
  readonly access?: readonly ProtoPort[];
  /** What the server is to run, instead of opening ports. */
  readonly command?: string;
  /** Where the port leads; `port` null: the one of `access`. */
  readonly natAccess?: { readonly host: string; readonly port: number | null };
  /** The port leads to another of the server's own. */
  readonly natLocal?: boolean;
  /** The port to connect to from outside. */
  readonly natPort?: number;
  /** True: any. */
  readonly natRandPort?: boolean;
  /** Whom to open for; null: the address that the packet comes from; `resolve`: the one that resolvers see. */
  readonly allowIp?: IpAddress | 'resolve' | null;
  /** Web services that say which address they see: http:// or https:// URLs, none twice. */
  readonly resolveUrls?: readonly string[];
  readonly resolveHttpOnly?: boolean;
  readonly httpUserAgent?: string;
  readonly clientTimeoutSeconds?: number;
  readonly timeOffsetSeconds?: number;
  readonly digest?: DigestName;
  readonly username?: string;
  /** How AES is used; absent: CBC. */
  readonly cipherMode?: CipherMode;
  readonly key?: KeySource;
  readonly useHmac?: boolean;
  readonly hmacKey?: KeySource;
  readonly hmacDigest?: DigestName;
  readonly useGpg?: boolean;
  readonly gpgRecipient?: string;
  readonly gpgRecipientKeyFile?: string;
  readonly gpgSigner?: string;
  readonly gpgSignerKeyFile?: string;
  readonly gpgHome?: string;
  readonly gpgProgram?: string;
  readonly gpgPassphrase?: Secret;
  readonly gpgNoPassphrase?: boolean;
  readonly verbose?: number;
  /** The command line is kept for `-l`, without its secrets. */
  readonly savesArguments?: boolean;
  /** Stanzas of other bastions in the same region, tried in this order when this one's door does not open. */
  readonly fallback?: readonly string[];
  /** Hosts that ssh reaches through the bastion: patterns of ssh_config(5). */
  readonly privateHosts?: readonly string[];
}

/** Every keyword of fwknop's rc file, and ours. */
export type Keyword =
  | 'ACCESS'
  | 'ALLOW_IP'
  | 'DIGEST_TYPE'
  | 'ENCRYPTION_MODE'
  | 'FALLBACK'
  | 'FW_TIMEOUT'
  | 'GPG_EXE'
  | 'GPG_HOMEDIR'
  | 'GPG_NO_SIGNING_PW'
  | 'GPG_RECIPIENT'
  | 'GPG_RECIPIENT_KEY_FILE'
  | 'GPG_SIGNER'
  | 'GPG_SIGNER_KEY_FILE'
  | 'GPG_SIGNING_PW'
  | 'GPG_SIGNING_PW_BASE64'
  | 'HMAC_DIGEST_TYPE'
  | 'HMAC_KEY'
  | 'HMAC_KEY_BASE64'
  | 'HMAC_KEY_FILE'
  | 'HTTP_USER_AGENT'
  | 'KEY'
  | 'KEY_BASE64'
  | 'KEY_FILE'
  | 'NAT_ACCESS'
  | 'NAT_LOCAL'
  | 'NAT_PORT'
  | 'NAT_RAND_PORT'
  | 'NO_SAVE_ARGS'
  | 'PRIVATE_HOSTS'
  | 'RAND_PORT'
  | 'RESOLVE_HTTP_ONLY'
  | 'RESOLVE_IP_HTTP'
  | 'RESOLVE_IP_HTTPS'
  | 'RESOLVE_URL'
  | 'SERVER_RESOLVE_IPV4'
  | 'SPA_SERVER'
  | 'SPA_SERVER_PORT'
  | 'SPA_SERVER_PROTO'
  | 'SPA_SOURCE_PORT'
  | 'SPOOF_SOURCE_IP'
  | 'SPOOF_USER'
  | 'TIME_OFFSET'
  | 'USE_GPG'
  | 'USE_GPG_AGENT'
  | 'USE_HMAC'
  | 'USE_WGET_USER_AGENT'
  | 'VERBOSE'
  | 'WGET_CMD';

/** A value cannot be what its keyword wants. The message says what to write instead and repeats no secret. */
export class ValueError extends Error {
  override readonly name = 'ValueError';
}

/** The keyword that `text` spells, in upper case as everywhere; null if there is none. */
export function parseKeyword(text: string): Keyword | null {
  return Object.hasOwn(READERS, text) ? (text as Keyword) : null;
}

/** All keywords. */
export function keywords(): readonly Keyword[] {
  return Object.keys(READERS) as Keyword[];
}

/** True if the keyword's value is a secret. */
export function isSecretKeyword(keyword: string): boolean {
  return SECRET_KEYWORDS.has(keyword);
}

/** What a keyword with that value sets. @throws ValueError */
export function readSetting(keyword: Keyword, value: string): Settings {
  if (value === '__CHANGEME__') throw new ValueError('still has the value of the template; put in your own');
  return READERS[keyword](value);
}

/** One reader per keyword: a keyword without one does not compile. A refusal is a reader too. */
const READERS: Readonly<Record<Keyword, (value: string) => Settings>> = {
  ACCESS: (value) => ({ access: doors(value) }),
  ALLOW_IP: (value) => ({ allowIp: allowIp(value) }),
  DIGEST_TYPE: (value) => ({ digest: digestName(value) }),
  ENCRYPTION_MODE: encryptionMode,
  FALLBACK: (value) => ({ fallback: stanzaNames(value) }),
  FW_TIMEOUT: (value) => ({ clientTimeoutSeconds: count(value, 0, CLIENT_TIMEOUT_MAX_SECONDS, 'seconds') }),
  GPG_EXE: (value) => ({ gpgProgram: path(value) }),
  GPG_HOMEDIR: (value) => ({ gpgHome: path(value) }),
  GPG_NO_SIGNING_PW: (value) => ({ gpgNoPassphrase: yesOrNo(value) }),
  GPG_RECIPIENT: (value) => ({ gpgRecipient: value }),
  GPG_RECIPIENT_KEY_FILE: (value) => ({ gpgRecipientKeyFile: path(value) }),
  GPG_SIGNER: (value) => ({ gpgSigner: value }),
  GPG_SIGNER_KEY_FILE: (value) => ({ gpgSignerKeyFile: path(value) }),
  GPG_SIGNING_PW: (value) => ({ gpgPassphrase: plainSecret(value) }),
  GPG_SIGNING_PW_BASE64: (value) => ({ gpgPassphrase: base64Secret(value) }),
  HMAC_DIGEST_TYPE: (value) => ({ hmacDigest: digestName(value) }),
  HMAC_KEY: (value) => ({ hmacKey: { kind: 'given', secret: plainSecret(value) } }),
  HMAC_KEY_BASE64: (value) => ({ hmacKey: { kind: 'given', secret: base64Secret(value) } }),
  HMAC_KEY_FILE: (value) => ({ hmacKey: { kind: 'file', path: path(value) } }),
  HTTP_USER_AGENT: (value) => ({ httpUserAgent: userAgent(value) }),
  KEY: (value) => ({ key: { kind: 'given', secret: plainSecret(value) } }),
  KEY_BASE64: (value) => ({ key: { kind: 'given', secret: base64Secret(value) } }),
  KEY_FILE: (value) => ({ key: { kind: 'file', path: path(value) } }),
  NAT_ACCESS: (value) => ({ natAccess: natAccess(value) }),
  NAT_LOCAL: (value) => ({ natLocal: yesOrNo(value) }),
  // A port that is named takes back the random one of a layer below.
  NAT_PORT: (value) => ({ natPort: port(value), natRandPort: false }),
  NAT_RAND_PORT: (value) => ({ natRandPort: yesOrNo(value) }),
  NO_SAVE_ARGS: (value) => ({ savesArguments: !yesOrNo(value) }),
  PRIVATE_HOSTS: (value) => ({ privateHosts: hostPatterns(value) }),
  RAND_PORT: (value) => ({ randomPort: yesOrNo(value) }),
  RESOLVE_HTTP_ONLY: (value) => ({ resolveHttpOnly: yesOrNo(value) }),
  // fwknop's older name of the next one: HTTPS all the same.
  RESOLVE_IP_HTTP: (value) => resolving(value),
  RESOLVE_IP_HTTPS: (value) => resolving(value),
  RESOLVE_URL: (value) => ({ resolveUrls: urls(value) }),
  SERVER_RESOLVE_IPV4: (value) => ({ serverIpv4Only: yesOrNo(value) }),
  SPA_SERVER: (value) => ({ server: host(value) }),
  SPA_SERVER_PORT: (value) => ({ serverPort: port(value) }),
  SPA_SERVER_PROTO: (value) => ({ protocol: protocol(value) }),
  SPA_SOURCE_PORT: (value) => ({ sourcePort: port(value) }),
  SPOOF_SOURCE_IP: () => refuse('forging the source address, which takes a raw socket'),
  SPOOF_USER: (value) => ({ username: username(value) }),
  TIME_OFFSET: (value) => ({ timeOffsetSeconds: duration(value) }),
  USE_GPG: (value) => ({ useGpg: yesOrNo(value) }),
  // gpg-agent is used whenever no passphrase is given.
  USE_GPG_AGENT: (value) => withoutEffect(String(yesOrNo(value))),
  USE_HMAC: (value) => ({ useHmac: yesOrNo(value) }),
  // No wget is ever run.
  USE_WGET_USER_AGENT: (value) => withoutEffect(String(yesOrNo(value))),
  VERBOSE: (value) => ({ verbose: verbosity(value) }),
  WGET_CMD: withoutEffect,
};

const SECRET_KEYWORDS: ReadonlySet<string> = new Set<Keyword>([
  'GPG_SIGNING_PW',
  'GPG_SIGNING_PW_BASE64',
  'HMAC_KEY',
  'HMAC_KEY_BASE64',
  'KEY',
  'KEY_BASE64',
]);

/** Settings that fwknop needs and we do not. */
function withoutEffect(_value: string): Settings {
  return {};
}

function refuse(feature: string): never {
  throw new ValueError(`${feature}: not supported; take this out`);
}

function protocol(value: string): SpaProtocol {
  const name = value.toLowerCase();
  if (name === 'udp' || name === 'tcp' || name === 'http') return name;
  if (['udpraw', 'tcpraw', 'icmp'].includes(name))
    throw new ValueError(`${name} takes a raw socket, which only root has; write udp, tcp or http`);
  throw new ValueError(`"${value}" is no way to send a packet; write udp, tcp or http`);
}

/** The setting of `-H`, which no keyword has: `http://HOST:PORT`, or HOST alone. @throws ValueError */
export function readHttpProxy(value: string): Settings {
  const text = /^\w+:\/\//.test(value) ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url !== null &&
    url.protocol === 'http:' &&
    !hasCredentials(url) &&
    url.pathname === '/' &&
    url.search === ''
  ) {
    const name = url.hostname.replace(/^\[|\]$/g, '');
    return { httpProxy: { host: host(name), port: url.port === '' ? 80 : Number(url.port) } };
  }
  if (url !== null && hasCredentials(url))
    throw new ValueError('no user and no password is sent to a proxy; write http://HOST:PORT');
  throw new ValueError(`"${value}" is no proxy; write http://HOST:PORT`);
}

/** They are not to be shown: what this program says may be logged. */
function hasCredentials({ username, password }: URL): boolean {
  return username !== '' || password !== '';
}

function yesOrNo(value: string): boolean {
  if (/^[yn]$/i.test(value)) return value.toLowerCase() === 'y';
  throw new ValueError(`"${value}" is neither Y nor N; write Y or N`);
}

function doors(value: string): readonly ProtoPort[] {
  const parsed = parseProtoPorts(value);
  if (parsed !== null) return parsed;
  throw new ValueError(
    `"${value}" is no list of ports; write protocol/port with commas and no blanks, as in tcp/22,udp/53`,
  );
}

function allowIp(value: string): IpAddress | 'resolve' | null {
  if (value.toLowerCase() === 'source') return null;
  if (value.toLowerCase() === 'resolve') return 'resolve';
  const address = parseIpAddress(value);
  if (address === null || address === '::') {
    throw new ValueError(`"${value}" is no IP address; write an address, source or resolve`);
  }
  return address === '0.0.0.0' ? null : address;
}

/** `N` takes back nothing: `ALLOW_IP` has the say. */
function resolving(value: string): Settings {
  return yesOrNo(value) ? { allowIp: 'resolve' } : {};
}

function urls(value: string): readonly string[] {
  return [...new Set(value.split(',').map(httpUrl))];
}

function httpUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '')
    return url.href;
  throw new ValueError(
    `"${text}" is no URL to ask; write https://HOST/PATH, or several with commas and no blanks`,
  );
}

function userAgent(value: string): string {
  if (/^[\x20-\x7e]{1,200}$/.test(value)) return value;
  throw new ValueError('is no user agent; write 1 to 200 printable ASCII characters');
}

/** `10.0.0.5:22`, `10.0.0.5,22`, `10.0.0.5`, and with IPv6 `[2001:db8::5]:22`, `2001:db8::5,22`, `2001:db8::5`. */
function natAccess(value: string): { readonly host: string; readonly port: number | null } {
  const bare = parseIpAddress(value);
  if (bare !== null) return { host: bare, port: null };
  const [, host = value, digits] =
    /^\[(.*)\][:,](.*)$/.exec(value) ?? /^(.*),(.*)$/.exec(value) ?? /^(.*):(.*)$/.exec(value) ?? [];
  const canonical = parseIpAddress(host) ?? host;
  if (isHost(canonical) && (parseIpAddress(host) !== null || isDnsName(host)))
    return { host: canonical, port: digits === undefined ? null : port(digits) };
  throw new ValueError(`"${value}" is no place behind the server; write HOST:PORT, as in 10.0.0.5:22`);
}

/** Labels of 1 to 63 letters, digits, dashes; underscores too, which fwknopd takes and fwknop does not send. */
function isDnsName(name: string): boolean {
  return name
    .replace(/\.$/, '')
    .split('.')
    .every((label) => /^\w([\w-]{0,61}\w)?$/.test(label));
}

/** What `-C` says. @throws ValueError */
export function readCommand(value: string): Settings {
  if (isCommand(value)) return { command: value };
  throw new ValueError('is no command; write printable ASCII');
}

function encryptionMode(value: string): Settings {
  if (value.toLowerCase() === 'asymmetric') return { useGpg: true };
  const cipherMode = parseCipherMode(value);
  if (cipherMode !== null) return { cipherMode };
  const names = Object.keys(CIPHER_MODES).join(', ');
  throw new ValueError(`"${value}" is no mode of AES; write one of ${names}`);
}

function host(value: string): string {
  // Never an option of ssh: a name does not begin with a dash.
  if (parseIpAddress(value) !== null || /^[A-Za-z0-9_][\w.-]{0,252}$/.test(value)) return value;
  throw new ValueError(`"${value}" is no host; write a host name or an IP address`);
}

function stanzaNames(value: string): readonly string[] {
  const names = value.split(',');
  if (names.every((name) => name !== '')) return names;
  throw new ValueError(
    `"${value}" is no list of stanzas; write names with commas, as in us-east-1b,us-east-1c`,
  );
}

function hostPatterns(value: string): readonly string[] {
  const patterns = value.split(',');
  if (patterns.every((pattern) => /^!?[A-Za-z0-9_*?:][\w.:*?-]*$/.test(pattern))) return patterns;
  throw new ValueError(
    `"${value}" is no list of hosts; write patterns as ssh_config knows them, with commas and no blanks, as in 10.0.1.*,*.internal`,
  );
}

function port(value: string): number {
  return count(value, 1, 65_535, 'a port');
}

function count(value: string, min: number, max: number, what: string): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw new ValueError(`"${value}" is not ${what}; write ${min} to ${max}`);
}

function digestName(value: string): DigestName {
  const name = parseDigestName(value);
  if (name !== null) return name;
  throw new ValueError(`"${value}" is no digest; write one of ${DIGEST_NAMES.join(', ')}`);
}

function username(value: string): string {
  if (isUsername(value)) return value;
  throw new ValueError(
    `"${value}" is no user name; write 1 to ${USERNAME_MAX_BYTES} letters, digits, dots, dashes`,
  );
}

function duration(value: string): number {
  const match =
    /^([+-]?)(\d{1,9})(?:(s(?:ec(?:ond)?s?)?)|(m(?:in(?:ute)?s?)?)|(h(?:ours?)?)|(d(?:ays?)?))?$/i.exec(
      value,
    );
  if (match === null)
    throw new ValueError(`"${value}" is no time; write a number and s, m, h or d, as in 90s`);
  const [, sign, number, , minutes, hours, days] = match;
  const unit = days ? 86_400 : hours ? 3_600 : minutes ? 60 : 1;
  return Number(number) * unit * (sign === '-' ? -1 : 1);
}

function verbosity(value: string): number {
  if (/^[yn]$/i.test(value)) return yesOrNo(value) ? 1 : 0;
  return count(value, 0, 9, 'a level');
}

function path(value: string): string {
  return value.startsWith('~/') ? join(homeDirectory(), value.slice(2)) : value;
}

function plainSecret(value: string): Secret {
  if (value === '') throw new ValueError('is empty; write the key');
  return new Secret(Buffer.from(value, 'utf8'));
}

function base64Secret(value: string): Secret {
  const secret = secretFromBase64(value);
  if (secret !== null) return secret;
  throw new ValueError('is no base64; write it as spa-client --key-gen prints it');
}
