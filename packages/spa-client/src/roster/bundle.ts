import { createHash } from 'node:crypto';
import {
  type Access,
  type Bastion,
  type CertificationStanding,
  type Fingerprint,
  type KeyState,
  keysOf,
  type Operator,
  type PartyKey,
  type Plan,
  type RawCertificate,
  type Roster,
} from 'spa-core';

/** A file of a bundle, with its path in the bundle. It may hold a secret: mode 0600. */
export interface BundleFile {
  readonly path: string;
  readonly content: string;
}

/** What bundles are made of. */
export interface BundleSource {
  readonly roster: Roster;
  /** As it stands with the roster: who has a key that is fit, and is certified. */
  readonly plan: Plan;
  readonly certificates: ReadonlyMap<Fingerprint, RawCertificate>;
  /** The HMAC master secret of a bastion. */
  readonly hmacMaster: (bastion: Bastion) => Uint8Array;
}

/** An operator's key with which he may open a bastion. */
export interface Admission {
  readonly access: Access;
  readonly key: PartyKey;
  /** When it ends, in seconds since 1970: he has to leave, or the key has; null: no end that the roster says. */
  readonly endsAtSeconds: number | null;
}

/** Somebody whom the roster lets in, and who is not in a bundle, with the reason. */
export interface LeftOut {
  readonly operator: string;
  readonly bastion: string;
  readonly reason: string;
}

/** Who gets in at `bastion`, key by key, and who would if his key were fit and certified. */
export function admissionsTo(
  source: Pick<BundleSource, 'roster' | 'plan'>,
  bastion: Bastion,
): { readonly admitted: readonly Admission[]; readonly leftOut: readonly LeftOut[] } {
  const { plan } = source;
  const admitted: Admission[] = [];
  const leftOut: LeftOut[] = [];
  for (const access of plan.access.filter((one) => one.bastion.name === bastion.name)) {
    const { operator } = access;
    for (const key of keysOf(operator, plan.nowSeconds)) {
      const reason = whyNot(source, key, bastion);
      if (reason === null) admitted.push({ access, key, endsAtSeconds: endOf(operator, key) });
      else leftOut.push({ operator: operator.name, bastion: bastion.name, reason });
    }
  }
  return { admitted, leftOut };
}

/** The files with `MANIFEST`: the SHA-256 of each, as `sha256sum --check` reads it, and whose they are. */
export function withManifest(files: readonly BundleFile[], heading: string): readonly BundleFile[] {
  const lines = files.map(({ path, content }) => `${sha256(content)}  ${path}\n`);
  return [...files, { path: 'MANIFEST', content: `# ${heading}\n${lines.join('')}` }];
}

/** Hexadecimal. */
export function sha256(content: string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** A text that somebody wrote, for a comment of one line. */
export function asComment(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '?').slice(0, 200);
}

/** Null: the key lets its owner in. */
function whyNot(
  { roster, plan }: Pick<BundleSource, 'roster' | 'plan'>,
  { fingerprint }: PartyKey,
  bastion: Bastion,
): string | null {
  const { keys, certifications } = standingsOf(plan);
  const key = keys.get(fingerprint);
  if (key !== undefined && !FIT.has(key.state)) return key.reason || `the key is ${key.state}`;
  const certifier = roster.topology === 'mutual' ? bastion : roster.authority;
  const state = certifications.get(`${certifier?.key.fingerprint} ${fingerprint}`)?.state ?? 'missing';
  if (FIT.has(state)) return null;
  const by = certifier?.kind === 'bastion' ? 'the bastion' : (certifier?.name ?? 'the authority');
  return `the key ${fingerprint} is not certified by ${by} (${state}); run spa-keys sign`;
}

const FIT: ReadonlySet<string> = new Set(['ok', 'expiring']);

/** A plan's rows by what is asked for: fleets have many. */
interface Standings {
  readonly keys: ReadonlyMap<Fingerprint, KeyState>;
  /** By the certifier's fingerprint and the subject's. */
  readonly certifications: ReadonlyMap<string, CertificationStanding>;
}

const standings = new WeakMap<Plan, Standings>();

function standingsOf(plan: Plan): Standings {
  const known = standings.get(plan);
  if (known !== undefined) return known;
  const made: Standings = {
    keys: new Map(plan.keys.map((state) => [state.key.fingerprint, state])),
    certifications: new Map(
      plan.certifications.map((one) => [
        `${one.certifier.key.fingerprint} ${one.subject.key.fingerprint}`,
        one,
      ]),
    ),
  };
  standings.set(plan, made);
  return made;
}

function endOf({ notAfterSeconds, retiring }: Operator, key: PartyKey): number | null {
  const ends = [notAfterSeconds, key === retiring ? retiring.untilSeconds : null].filter(
    (end) => end !== null,
  );
  return ends.length === 0 ? null : Math.min(...ends);
}
