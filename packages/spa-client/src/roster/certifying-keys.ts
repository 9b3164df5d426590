import {
  type CertifyingKey,
  certifyingKey,
  type Fingerprint,
  hasPrimaryKey,
  KeyError,
  readCertifyingKey,
  readSecretKeys,
  type SecretKey,
  signingKey,
  unlockSecretKey,
} from 'spa-core';
import {
  ConfigError,
  connectGpgAgent,
  type GnupgHome,
  type GnupgSecretKey,
  type GnupgSigner,
  type GpgAgent,
  listSecretKeys,
  listSigningKeys,
} from 'spa-host';
import { readSecret, secretKeyFile } from './secrets-folder.ts';

/** Where secret keys may be. */
export interface KeyPlaces {
  /** The folder of the secrets; it need not be there. Null: none is looked at. */
  readonly secretsFolder: string | null;
  readonly homes: readonly GnupgHome[];
  /** Asks somebody for the passphrase of a key in the folder of the secrets. */
  readonly askPassphrase: (what: string) => Promise<string>;
}

/** A key to certify or to sign with. */
export interface FoundKey {
  readonly key: CertifyingKey;
  /** True: gpg-agent has it, and may ask somebody for a passphrase or a card each time. */
  readonly mayAsk: boolean;
}

/** The secret keys that are here. Each is looked for once. */
export interface CertifyingKeys {
  /**
   * The primary key with that fingerprint, which certifies: from the folder of the secrets, or else from a GnuPG home; null if it is
   * in none of them.
   * @param purpose what its passphrase is wanted for, said to whoever is asked
   * @throws ConfigError or KeyError if it is here and cannot be used
   */
  readonly find: (fingerprint: Fingerprint, purpose: string) => Promise<FoundKey | null>;
  /**
   * What signs files at `nowSeconds` in the name of the certificate with that fingerprint: a subkey, or the primary key if it may.
   * Null: there is none in these places, though the primary key may be.
   * @throws ConfigError or KeyError if it is here and cannot be used
   */
  readonly findSigner: (
    fingerprint: Fingerprint,
    purpose: string,
    nowSeconds: number,
  ) => Promise<FoundKey | null>;
  /** Ends the connections to agents. */
  readonly close: () => void;
}

/** The secret keys of these places. Nothing is read before it is looked for. */
export function openCertifyingKeys(places: KeyPlaces): CertifyingKeys {
  const found = new Map<Fingerprint, Promise<FoundKey | null>>();
  const signers = new Map<Fingerprint, Promise<FoundKey | null>>();
  const lists = new Map<GnupgHome, Promise<readonly GnupgSecretKey[]>>();
  const signerLists = new Map<GnupgHome, Promise<readonly GnupgSigner[]>>();
  const agents = new Map<GnupgHome, Promise<GpgAgent>>();
  const secretKeys = new Map<Fingerprint, Promise<SecretKey | null>>();
  const inHome = async (
    purpose: string,
    pick: (home: GnupgHome) => Promise<GnupgSecretKey | undefined>,
  ): Promise<FoundKey | null> => {
    for (const home of places.homes) {
      const secret = await pick(home);
      if (secret === undefined) continue;
      const agent = await remember(agents, home, () => connectGpgAgent(home));
      const { algorithm, sign } = agent.key(secret, purpose);
      return { key: { fingerprint: secret.fingerprint as Fingerprint, algorithm, sign }, mayAsk: true };
    }
    return null;
  };
  const inFolder = (fingerprint: Fingerprint): Promise<SecretKey | null> =>
    remember(secretKeys, fingerprint, () => readSecretKey(places, fingerprint));
  const look = async (fingerprint: Fingerprint, purpose: string): Promise<FoundKey | null> => {
    const data =
      places.secretsFolder === null ? null : readSecret(places.secretsFolder, secretKeyFile(fingerprint));
    const plain = data === null ? null : readCertifyingKey(data, fingerprint);
    if (plain !== null) return { key: plain, mayAsk: false };
    const secret = await inFolder(fingerprint);
    if (secret !== null && hasPrimaryKey(secret)) return { key: certifyingKey(secret), mayAsk: false };
    return inHome(purpose, async (home) => {
      const list = await remember(lists, home, () => listSecretKeys(home));
      return list.find((one) => one.fingerprint === fingerprint);
    });
  };
  const lookForSigner = async (
    fingerprint: Fingerprint,
    purpose: string,
    nowSeconds: number,
  ): Promise<FoundKey | null> => {
    const secret = await inFolder(fingerprint);
    const key = secret === null ? null : signerOf(secret, nowSeconds);
    if (key !== null) return { key, mayAsk: false };
    return inHome(purpose, async (home) => {
      const list = await remember(signerLists, home, () => listSigningKeys(home));
      return list.find(({ certificate }) => certificate === fingerprint)?.key;
    });
  };
  return {
    find: (fingerprint, purpose) => remember(found, fingerprint, () => look(fingerprint, purpose)),
    findSigner: (fingerprint, purpose, nowSeconds) =>
      remember(signers, fingerprint, () => lookForSigner(fingerprint, purpose, nowSeconds)),
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
async function readSecretKey(
  { secretsFolder, askPassphrase }: KeyPlaces,
  fingerprint: Fingerprint,
): Promise<SecretKey | null> {
  if (secretsFolder === null) return null;
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

/** Null: no part of it that is here may sign files. */
function signerOf(secret: SecretKey, nowSeconds: number): CertifyingKey | null {
  try {
    return signingKey(secret, nowSeconds);
  } catch (error) {
    if (error instanceof KeyError) return null;
    throw error;
  }
}

function remember<Key, Value>(known: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}
