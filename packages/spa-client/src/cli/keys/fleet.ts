import { join } from 'node:path';
import type { Bastion, Operator, Party } from 'spa-core';
import { ConfigError, probablyMeant, UsageError } from 'spa-host';
import { type BastionBundle, bastionBundle } from '../../roster/bastion-bundle.ts';
import type { BundleSource, LeftOut } from '../../roster/bundle.ts';
import { hmacMasters } from '../../roster/hmac-masters.ts';
import { planFolder } from '../../roster/plan-folder.ts';
import { type RosterFolder, readRosterFolder } from '../../roster/roster-folder.ts';
import {
  BASTION_SIGNATURES_FOLDER,
  SIGNATURE_FILE,
  verifySignatures,
} from '../../roster/roster-signatures.ts';
import { say } from '../program.ts';
import { type PlaceValues, rosterPath, secretsPath } from './common-options.ts';

/** A roster with all that bundles are made of. */
export interface Fleet {
  readonly folder: RosterFolder;
  readonly source: BundleSource;
  readonly secretsFolder: string;
}

/** Reads the roster, looks how it stands, and gets the HMAC secrets of its bastions. @throws ConfigError */
export async function readFleet(values: PlaceValues, nowSeconds: number): Promise<Fleet> {
  const folder = await readRosterFolder(rosterPath(values));
  const { roster, certificates } = folder;
  const secretsFolder = secretsPath(values, roster.name);
  const plan = await planFolder(folder, secretsFolder, nowSeconds);
  const hmacMaster = await hmacMasters(secretsFolder, roster.bastions);
  return { folder, secretsFolder, source: { roster, plan, certificates, hmacMaster } };
}

/**
 * The bundles of `bastions`. No secret key is needed: what its authority signed was signed by spa-keys sign.
 * @throws ConfigError if the roster, or what one of them reads of it, is not signed as it is: what nobody vouches for goes nowhere
 */
export async function bastionBundles(
  { folder, source }: Fleet,
  bastions: readonly Bastion[],
  farFolder: string,
): Promise<readonly BastionBundle[]> {
  const { authority } = folder.roster;
  const signed = await verifySignatures(folder, source.plan.nowSeconds);
  if (authority !== null && signed === null) {
    throw new ConfigError(
      { file: SIGNATURE_FILE },
      `is no signature of this roster by ${authority.name}; look at what changed, and ${SIGN}`,
    );
  }
  const lacking = bastions.filter(({ name }) => signed?.lacking.includes(name)).map(({ name }) => name);
  if (lacking.length > 0) {
    throw new ConfigError(
      { file: BASTION_SIGNATURES_FOLDER },
      `the signature of what ${lacking.join(', ')} reads of the roster is missing, or is not of this version; ${SIGN}`,
    );
  }
  return bastions.map((bastion) =>
    bastionBundle(source, bastion, {
      folder: farFolder,
      signedRoster: signed?.bastions.get(bastion.name) ?? null,
    }),
  );
}

const SIGN =
  "run spa-keys sign; if the authority's key is elsewhere, spa-keys plan --export FILE writes what is to be carried there";

/** Who of `parties` is named; all if nobody is. @throws UsageError for a name that nobody has */
export function chosen<One extends Party>(parties: readonly One[], names: readonly string[]): readonly One[] {
  const known = parties.map(({ name }) => name);
  for (const name of names.filter((one) => !known.includes(one))) {
    const meant = probablyMeant(name, known);
    throw new UsageError(
      `the roster has no "${name}"; ${meant === null ? `it has ${known.join(', ')}` : `did you mean ${meant}?`}`,
    );
  }
  return names.length === 0 ? parties : parties.filter(({ name }) => names.includes(name));
}

/** The operators and bastions of a roster. */
export function membersOf({ operators, bastions }: BundleSource['roster']): readonly (Operator | Bastion)[] {
  return [...operators, ...bastions];
}

/** Says who is not in a bundle although the roster lets him in, each of them once for all bastions alike. */
export function sayLeftOut(leftOut: readonly LeftOut[]): void {
  const bastionsOf = new Map<string, string[]>();
  for (const { operator, bastion, reason } of leftOut) {
    const key = `${operator}: ${reason}`;
    bastionsOf.set(key, [...(bastionsOf.get(key) ?? []), bastion]);
  }
  for (const [who, bastions] of bastionsOf) {
    const where =
      bastions.length > 3
        ? `${bastions.slice(0, 3).join(', ')} and ${bastions.length - 3} more`
        : bastions.join(', ');
    say(`not let in at ${where}: ${who}`);
  }
}

/** Where bundles are written unless told: among the secrets, because they hold some. */
export function defaultBundlesPath(secretsFolder: string): string {
  return join(secretsFolder, 'bundles');
}
