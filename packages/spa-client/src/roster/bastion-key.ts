import { type Bastion, type Fingerprint, KeyError, type RawCertificate, readRawCertificates } from 'spa-core';
import { ConfigError } from 'spa-host';
import { runInstaller, type Transport } from './far-host.ts';
import { type FarPlaces, ordersFor } from './push.ts';

/** For whom a key is made. */
export interface BastionKeyWish {
  /** As in `us-east-1a <bastion@us-east-1.example.org>`, one line. */
  readonly userId: string;
  /** In seconds since 1970; null: the key has no end. */
  readonly expiresAtSeconds: number | null;
  /** `ecc`: ed25519, and cv25519 to encrypt to. `rsa3072`: what stock fwknop can seal for. */
  readonly algorithm: 'ecc' | 'rsa3072';
  /** Keys that it has and that a new one is to follow. */
  readonly known: readonly Fingerprint[];
}

/**
 * Makes a bastion's key on the bastion, by its own gpg. The secret part stays there; this is the certificate. A key there that is
 * younger than those that are known is taken: a run that could not say so made it.
 * @throws ConfigError if the bastion cannot be reached, or makes none
 */
export async function makeKeyOnBastion(
  bastion: Pick<Bastion, 'name' | 'host' | 'sshPort' | 'capabilities'>,
  wish: BastionKeyWish,
  { transport, places }: { readonly transport: Transport; readonly places: FarPlaces },
): Promise<RawCertificate> {
  const { userId, expiresAtSeconds, algorithm, known } = wish;
  const ending = await runInstaller(transport, bastion, {
    ...ordersFor('enrol', bastion, places),
    ...{ userId, algorithm, known },
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
