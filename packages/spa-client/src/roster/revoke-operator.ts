import {
  certificationsOf,
  type Fingerprint,
  type Operator,
  type Party,
  type PartyKey,
  type RawCertificate,
  type RevocationTerms,
  readRevocation,
  revokeCertificate,
  revokeCertification,
  validityOf,
  withSignatures,
} from 'spa-core';
import { ConfigError } from 'spa-host';
import type { CertifyingKeys } from './certifying-keys.ts';
import { PendingSignatures } from './pending-signatures.ts';
import { editRoster } from './roster-edit.ts';
import { ROSTER_FILE } from './roster-file.ts';
import { partiesOf, type RosterFolder, readRosterFolder } from './roster-folder.ts';
import { type RosterSigning, type SigningOptions, signText } from './sign-roster.ts';

/** Why somebody is out, and what goes with it. */
export interface RevocationOrder {
  readonly operator: string;
  /** For people. */
  readonly reason: string;
  /** A revocation that the operator made of his own key, armored or binary; null: there is none. */
  readonly ownRevocation: { readonly file: string; readonly data: Buffer } | null;
}

/** What was taken back. */
export interface RevocationResult {
  /** Certifications of his keys. */
  readonly certifications: number;
  /** Keys that still vouch for him, because they are elsewhere. */
  readonly lacking: readonly { readonly party: Party; readonly fingerprint: Fingerprint }[];
  /** His keys that are revoked by themselves. */
  readonly revokedKeys: readonly Fingerprint[];
  readonly roster: RosterSigning['state'];
  readonly version: number;
}

/**
 * Shuts an operator out in the roster's folder: he is revoked in the roster, whoever vouched for him and has his key here takes that
 * back, and his own key is revoked if that can be. All at once or nothing. What was done before is not done again. The caller has the
 * folder's lock.
 * @throws ConfigError if there is no such operator, or the revocation is not one of his key
 */
export async function revokeOperator(
  path: string,
  order: RevocationOrder,
  keys: CertifyingKeys,
  options: SigningOptions,
): Promise<RevocationResult> {
  const folder = await readRosterFolder(path);
  const operator = folder.roster.operators.find(({ name }) => name === order.operator);
  if (operator === undefined) {
    throw new ConfigError(
      { file: ROSTER_FILE },
      `there is no operator "${order.operator}"; spa-keys plan lists them`,
    );
  }
  const pending = new PendingSignatures(folder);
  const lacking = new Map<Fingerprint, Party>();
  const revokedKeys: Fingerprint[] = [];
  const own = ownRevocationOf(order, operator, folder, options);
  let certifications = 0;
  for (const raw of certificatesOf(operator, folder)) {
    const { fingerprint } = raw;
    for (const vouch of await vouchersOf(raw, folder, options)) {
      const purpose = `spa-keys: to take back what vouches for ${operator.name}, with`;
      const found = await keys.find(vouch.fingerprint, purpose);
      if (found === null) {
        lacking.set(vouch.fingerprint, vouch.party);
        continue;
      }
      const terms = { ...termsOf(order, options), isExportable: vouch.isExportable };
      const signature = await revokeCertification(found.key, raw, vouch.userId, terms);
      pending.add(fingerprint, { userId: vouch.userId, signature });
      certifications += 1;
    }
    if (validityOf(raw, 'certify', options.nowSeconds, options.verified).state === 'revoked') continue;
    const signature =
      own?.fingerprint === fingerprint ? own.signature : await selfRevocation(raw, order, keys, options);
    if (signature === null) continue;
    pending.add(fingerprint, { userId: null, signature });
    revokedKeys.push(fingerprint);
  }
  await pending.keep(new Map([[ROSTER_FILE, revokedText(folder, operator, order, options.nowSeconds)]]));
  const signing = await signText(await readRosterFolder(path), keys, options);
  await pending.keep(signing.changes);
  return {
    certifications,
    lacking: [...lacking].map(([fingerprint, party]) => ({ party, fingerprint })),
    revokedKeys,
    roster: signing.state,
    version: signing.version,
  };
}

