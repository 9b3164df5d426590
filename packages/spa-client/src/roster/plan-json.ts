import {
  type Certification,
  formatProtoPort,
  isCleanPlan,
  type KeyHolder,
  type MadeCertification,
  type Party,
  type Plan,
  type Roster,
} from 'spa-core';

/**
 * Where a roster's signatures stand. `partial`: its own is good, and one of what a bastion reads of it is missing or does not fit;
 * `none`: it has no authority.
 */
export type RosterSignatureState = 'good' | 'missing' | 'wrong' | 'partial' | 'none';

/** True if nobody has to sign anything of the roster. */
export function isSigned(signature: RosterSignatureState): boolean {
  return signature === 'good' || signature === 'none';
}

/** What `spa-keys plan --json` prints: lists with an entry a line. Times are in ISO 8601. */
export function formatPlanJson(roster: Roster, plan: Plan, signature: RosterSignatureState): string {
  return formatReport({
    roster: roster.name,
    version: roster.version,
    topology: roster.topology,
    signature,
    at: time(plan.nowSeconds),
    clean: isCleanPlan(plan) && isSigned(signature),
    keys: plan.keys.map(({ state, reason, expiresAtSeconds, ...holder }) => ({
      ...holderJson(holder),
      state,
      ...(reason === '' ? {} : { reason }),
      expiresAt: time(expiresAtSeconds),
    })),
    certifications: plan.certifications.map(({ certifier, subject, state, expiresAtSeconds, found }) => ({
      certifier: holderJson(certifier),
      subject: holderJson(subject),
      state,
      wantedUntil: time(expiresAtSeconds),
      found: found === null ? null : certificationJson(found),
    })),
    unwanted: plan.unwanted.map(madeJson),
    access: plan.access.map(({ operator, bastion, ports, timeoutSeconds }) => ({
      operator: operator.name,
      bastion: bastion.name,
      ports: ports.map(formatProtoPort),
      timeout: timeoutSeconds,
    })),
  });
}

/** What `spa-keys audit --json` prints. */
export function formatAuditJson(
  roster: Roster,
  nowSeconds: number,
  made: readonly MadeCertification[],
): string {
  return formatReport({
    roster: roster.name,
    version: roster.version,
    at: time(nowSeconds),
    certifications: made.map(madeJson),
  });
}

/** An object as JSON, each of its settings on a line, and each entry of its lists: for people, and for diff. */
function formatReport(report: Readonly<Record<string, unknown>>): string {
  const settings = Object.entries(report).map(([name, value]) => {
    if (!Array.isArray(value)) return `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`;
    const entries = value.map((entry) => `    ${JSON.stringify(entry)}`).join(',\n');
    return `  ${JSON.stringify(name)}: [${entries === '' ? '' : `\n${entries}\n  `}]`;
  });
  return `{\n${settings.join(',\n')}\n}\n`;
}

function madeJson({ certifier, certifierKey, subject, certification }: MadeCertification): object {
  return {
    certifier: holderJson({ party: certifier, key: certifierKey }),
    subject: holderJson(subject),
    ...certificationJson(certification),
  };
}

function certificationJson(one: Certification): object {
  return {
    userId: one.userId,
    state: one.state,
    exportable: one.isExportable,
    madeAt: time(one.madeAtSeconds),
    expiresAt: time(one.expiresAtSeconds),
  };
}

function holderJson({ party, key }: KeyHolder): {
  readonly kind: Party['kind'];
  readonly name: string;
  readonly fingerprint: string;
} {
  return { kind: party.kind, name: party.name, fingerprint: key.fingerprint };
}

function time(seconds: number | null): string | null {
  return seconds === null ? null : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
