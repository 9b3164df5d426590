import {
  armorCertificates,
  type Bastion,
  type CertificationStanding,
  certifiedUserId,
  KeyError,
  onlyCertifiedBy,
  type Party,
  type Plan,
  type RawCertificate,
  readRawCertificates,
} from 'spa-core';
import { type CertifyOrder, type Ending, runInstaller, type Transport } from './far-host.ts';
import { type FarPlaces, ordersFor } from './push.ts';
import type { RosterFolder } from './roster-folder.ts';
import { type CertifierWork, type SigningOptions, standingsToMake } from './sign-roster.ts';
import { type CarriedCertification, certificationFault } from './signing-request.ts';

/** Certifications that one bastion is to make. */
export interface BastionWork extends CertifierWork {
  readonly party: Bastion;
}

/** What a bastion made, or why it made nothing. */
export type BastionAnswer =
  | {
      readonly state: 'answered';
      /** Verified, and as they were asked for. */
      readonly certifications: readonly CarriedCertification[];
      readonly refused: readonly RefusedCertification[];
    }
  | { readonly state: 'failed' | 'unreachable'; readonly reason: string };

/** A certification that was asked for, and is not there. */
export interface RefusedCertification {
  readonly subject: Party;
  readonly reason: string;
}

/** How bastions are asked. */
export interface BastionSigningOptions extends Pick<SigningOptions, 'verified'> {
  readonly transport: Transport;
  readonly places: FarPlaces;
}

/** What a plan finds wanting of bastions, by bastion. */
export function bastionWork(plan: Plan): readonly BastionWork[] {
  return standingsToMake(plan).flatMap(({ party, fingerprint, standings }) =>
    party.kind === 'bastion' ? [{ party, fingerprint, standings }] : [],
  );
}

/**
 * Lets a bastion certify, with a key that never left it. Nothing of its answer is taken but certifications that were asked for, as they
 * were asked for. Rejects with ConfigError if the program that goes there cannot be run.
 */
export async function certifyOnBastion(
  { party, fingerprint, standings }: BastionWork,
  folder: Pick<RosterFolder, 'roster' | 'certificates'>,
  { transport, places, verified }: BastionSigningOptions,
): Promise<BastionAnswer> {
  const { asked, refused } = ordersOf(standings, folder, verified);
  if (asked.length === 0) return { state: 'answered', certifications: [], refused };
  const ending = await runInstaller(
    transport,
    party,
    {
      ...ordersFor('certify', party, places),
      key: fingerprint,
      isExportable: folder.roster.certifications.isExportable,
      subjects: asked.map(({ order }) => order),
    },
    Buffer.from(armorCertificates(asked.map(({ raw }) => onlyCertifiedBy(raw, [])))),
  );
  if (ending.kind !== 'done') return { state: ending.kind, reason: ending.reason };
  const sent = certificatesOf(ending);
  const nowSeconds = Math.floor(Date.now() / 1000) + CLOCK_LEEWAY_SECONDS;
  const certifications: CarriedCertification[] = [];
  const faults = [...refused];
  for (const { standing, order, raw } of asked) {
    const result = await pick(sent.get(order.fingerprint), { standing, order, raw }, folder, nowSeconds);
    if (typeof result !== 'string') certifications.push(result);
    else faults.push({ subject: standing.subject.party, reason: reasonOf(ending, order) ?? result });
  }
  return { state: 'answered', certifications, refused: faults };
}

/** A bastion's clock may be that much ahead. */
export const CLOCK_LEEWAY_SECONDS = 5;
/** Whoever sends more signatures by one key on one user ID means no good. */
const CANDIDATES_MAX = 8;

interface Asked {
  readonly standing: CertificationStanding;
  readonly order: CertifyOrder;
  readonly raw: RawCertificate;
}

/** What can be asked for: a user ID is a line of an order. */
function ordersOf(
  standings: readonly CertificationStanding[],
  { certificates }: Pick<RosterFolder, 'certificates'>,
  verified: SigningOptions['verified'],
): { readonly asked: readonly Asked[]; readonly refused: readonly RefusedCertification[] } {
  const asked: Asked[] = [];
  const refused: RefusedCertification[] = [];
  const nowSeconds = Math.floor(Date.now() / 1000);
  for (const standing of standings) {
    const { party, key } = standing.subject;
    const raw = certificates.get(key.fingerprint);
    const userId = raw === undefined ? null : certifiedUserId(party, raw, nowSeconds, verified);
    if (raw === undefined || userId === null) {
      refused.push({ subject: party, reason: 'it has no user ID that its owner signed' });
    } else if (/[\p{C}\uFFFD]/u.test(userId)) {
      refused.push({
        subject: party,
        reason: 'its user ID is no line of text, so gpg there cannot be asked',
      });
    } else {
      const { expiresAtSeconds } = standing;
      asked.push({ standing, raw, order: { fingerprint: key.fingerprint, userId, expiresAtSeconds } });
    }
  }
  return { asked, refused };
}

/** The certification that was asked for, of those that came back; text: why there is none. */
async function pick(
  sent: RawCertificate | undefined,
  { standing, order, raw }: Asked,
  { roster, certificates }: Pick<RosterFolder, 'roster' | 'certificates'>,
  nowSeconds: number,
): Promise<CarriedCertification | string> {
  const { fingerprint } = standing.certifier.key;
  const certifier = certificates.get(fingerprint);
  if (certifier === undefined) return 'the certificate of the bastion is not here';
  const signatures = sent?.users.find(({ userId }) => userId === order.userId)?.signatures ?? [];
  const candidates = signatures
    .filter(({ fields }) => fields?.issuerKeyId === certifier.primary.keyId)
    .slice(0, CANDIDATES_MAX);
  let fault: string | null = null;
  for (const { octets: signature } of candidates) {
    const carried: CarriedCertification = {
      certifier: fingerprint,
      subject: order.fingerprint,
      userId: order.userId,
      signature,
    };
    fault = await certificationFault(carried, certifier, raw, standing, roster, nowSeconds);
    if (fault === null) return carried;
  }
  return fault === null ? 'it sent no certification' : `the certification that it sent ${fault}`;
}

/** What gpg said there. */
function reasonOf(
  { lines }: Extract<Ending, { kind: 'done' }>,
  { fingerprint }: CertifyOrder,
): string | null {
  const word = `refused ${fingerprint}`;
  const line = lines.find((one) => one === word || one.startsWith(`${word} `));
  return line === undefined ? null : line.slice(word.length).trim() || 'gpg there did not certify it';
}

function certificatesOf({ lines }: Extract<Ending, { kind: 'done' }>): ReadonlyMap<string, RawCertificate> {
  const text = lines.join('\n');
  const start = text.indexOf('-----BEGIN PGP');
  if (start < 0) return new Map();
  try {
    return new Map(readRawCertificates(Buffer.from(text.slice(start))).map((raw) => [raw.fingerprint, raw]));
  } catch (error) {
    if (error instanceof KeyError) return new Map();
    throw error;
  }
}
