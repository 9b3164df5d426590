import { createSocket } from 'node:dgram';
import type { IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import {
  type IpAddress,
  type IpNetwork,
  ipFamily,
  networkContains,
  parseIpAddress,
  parseIpNetwork,
} from 'spa-core';
import { UsageError } from 'spa-host';
import { SendError } from './send.ts';
import type { Settings } from './settings.ts';

/** Web services that say which address they see. */
export interface Resolvers {
  readonly urls: readonly string[];
  readonly userAgent: string;
  /** True if the user named them: they may stand in a private network, where the bastion sees a private address. */
  readonly mayBePrivate: boolean;
}

/** How to learn the own address. */
export interface OwnAddressOptions {
  readonly resolvers: Resolvers;
  /** The family in which the bastion is reached. */
  readonly family: 4 | 6;
  /**
   * The bastion's address. The resolvers are asked from the local address that a packet to it gets: of several (IPv6
   * privacy addresses, two networks) the bastion sees this one. Absent: from any.
   */
  readonly towards?: string;
  readonly limitMs?: number;
  /** The only certificates to trust, in PEM; absent: those that Node trusts. */
  readonly ca?: string;
  /** Hears what was chosen and why. */
  readonly note?: (line: string) => void;
}

/**
 * The address that the bastion will see: the one that more than half of the resolvers see. They are asked at once, and
 * those that are slower than the majority are not waited for.
 * @throws SendError that says what each resolver said.
 */
export async function ownAddress(options: OwnAddressOptions): Promise<IpAddress> {
  const { resolvers, towards, limitMs = LIMIT_MS, note } = options;
  const urls = [...new Set(resolvers.urls.map((url) => new URL(url).href))];
  const quorum = Math.floor(urls.length / 2) + 1;
  const from = towards === undefined ? null : await localAddressTowards(towards);
  const ended = new AbortController();
  const timer = setTimeout(() => ended.abort(), limitMs);
  const asked = new Map(urls.map((url) => [url, ask(url, from, options, ended.signal)]));
  const answers: Answer[] = [];
  try {
    while (asked.size > 0) {
      const answer = await Promise.race(asked.values());
      asked.delete(answer.url);
      answers.push(answer);
      const { address, count } = mostNamed(answers);
      if (address !== null && count >= quorum) {
        note?.(`${address} is your address: ${count} of ${urls.length} asked say so`);
        return address;
      }
      if (count + asked.size < quorum) break;
    }
  } finally {
    clearTimeout(timer);
    ended.abort();
  }
  throw new SendError(complaint(answers, [...asked.keys()], quorum, from));
}

/**
 * The resolvers that the settings name, else well-known public ones of several operators.
 * @throws UsageError if a plain http:// URL is not allowed by `RESOLVE_HTTP_ONLY`, or a https:// one contradicts it.
 */
export function resolversOf(settings: Settings): Resolvers {
  const { resolveUrls, resolveHttpOnly = false, httpUserAgent = USER_AGENT } = settings;
  const urls = resolveUrls ?? DEFAULT_URLS;
  const plain = urls.find((url) => url.startsWith('http:'));
  if (!resolveHttpOnly && plain !== undefined) {
    throw new UsageError(
      `${plain}: on plain HTTP anybody on the way can say for whom the door opens; write https://, or allow it with --resolve-http-only (RESOLVE_HTTP_ONLY Y in the rc file)`,
    );
  }
  const secure = urls.find((url) => url.startsWith('https:'));
  if (resolveHttpOnly && secure !== undefined) {
    throw new UsageError(
      `${secure} contradicts --resolve-http-only (RESOLVE_HTTP_ONLY Y); take that out, or give --resolve-url http://HOST/ (RESOLVE_URL)`,
    );
  }
  return { urls, userAgent: httpUserAgent, mayBePrivate: resolveUrls !== undefined };
}

/** Each answers in both families with nothing but the address. */
const DEFAULT_URLS: readonly string[] = [
  'https://icanhazip.com/',
  'https://api64.ipify.org/',
  'https://ifconfig.me/ip',
];
const USER_AGENT = 'spa-client';
const LIMIT_MS = 5_000;
/** An address has at most 45 characters; what is longer is a page for people. */
const MAX_ANSWER_BYTES = 256;

type Answer =
  | { readonly url: string; readonly address: IpAddress }
  | { readonly url: string; readonly address: null; readonly problem: string };

/** Why there is no address in an answer, as it goes on after the resolver's URL. */
class AnswerError extends Error {
  override readonly name = 'AnswerError';
}

/** Never rejects. */
async function ask(
  url: string,
  from: IpAddress | null,
  options: OwnAddressOptions,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    const body = await get(new URL(url), from, options, signal);
    return { url, address: readAddress(body, options) };
  } catch (error) {
    const problem = signal.aborted
      ? `did not answer within ${(options.limitMs ?? LIMIT_MS) / 1000} s`
      : problemOf(error as NodeJS.ErrnoException, options.family);
    return { url, address: null, problem };
  }
}

