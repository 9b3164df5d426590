import { type CertifyingKeys, openCertifyingKeys } from '../../roster/certifying-keys.ts';
import { gnupgHomes, type PlaceValues, secretsPath } from './common-options.ts';
import { askPassphrase } from './passphrase.ts';

/** Runs `work` with the secret keys that `--secrets` and `--gnupg-home` name; a passphrase is asked for on the terminal. */
export async function withSecretKeys<Result>(
  values: Pick<PlaceValues, 'secrets' | 'gnupg-home'>,
  rosterName: string,
  work: (keys: CertifyingKeys) => Promise<Result>,
): Promise<Result> {
  const keys = openCertifyingKeys({
    secretsFolder: secretsPath(values, rosterName),
    homes: gnupgHomes(values),
    askPassphrase,
  });
  try {
    return await work(keys);
  } finally {
    keys.close();
  }
}
