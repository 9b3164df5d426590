import { UsageError } from 'spa-host';
import { secretSource } from '../secret-source.ts';

/** Asks for what protects a key: one thing at a time. @throws UsageError if there is nobody to ask, or he gives nothing */
export async function askPassphrase(what: string): Promise<string> {
  const secret = await SOURCE.ask(what);
  return secret.bytes().toString('utf8');
}

/**
 * The passphrase of a key that is about to be made for `owner`, typed twice: nobody sees what he types, and with a slip of the
 * finger the key would be lost.
 * @throws UsageError as {@link askPassphrase}, and for two that differ
 */
export async function newPassphrase(owner: string): Promise<string> {
  const first = await askPassphrase(`passphrase for the new key of ${owner}`);
  if ((await askPassphrase('the same passphrase again')) === first) return first;
  throw new UsageError('these are two different passphrases; nothing was made');
}

const SOURCE = secretSource(
  null,
  'run this on one, or name a program in SSH_ASKPASS, with SSH_ASKPASS_REQUIRE=force',
);
