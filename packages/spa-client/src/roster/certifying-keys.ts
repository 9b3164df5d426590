import {
  type CertifyingKey,
  certifyingKey,
  type Fingerprint,
  readCertifyingKey,
  readSecretKeys,
  type SecretKey,
  unlockSecretKey,
} from 'spa-core';
import {
  ConfigError,
  connectGpgAgent,
  type GnupgHome,
  type GnupgSecretKey,
  type GpgAgent,
  listSecretKeys,
} from 'spa-host';
import { readSecret, secretKeyFile } from './secrets-folder.ts';

/** Where secret keys may be. */
export interface KeyPlaces {
  /** The folder of the secrets; it need not be there. */
  readonly secretsFolder: string;
  readonly homes: readonly GnupgHome[];
  /** Asks somebody for the passphrase of a key in the folder of the secrets. */
  readonly askPassphrase: (what: string) => Promise<string>;
}

/** A key to certify with. */
export interface FoundKey {
  readonly key: CertifyingKey;
  /** True: gpg-agent has it, and may ask somebody for a passphrase or a card each time. */
  readonly mayAsk: boolean;
}

/** The secret keys that are here. Each is looked for once. */
export interface CertifyingKeys {
  /**
   * The key with that fingerprint: from the folder of the secrets, or else from a GnuPG home; null if it is in none of them.
   * @param purpose what its passphrase is wanted for, said to whoever is asked
   * @throws ConfigError or KeyError if it is here and cannot be used
   */
  readonly find: (fingerprint: Fingerprint, purpose: string) => Promise<FoundKey | null>;
  /** Ends the connections to agents. */
  readonly close: () => void;
}

/** The secret keys of these places. Nothing is read before it is looked for. */
export function openCertifyingKeys(places: KeyPlaces): CertifyingKeys {
  const found = new Map<Fingerprint, Promise<FoundKey | null>>();
  const lists = new Map<GnupgHome, Promise<readonly GnupgSecretKey[]>>();
  const agents = new Map<GnupgHome, Promise<GpgAgent>>();
  const inHome = async (fingerprint: Fingerprint, purpose: string): Promise<FoundKey | null> => {
    for (const home of places.homes) {
      const list = remember(lists, home, () => listSecretKeys(home));
      const secret = (await list).find((one) => one.fingerprint === fingerprint);
      if (secret === undefined) continue;
      const agent = await remember(agents, home, () => connectGpgAgent(home));
      const { algorithm, sign } = agent.key(secret, purpose);
      return { key: { fingerprint, algorithm, sign }, mayAsk: true };
    }
    return null;
  };
  const look = async (fingerprint: Fingerprint, purpose: string): Promise<FoundKey | null> => {
    const data = readSecret(places.secretsFolder, secretKeyFile(fingerprint));
    const plain = data === null ? null : readCertifyingKey(data, fingerprint);
    if (plain !== null) return { key: plain, mayAsk: false };
    const secret = await readSecretKey(places, fingerprint);
    if (secret !== null) return { key: certifyingKey(secret), mayAsk: false };
    return inHome(fingerprint, purpose);
  };
  return {
    find: (fingerprint, purpose) => remember(found, fingerprint, () => look(fingerprint, purpose)),
    close: () => {
      for (const agent of agents.values()) {
        agent.then(
          (connection) => connection.close(),
          () => {},
        );
      }
    },
  };
}

/**
 * A secret key of the folder of the secrets, unlocked; null if it is not there.
 * @throws ConfigError or KeyError if it cannot be read
 */
export async function readSecretKey(
  { secretsFolder, askPassphrase }: KeyPlaces,
  fingerprint: Fingerprint,
): Promise<SecretKey | null> {
  const file = secretKeyFile(fingerprint);
  const data = readSecret(secretsFolder, file);
  if (data === null) return null;
  const key = (await readSecretKeys(data)).find((one) => one.fingerprint === fingerprint);
  if (key === undefined) {
    throw new ConfigError({ file: `${secretsFolder}/${file}` }, 'holds another key than its name says');
  }
  if (!key.isLocked) return key;
  return unlockSecretKey(key, await askPassphrase(`passphrase of the key ${fingerprint}`));
}

function remember<Key, Value>(known: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}
