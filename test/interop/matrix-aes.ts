import { randomBytes } from 'node:crypto';
import {
  CIPHER_MODES,
  type CipherMode,
  DIGEST_NAMES,
  type DigestName,
  MESSAGE_TYPES,
  type MessageType,
} from 'spa-core';
import { ADDRESSES, SERVICE } from './matrix-lab.ts';
import type { MatrixCase } from './matrix-run.ts';

/** One kind of packet with shared keys: a combination of all that can be chosen. */
export interface Cell {
  readonly type: MessageType;
  readonly mode: CipherMode;
  readonly digest: DigestName;
  /** Null: no HMAC. */
  readonly hmac: DigestName | null;
}

/** Two factors of which every combination is run, the others being what clients choose by themselves. */
export type Pair = readonly [keyof Cell, keyof Cell];

export const PAIRS: readonly Pair[] = [
  ['digest', 'hmac'],
  ['mode', 'hmac'],
  ['type', 'hmac'],
  ['type', 'mode'],
  ['type', 'digest'],
  ['mode', 'digest'],
];

/** What there is to choose from. */
const FACTORS: { readonly [Factor in keyof Cell]: readonly Cell[Factor][] } = {
  type: Object.values(MESSAGE_TYPES).map(({ number }) => number),
  mode: Object.keys(CIPHER_MODES) as CipherMode[],
  digest: DIGEST_NAMES,
  hmac: [null, ...DIGEST_NAMES],
};

const USUAL: Cell = { type: 1, mode: 'cbc', digest: 'sha256', hmac: 'sha256' };

/** The cells of a pair. Legacy mode goes without HMAC unless HMACs are what it is combined with: see {@link isUnmade}. */
export function cellsOf([one, other]: Pair): readonly Cell[] {
  const isAboutHmac = one === 'hmac' || other === 'hmac';
  return FACTORS[one].flatMap((first) =>
    FACTORS[other].map((second) => {
      const cell = { ...USUAL, [one]: first, [other]: second };
      return cell.mode === 'legacy' && !isAboutHmac ? { ...cell, hmac: null } : cell;
    }),
  );
}

/** The cells of all pairs, each once. */
export function allCells(): readonly Cell[] {
  return [...new Map(PAIRS.flatMap(cellsOf).map((cell) => [nameOf(cell), cell])).values()];
}

/** Tells cells apart. */
export function nameOf({ type, mode, digest, hmac }: Cell): string {
  return `type ${type}, ${mode}, digest ${digest}, HMAC ${hmac ?? 'none'}`;
}

/** Legacy mode with an HMAC: fwknop's client makes no such packet, and ours does not either. */
function isUnmade({ mode, hmac }: Cell): boolean {
  return mode === 'legacy' && hmac !== null;
}

/** Each cell with keys that are its stanza's only, and with a port or a file that is its own. */
export function casesOf(cells: readonly Cell[], fileOf: (index: number) => string): readonly MatrixCase[] {
  const keys = new Map<string, { readonly key: string; readonly hmacKey: string }>();
  return cells.map((cell, index) => {
    // Only a stanza that runs commands takes longer packets; the others shall not.
    const stanza = `${cell.mode} ${cell.hmac} ${cell.type === 0}`;
    const { key, hmacKey } = keys.get(stanza) ?? { key: newKey(32), hmacKey: newKey(64) };
    keys.set(stanza, { key, hmacKey });
    const port = FIRST_PORT + index;
    const file = fileOf(index);
    return {
      name: nameOf(cell),
      expected: isUnmade(cell) ? 'unmade' : 'open',
      access: [
        ...[`KEY_BASE64 ${key}`, `ENCRYPTION_MODE ${cell.mode}`],
        ...(cell.hmac === null ? [] : [`HMAC_KEY_BASE64 ${hmacKey}`, `HMAC_DIGEST_TYPE ${cell.hmac}`]),
        ...(cell.type === 0 ? ['ENABLE_CMD_EXEC Y'] : []),
      ],
      options: [
        ...requestOf(cell.type, port, file),
        ...['-m', cell.digest, '-M', cell.mode, '--key-base64-rijndael', key],
        ...(cell.hmac === null
          ? []
          : ['--use-hmac', '--key-base64-hmac', hmacKey, '--hmac-digest-type', cell.hmac]),
      ],
      effect: cell.type === 0 ? { file } : { port, says: BEHIND[cell.type] },
    };
  });
}

const FIRST_PORT = 20_000;

/** What is behind the door of a message; nobody listens at the bastion's own ports. */
const BEHIND: Readonly<Record<Exclude<MessageType, 0>, string>> = {
  1: 'refused',
  2: 'inside',
  3: 'refused',
  4: 'inside',
  5: 'bastion',
  6: 'bastion',
};

function requestOf(type: MessageType, port: number, file: string): readonly string[] {
  const door = ['-A', `tcp/${port}`];
  const nat = [...door, '-N', `${ADDRESSES.inside}:${SERVICE}`];
  const local = ['-A', `tcp/${SERVICE}`, '--nat-local', '--nat-port', String(port)];
  const timeout = ['-f', '100'];
  const requests: Readonly<Record<MessageType, readonly string[]>> = {
    0: ['-C', `/usr/bin/touch ${file}`],
    1: door,
    2: nat,
    3: [...door, ...timeout],
    4: [...nat, ...timeout],
    5: local,
    6: [...local, ...timeout],
  };
  return requests[type];
}

function newKey(bytes: number): string {
  return randomBytes(bytes).toString('base64');
}