/** Who is revoked already stays so with the reason that was given then. */
function revokedText(
  { text, roster: { authority, version } }: RosterFolder,
  { name, revoked }: Operator,
  { reason }: RevocationOrder,
  nowSeconds: number,
): string {
  if (revoked !== null) return text;
  const at = new Date(nowSeconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  return editRoster(text, [
    { path: ['operators', name, 'revoked'], value: { at, reason } },
    // Whoever signs the roster raises its version; where nobody does, nobody else would.
    ...(authority === null ? [{ path: ['version'], value: version + 1 }] : []),
  ]);
}

function certificatesOf(
  { key, retiring }: Operator,
  { certificates }: RosterFolder,
): readonly RawCertificate[] {
  const keys: readonly PartyKey[] = retiring === null ? [key] : [key, retiring];
  return keys.flatMap(({ fingerprint }) => certificates.get(fingerprint) ?? []);
}

interface Voucher {
  readonly party: Party;
  readonly fingerprint: Fingerprint;
  readonly userId: string;
  readonly isExportable: boolean;
}

/** Those of the roster whose word still counts for this certificate, also with keys that retire. */
async function vouchersOf(
  raw: RawCertificate,
  { roster, certificates }: RosterFolder,
  { nowSeconds, verified }: SigningOptions,
): Promise<readonly Voucher[]> {
  const owners = new Map(
    partiesOf(roster).flatMap((party) => {
      const keys: readonly PartyKey[] = party.retiring === null ? [party.key] : [party.key, party.retiring];
      return keys.map(({ fingerprint }) => [fingerprint, party] as const);
    }),
  );
  const candidates = [...owners.keys()].flatMap((fingerprint) => certificates.get(fingerprint) ?? []);
  const found = new Map<string, Voucher>();
  for (const one of await certificationsOf(raw, candidates, nowSeconds, verified)) {
    const { fingerprint } = one.certifier;
    const party = owners.get(fingerprint);
    if (party === undefined || one.state === 'revoked' || one.state === 'expired') continue;
    found.set(`${fingerprint} ${one.userId}`, {
      party,
      fingerprint,
      userId: one.userId,
      isExportable: one.isExportable,
    });
  }
  return [...found.values()];
}

function termsOf({ reason }: RevocationOrder, { nowSeconds }: SigningOptions): RevocationTerms {
  return { madeAtSeconds: nowSeconds, reason: 'none', text: reason };
}

async function selfRevocation(
  raw: RawCertificate,
  order: RevocationOrder,
  keys: CertifyingKeys,
  options: SigningOptions,
): Promise<Buffer | null> {
  const found = await keys.find(
    raw.fingerprint,
    `spa-keys: to revoke the key of ${order.operator}, which is`,
  );
  return found === null ? null : revokeCertificate(found.key, raw, termsOf(order, options));
}

/** What the operator made himself; it must really be his, and of one of his keys. */
function ownRevocationOf(
  { ownRevocation }: RevocationOrder,
  operator: Operator,
  folder: RosterFolder,
  { nowSeconds }: SigningOptions,
): { readonly fingerprint: Fingerprint; readonly signature: Buffer } | null {
  if (ownRevocation === null) return null;
  const { file, data } = ownRevocation;
  const signature = readRevocation(data);
  for (const raw of certificatesOf(operator, folder)) {
    const revoked = signature === null ? null : withSignatures(raw, [{ userId: null, signature }]);
    if (
      revoked !== null &&
      validityOf(revoked, 'certify', nowSeconds).state === 'revoked' &&
      signature !== null
    ) {
      return { fingerprint: raw.fingerprint, signature };
    }
  }
  throw new ConfigError({ file }, `holds no revocation of ${operator.key.fingerprint} by itself`);
}
