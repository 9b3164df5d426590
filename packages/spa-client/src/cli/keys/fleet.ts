import { join } from 'node:path';
import type { Bastion, Operator, Party } from 'spa-core';
import { probablyMeant, UsageError } from 'spa-host';
import { type BastionBundle, bastionBundle } from '../../roster/bastion-bundle.ts';
import type { BundleSource, LeftOut } from '../../roster/bundle.ts';
import { hmacMasters } from '../../roster/hmac-masters.ts';
import { planFolder } from '../../roster/plan-folder.ts';
import { type RosterFolder, readRosterFolder } from '../../roster/roster-folder.ts';
import { say } from '../program.ts';
import { type PlaceValues, rosterPath, secretsPath } from './common-options.ts';
import { withRosterSigning } from './roster-signing.ts';

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

/** The bundles of `bastions`. Their rosters are signed one after the other: a card may ask each time. */
export function bastionBundles(
  { folder, source }: Fleet,
  bastions: readonly Bastion[],
  values: Pick<PlaceValues, 'secrets' | 'gnupg-home'>,
  farFolder: string,
): Promise<readonly BastionBundle[]> {
  return withRosterSigning(folder, values, source.plan.nowSeconds, async (signing) => {
    const bundles: BastionBundle[] = [];
    for (const bastion of bastions) {
      bundles.push(await bastionBundle(source, bastion, { folder: farFolder, signing }));
    }
    return bundles;
  });
}

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
