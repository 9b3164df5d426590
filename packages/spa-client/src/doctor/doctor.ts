import { askOnce } from './ask-once.ts';
import type { Check, Examination, Facts } from './check.ts';
import { clockCheck } from './clock.ts';
import { dnsCheck } from './dns.ts';
import { type Finding, skipped } from './finding.ts';
import { keyFilesCheck } from './key-files.ts';
import { hmacCheck, keysCheck } from './keys.ts';
import { doorCheck, packetCheck } from './knock.ts';
import { certificationCheck, recipientCheck, signerCheck } from './openpgp.ts';
import { sizeCheck } from './packet-size.ts';
import { portCheck } from './port.ts';
import { checkRcFile, checkRegion } from './rc-file.ts';
import { routeCheck } from './route.ts';

/** A finding, and whose. */
export interface Diagnosis extends Finding {
  /** The bastion's stanza; null: of the rc file or the whole region. */
  readonly bastion: string | null;
}

/** How to examine each bastion. */
export type DoctorOptions = Omit<Examination, 'bastion'>;

/**
 * Examines a region from the rc file to the open door, each of its bastions; gives each finding as soon as it is there.
 *
 * Nothing is changed, but one packet and, if there is no answer, more go to each bastion, unless `waitMs` is null. What
 * cannot be looked at because something before it is wrong is `skipped`.
 */
export async function* examineRegion(
  rcFilePath: string,
  name: string,
  options: DoctorOptions,
): AsyncGenerator<Diagnosis, void, void> {
  const { finding: ofRcFile, rcFile } = checkRcFile(rcFilePath);
  yield { ...ofRcFile, bastion: null };
  if (rcFile === null) {
    yield { ...skipped('region', 'the rc file cannot be used'), bastion: null };
    return;
  }
  const { finding: ofRegion, region } = checkRegion(rcFile, name);
  yield { ...ofRegion, bastion: null };
  if (region === null) return;
  for (const bastion of region.bastions) {
    const examination = { ...options, bastion, secrets: askOnce(options.secrets) };
    for await (const finding of examineBastion(examination)) yield { ...finding, bastion: bastion.name };
  }
}

const CHECKS: readonly Check[] = [
  dnsCheck,
  routeCheck,
  clockCheck,
  keyFilesCheck,
  keysCheck,
  hmacCheck,
  signerCheck,
  recipientCheck,
  certificationCheck,
  sizeCheck,
  portCheck,
  packetCheck,
  doorCheck,
];

/** Why a check cannot run without that. */
const LACKS: Readonly<Record<keyof Facts, string>> = {
  ssh: 'the name cannot be looked up',
  servers: 'the name has no address',
  routes: 'there is no way to the bastion',
  keys: 'the keys cannot be used',
  packetLength: 'no packet can be made',
  wasClosed: 'the port was open before, or could not be looked at',
  knock: 'no packet was sent',
};

async function* examineBastion(examination: Examination): AsyncGenerator<Finding, void, void> {
  let facts: Facts = {};
  for (const check of CHECKS) {
    if (!check.appliesTo(examination.bastion.settings)) continue;
    const lacking = check.needs.find((need) => facts[need] === undefined);
    if (lacking !== undefined) {
      yield skipped(check.name, LACKS[lacking]);
      continue;
    }
    const outcome = await check.run(examination, facts);
    facts = { ...facts, ...outcome.facts };
    yield* outcome.findings;
  }
}
