import { signDetached } from 'spa-core';
import { ConfigError } from 'spa-host';
import type { RosterSigning } from '../../roster/bastion-bundle.ts';
import { type RosterFolder, SIGNATURE_FILE, verifyRosterSignature } from '../../roster/roster-folder.ts';
import { say } from '../program.ts';
import type { PlaceValues } from './common-options.ts';
import { withSecretKeys } from './secret-keys.ts';

/**
 * Runs `work` with what signs the rosters of bastions: null if there is no authority, none of the bastions reads a roster, or the
 * authority's key is not here, which is said.
 * @throws ConfigError if the roster is not signed by its authority: what nobody vouches for goes to no bastion
 */
export async function withRosterSigning<Result>(
  folder: RosterFolder,
  values: Pick<PlaceValues, 'secrets' | 'gnupg-home'>,
  nowSeconds: number,
  work: (signing: RosterSigning | null) => Promise<Result>,
): Promise<Result> {
  const { authority, bastions, name } = folder.roster;
  if (authority === null) return work(null);
  const signature = await verifyRosterSignature(folder, nowSeconds);
  if (signature === null) {
    throw new ConfigError(
      { file: SIGNATURE_FILE },
      `is no signature of this roster by ${authority.name}; look at what changed, and run spa-keys sign`,
    );
  }
  if (!bastions.some(({ capabilities }) => capabilities.includes('spa-server'))) return work(null);
  return withSecretKeys(values, name, async (keys) => {
    const found = await keys.find(
      authority.key.fingerprint,
      'spa-keys: to sign the rosters of bastions, with',
    );
    if (found === null) {
      say(
        `the key of ${authority.name} is not here, so that bastions get no roster that is signed; --secrets and --gnupg-home say where keys are`,
      );
      return work(null);
    }
    const { key } = found;
    return work({
      issuedAtSeconds: signature.signedAtSeconds,
      sign: (_, text) => signDetached(key, Buffer.from(text), nowSeconds),
    });
  });
}
