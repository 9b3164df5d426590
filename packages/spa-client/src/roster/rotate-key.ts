import { armorCertificates, type Fingerprint, type Party, type RawCertificate } from 'spa-core';
import { ConfigError } from 'spa-host';
import { changeFiles } from './change-set.ts';
import { editRoster, type RosterEdit } from './roster-edit.ts';
import { ROSTER_FILE } from './roster-file.ts';
import type { RosterFolder } from './roster-folder.ts';

/** When a rotation takes place, and until when the old key counts; null: it is out at once. Seconds since 1970. */
export interface RotationTimes {
  readonly nowSeconds: number;
  readonly untilSeconds: number | null;
}

/** @throws ConfigError if the party cannot have a new key yet: one of its keys retires, and there is room for one only */
export function checkRotation({ name, retiring }: Party, { nowSeconds, untilSeconds }: RotationTimes): void {
  if (retiring === null || nowSeconds >= retiring.untilSeconds || untilSeconds === null) return;
  const until = new Date(retiring.untilSeconds * 1000).toISOString().slice(0, 10);
  throw new ConfigError(
    { file: ROSTER_FILE },
    `${name} has a key that retires until ${until}, ${retiring.fingerprint}; wait for that, or say --overlap 0`,
  );
}

/**
 * Gives a party of the roster a new key. The old one retires: it counts until `untilSeconds`, or is out at once (null). Its certificate
 * goes into a file of its own. The caller has the folder's lock.
 * @throws ConfigError if the party has a key that still retires, or the new key is the old one
 */
export async function rotateKey(
  { path, text, roster, certificates }: RosterFolder,
  party: Party,
  next: RawCertificate,
  { nowSeconds, untilSeconds }: RotationTimes,
): Promise<void> {
  const { key, retiring } = party;
  if (next.fingerprint === key.fingerprint || next.fingerprint === retiring?.fingerprint) {
    throw new ConfigError({ file: ROSTER_FILE }, `${party.name}: ${next.fingerprint} is not a new key`);
  }
  checkRotation(party, { nowSeconds, untilSeconds });
  const place = party.kind === 'authority' ? ['authority'] : [`${party.kind}s`, party.name];
  const old = certificates.get(key.fingerprint);
  const oldFile = retiringFile(key.certificateFile, key.fingerprint);
  const isRetiring = untilSeconds !== null && old !== undefined;
  const edits: readonly RosterEdit[] = [
    { path: [...place, 'fingerprint'], value: next.fingerprint },
    {
      path: [...place, 'retiring'],
      value: isRetiring
        ? { fingerprint: key.fingerprint, certificate: oldFile, until: formatTime(untilSeconds) }
        : undefined,
    },
    // Whoever signs the roster raises its version; where nobody does, nobody else would.
    ...(roster.authority === null ? [{ path: ['version'], value: roster.version + 1 }] : []),
  ];
  const changes = new Map<string, string | null>([
    [ROSTER_FILE, editRoster(text, edits)],
    [key.certificateFile, armorCertificates([next])],
    ...(isRetiring ? [[oldFile, armorCertificates([old])] as const] : []),
    ...(retiring !== null && retiring.certificateFile !== oldFile
      ? [[retiring.certificateFile, null] as const]
      : []),
  ]);
  await changeFiles(path, changes);
}

/** `certificates/operators/alice.asc` becomes `certificates/operators/alice-89ABCDEF.asc`. */
function retiringFile(file: string, fingerprint: Fingerprint): string {
  return `${file.replace(/\.asc$/, '')}-${fingerprint.slice(-8)}.asc`;
}

function formatTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
}