/** The body of the answer. A redirection is not followed: it would leave the resolver that the user trusts. */
async function get(
  url: URL,
  from: IpAddress | null,
  { family, ca, resolvers }: OwnAddressOptions,
  signal: AbortSignal,
): Promise<string> {
  const literal = parseIpAddress(url.hostname.replace(/^\[|\]$/g, ''));
  if (literal !== null && ipFamily(literal) !== family) throw new AnswerError(`has no IPv${family} address`);
  // Most runs ask nobody: only those that do pay for loading this.
  const { request } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const requestOptions: RequestOptions = {
    family,
    ...(from === null ? {} : { localAddress: from }),
    ...(ca === undefined ? {} : { ca }),
    // Said here, the environment cannot turn it off.
    rejectUnauthorized: true,
    agent: false,
    headers: { Accept: 'text/plain', 'User-Agent': resolvers.userAgent },
    signal,
  };
  return new Promise((resolve, reject) => {
    const end = request(url, requestOptions, (response) => {
      readBody(response)
        .then(resolve, reject)
        .finally(() => end.destroy());
    });
    end.on('error', reject);
    end.once('close', () => reject(new AnswerError('ended the connection without an answer')));
    end.end();
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const { statusCode, headers } = response;
  if (headers.location !== undefined) throw new AnswerError(`answered with a redirection (${statusCode})`);
  if (statusCode !== 200) throw new AnswerError(`answered with status ${statusCode}`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES)
      throw new AnswerError(`answered with a page (more than ${MAX_ANSWER_BYTES} bytes)`);
  }
  return Buffer.concat(chunks).toString('latin1');
}

/** The body is one address and nothing else, as for fwknop. */
function readAddress(body: string, { family, resolvers }: OwnAddressOptions): IpAddress {
  const text = body.trim();
  const address = parseIpAddress(text);
  if (address === null || ipFamily(address) !== family) {
    const shown = text.slice(0, 45).replace(/[^\x20-\x7e]/g, '?');
    throw new AnswerError(`says "${shown}", which is no IPv${family} address`);
  }
  if (isWithin(NOBODYS, address)) throw new AnswerError(`says ${address}, which is nobody's address`);
  if (!resolvers.mayBePrivate && isWithin(NOT_PUBLIC, address))
    throw new AnswerError(`says ${address}, which is no public address`);
  return address;
}

function isWithin(networks: readonly IpNetwork[], address: IpAddress): boolean {
  return networks.some((network) => networkContains(network, address));
}

/** No host has one of these: unspecified, multicast, reserved. */
const NOBODYS = networks('0.0.0.0/8', '224.0.0.0/3', '::/128', 'ff00::/8');

/** RFC 6890's special-purpose addresses, and of IPv6 all but 2000::/3 (RFC 4291 section 2.4). */
const NOT_PUBLIC = networks(
  ...['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ...['::/3', '4000::/2', '8000::/1', '2001:db8::/32'],
);

function networks(...texts: readonly string[]): readonly IpNetwork[] {
  return texts.flatMap((text) => parseIpNetwork(text) ?? []);
}

function problemOf(error: NodeJS.ErrnoException, family: 4 | 6): string {
  if (error instanceof AnswerError) return error.message;
  const code = error.code ?? error.message;
  if (code === 'ENOTFOUND') return `has no IPv${family} address`;
  if (code === 'ECONNREFUSED') return 'refused the connection';
  return /CERT|SIGNATURE/.test(code) ? `has a certificate that is not trusted (${code})` : `failed (${code})`;
}

function mostNamed(answers: readonly Answer[]): {
  readonly address: IpAddress | null;
  readonly count: number;
} {
  let most: { readonly address: IpAddress | null; readonly count: number } = { address: null, count: 0 };
  for (const { address } of answers) {
    if (address === null) continue;
    const count = answers.filter((answer) => answer.address === address).length;
    if (count > most.count) most = { address, count };
  }
  return most;
}

function complaint(
  answers: readonly Answer[],
  notWaitedFor: readonly string[],
  quorum: number,
  from: IpAddress | null,
): string {
  const said = [
    ...answers.map(
      (answer) =>
        `${shownUrl(answer.url)} ${answer.address === null ? answer.problem : `says ${answer.address}`}`,
    ),
    ...notWaitedFor.map((url) => `${shownUrl(url)} was not waited for`),
  ].join(', ');
  const rule = said.includes(', ') ? `; ${quorum} must agree` : '';
  const asked = from === null ? '' : ` (asked from ${from})`;
  return `your own address is not known: ${said}${rule}${asked}; write ALLOW_IP ADDRESS, or ALLOW_IP source`;
}

/** Without what may be a token. */
function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

/** The address that a packet to `address` is sent from; null if there is no route, or it says nothing of other routes. */
function localAddressTowards(address: string): Promise<IpAddress | null> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    const end = (local: string): void => {
      socket.close();
      const parsed = parseIpAddress(local);
      resolve(parsed === null || isWithin(LOOPBACK, parsed) ? null : parsed);
    };
    socket.once('error', () => end(''));
    // Connecting a datagram socket sends nothing.
    socket.connect(DISCARD_PORT, address, () => end(socket.address().address));
  });
}

const LOOPBACK = networks('127.0.0.0/8', '::1/128');
const DISCARD_PORT = 9;
