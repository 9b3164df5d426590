import { UsageError } from 'spa-host';

/** One port that is forwarded: what ssh calls `-L`, `-R` or `-D`. */
export interface Forward {
  /** Where the port is: here, or on the bastion. */
  readonly side: 'here' | 'there';
  /** The address that it is bound to; `*`: all. */
  readonly bind: string;
  readonly port: number;
  /** `HOST:PORT` or the path of a socket, as the other side sees it; null: where the connecting SOCKS client says. */
  readonly target: string | null;
}

/** How a forward is written: as after `-L`, `-R` or `-D`. */
export type ForwardSyntax = 'local' | 'remote' | 'socks';

/**
 * Reads what stands after `-L` (and alone), `-R` or `-D`.
 * @throws UsageError that says what to write
 */
export function parseForward(syntax: ForwardSyntax, text: string): Forward {
  const { side, forms, example } = SYNTAXES[syntax];
  const groups = forms.map((form) => form.exec(text)?.groups).find((found) => found !== undefined);
  if (groups === undefined)
    throw new UsageError(`"${text}" is no forward; write ${suggest(text) ?? example}`);
  const { bind = 'localhost', port = '', target = null, targetPort } = groups;
  if (targetPort !== undefined) parsePort(text, targetPort);
  return { side, bind: bind === '' ? '*' : bind, port: parsePort(text, port), target };
}

/** @throws UsageError if two of them want the same port. */
export function mustDiffer(forwards: readonly Forward[]): void {
  const seen = new Set<string>();
  for (const { side, bind, port } of forwards) {
    const place = `${side} ${bind} ${port}`;
    if (seen.has(place)) throw new UsageError(`port ${port} is given twice; each forward needs its own`);
    seen.add(place);
  }
}

/** The option of ssh's that asks for it. The address is always said: ssh's configuration may have another default. */
export function forwardOption({ side, bind, port, target }: Forward): readonly [string, string] {
  const at = `${bind}:${port}`;
  const option = side === 'there' ? '-R' : target === null ? '-D' : '-L';
  return [option, target === null ? at : `${at}:${target}`];
}

/** For a person: `localhost:5000 -> db.internal:5432`. */
export function describeForward({ side, bind, port, target }: Forward): string {
  const at = `${side === 'there' ? "the bastion's " : ''}${bind}:${port}`;
  return target === null ? `${at} (SOCKS)` : `${at} -> ${target}`;
}

/** A name, an IPv4 address, or an IPv6 address in brackets. */
const HOST = String.raw`(?:[\w.-]{1,255}|\[[\w.:%-]{2,64}\])`;
const BIND = String.raw`(?:(?<bind>\*?|${HOST}):)?`;
const TO_HOST = new RegExp(`^${BIND}(?<port>\\d+):(?<target>${HOST}:(?<targetPort>\\d+))$`);
/** Without the characters that ssh expands in a path. */
const TO_SOCKET = new RegExp(`^${BIND}(?<port>\\d+):(?<target>/[\\w./@+=-]+)$`);
const ALONE = new RegExp(`^${BIND}(?<port>\\d+)$`);

interface Syntax {
  readonly side: Forward['side'];
  /** Ways to write it, each with named groups; the first that matches counts. */
  readonly forms: readonly RegExp[];
  /** For who writes it wrong. */
  readonly example: string;
}

const SYNTAXES: Readonly<Record<ForwardSyntax, Syntax>> = {
  local: {
    side: 'here',
    forms: [TO_HOST, TO_SOCKET],
    example: '[BIND:]PORT:HOST:PORT, as in 5000:db.internal:5432',
  },
  remote: {
    side: 'there',
    forms: [TO_HOST, TO_SOCKET, ALONE],
    example: '[BIND:]PORT:HOST:PORT, as in 9000:localhost:3000',
  },
  socks: { side: 'here', forms: [ALONE], example: '[BIND:]PORT, as in 1080' },
};

/** Who names only where to go most likely wants the same port here. */
function suggest(text: string): string | null {
  const [, port] = /^[a-z][\w.-]*:(\d+)$/i.exec(text) ?? [];
  return port === undefined ? null : `${port}:${text}`;
}

function parsePort(text: string, digits: string): number {
  const port = Number(digits);
  if (port >= 1 && port <= 65_535) return port;
  throw new UsageError(`"${text}": ${digits} is no port; write a number from 1 to 65535`);
}
