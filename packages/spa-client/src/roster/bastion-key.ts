import { type Bastion, KeyError, type RawCertificate, readRawCertificates } from 'spa-core';
import { ConfigError } from 'spa-host';
import { runInstaller, type Transport } from './far-host.ts';
import { type FarPlaces, ordersFor } from './push.ts';

/** For whom a key is made. */
export interface BastionKeyWish {
  /** As in `us-east-1a <bastion@us-east-1.example.org>`, one line. */
  readonly userId: string;
  /** In seconds since 1970; null: the key has no end. */
  readonly expiresAtSeconds: number | null;
  /** A new key although the bastion has one: it is to be rotated. */
  readonly another: boolean;
}

/**
 * Makes a bastion's key on the bastion, by its own gpg: ed25519, and cv25519 to encrypt to. The secret part stays there; this is
 * the certificate. A bastion that has a key keeps it.
 * @throws ConfigError if the bastion cannot be reached, or makes none
 */
export async function makeKeyOnBastion(
  bastion: Pick<Bastion, 'name' | 'host' | 'sshPort' | 'capabilities'>,
  wish: BastionKeyWish,
  { transport, places }: { readonly transport: Transport; readonly places: FarPlaces },
): Promise<RawCertificate> {
  const { userId, expiresAtSeconds, another } = wish;
  const ending = await runInstaller(transport, bastion, {
    ...ordersFor('enrol', bastion, places),
    ...{ userId, another },
    ...(expiresAtSeconds === null ? {} : { expiresAtSeconds }),
  });
  if (ending.kind !== 'done') throw new ConfigError({ file: bastion.name }, ending.reason);
  const [certificate] = readAll(ending.lines.join('\n'));
  if (certificate !== undefined && ending.lines.includes(`fingerprint ${certificate.fingerprint}`)) {
    return certificate;
  }
  throw new ConfigError({ file: bastion.name }, 'it sent no certificate of the key that it made');
}

function readAll(text: string): readonly RawCertificate[] {
  try {
    return readRawCertificates(Buffer.from(text.slice(text.indexOf('-----BEGIN PGP'))));
  } catch (error) {
    if (error instanceof KeyError) return [];
    throw error;
  }
}
