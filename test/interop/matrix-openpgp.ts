import type { Standing } from './matrix-table.ts';

/** Who makes the packet, and who judges it: the one of ours, the other of stock fwknop. */
export type Direction = 'fwknop → spa-server' | 'spa-client → fwknopd';

/** One cell of the matrix. */
export interface OpenPgpCell {
  readonly kind: string;
  readonly hmac: OpenPgpHmac;
  readonly direction: Direction;
  readonly expected: Standing;
}

export type OpenPgpHmac = 'none' | 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'sha3_256' | 'sha3_512';

/** A pair of keys, and what becomes of its packets. */
export interface OpenPgpKind {
  readonly name: string;
  /** Keys by their names in `openpgp-homes.ts`; null: nobody signs. */
  readonly signer: string | null;
  readonly recipient: string;
  /** Whom gpg.conf of the sender names as `encrypt-to`: an option of the stock client's gpg, ours does not heed it. */
  readonly alsoTo?: string;
  /** Whose key is in an agent that does not hand it out. */
  readonly keptBy?: 'bastion' | 'operator';
  /** The stanza has `GPG_DISABLE_SIG Y`. */
  readonly unsigned?: true;
  readonly standing: Readonly<Record<Direction, Standing | null>>;
  /** No client makes a packet of it. */
  readonly isTooLong?: true;
  /** All HMACs instead of the usual few. */
  readonly allHmacs?: true;
}

const BOTH_OPEN = { 'fwknop → spa-server': 'open', 'spa-client → fwknopd': 'open' } as const;
const BOTH_REFUSE = {
  'fwknop → spa-server': 'refused by both',
  'spa-client → fwknopd': 'refused by both',
} as const;

/** The kinds of keys, in the order of the table. Null is a packet that cannot be made. */
export const OPENPGP_KINDS: readonly OpenPgpKind[] = [
  {
    name: 'RSA-2048 to RSA-2048',
    signer: 'rsa2048',
    recipient: 'rsa2048',
    standing: BOTH_OPEN,
    allHmacs: true,
  },
  { name: 'RSA-3072 to RSA-3072', signer: 'rsa3072', recipient: 'rsa3072', standing: BOTH_OPEN },
  { name: 'RSA-4096 to RSA-2048', signer: 'rsa4096', recipient: 'rsa2048', standing: BOTH_OPEN },
  {
    name: 'RSA-3072 to RSA-4096',
    signer: 'rsa3072',
    recipient: 'rsa4096',
    standing: BOTH_REFUSE,
    isTooLong: true,
  },
  {
    name: 'RSA-4096 to RSA-4096',
    signer: 'rsa4096',
    recipient: 'rsa4096',
    standing: BOTH_REFUSE,
    isTooLong: true,
  },
  { name: 'ed25519 to RSA-4096', signer: 'ed25519', recipient: 'rsa4096', standing: BOTH_OPEN },
  {
    name: 'ed25519 to cv25519',
    signer: 'ed25519',
    recipient: 'cv25519',
    standing: BOTH_OPEN,
    allHmacs: true,
  },
  { name: 'RSA-2048 to cv25519', signer: 'rsa2048', recipient: 'cv25519', standing: BOTH_OPEN },
  { name: 'NIST P-256 to P-256', signer: 'nistp256', recipient: 'nistp256', standing: BOTH_OPEN },
  { name: 'NIST P-384 to P-384', signer: 'nistp384', recipient: 'nistp384', standing: BOTH_OPEN },
  { name: 'NIST P-521 to P-521', signer: 'nistp521', recipient: 'nistp521', standing: BOTH_OPEN },
  { name: 'NIST P-256 to RSA-2048', signer: 'nistp256', recipient: 'rsa2048', standing: BOTH_OPEN },
  {
    name: 'a signing subkey to the newer of two encryption subkeys',
    signer: 'subkeys',
    recipient: 'subkeys',
    standing: BOTH_OPEN,
  },
  {
    name: 'two recipients, the bastion the second',
    signer: 'ed25519',
    recipient: 'elsewhere',
    alsoTo: 'cv25519',
    standing: { 'fwknop → spa-server': 'open', 'spa-client → fwknopd': null },
  },
  {
    name: 'to a key that the agent of the bastion keeps',
    signer: 'ed25519',
    recipient: 'kept',
    keptBy: 'bastion',
    standing: { 'fwknop → spa-server': 'open', 'spa-client → fwknopd': null },
  },
  {
    name: 'with a key that the agent of the operator keeps',
    signer: 'ed25519',
    recipient: 'cv25519',
    keptBy: 'operator',
    standing: BOTH_OPEN,
  },
  {
    name: 'unsigned to RSA-2048, GPG_DISABLE_SIG',
    signer: null,
    recipient: 'rsa2048',
    unsigned: true,
    standing: BOTH_OPEN,
  },
  {
    name: 'unsigned to RSA-2048',
    signer: null,
    recipient: 'rsa2048',
    standing: BOTH_REFUSE,
  },
  {
    name: 'a signer whose key has expired',
    signer: 'expired',
    recipient: 'rsa2048',
    standing: BOTH_REFUSE,
  },
  {
    name: 'a signer whose key is revoked',
    signer: 'revoked',
    recipient: 'rsa2048',
    standing: BOTH_REFUSE,
  },
  {
    name: 'a signer who is in the list, and whom nobody certified',
    signer: 'uncertified',
    recipient: 'rsa2048',
    standing: { 'fwknop → spa-server': 'different on purpose', 'spa-client → fwknopd': 'refused by fwknop' },
  },
];

const USUAL_HMACS = ['none', 'sha256', 'sha512'] as const;
const ALL_HMACS = ['none', 'md5', 'sha1', 'sha256', 'sha384', 'sha512', 'sha3_256', 'sha3_512'] as const;
const DIRECTIONS = ['fwknop → spa-server', 'spa-client → fwknopd'] as const;

/** All cells of one kind of keys. */
export function cellsOf(kind: OpenPgpKind): readonly OpenPgpCell[] {
  // Without an HMAC the stanza that checks no signature would open for everybody.
  const hmacs = kind.unsigned ? (['sha256'] as const) : kind.allHmacs ? ALL_HMACS : USUAL_HMACS;
  return DIRECTIONS.flatMap((direction) =>
    hmacs.flatMap((hmac): readonly OpenPgpCell[] => {
      const expected = kind.standing[direction];
      return expected === null ? [] : [{ kind: kind.name, hmac, direction, expected }];
    }),
  );
}

/** The whole matrix. */
export const OPENPGP_CELLS: readonly OpenPgpCell[] = OPENPGP_KINDS.flatMap(cellsOf);
