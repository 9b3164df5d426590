import type { Sealing } from 'spa-core';
import { loadPacketKeys, type PacketKeys } from '../packet-keys.ts';
import type { Settings } from '../settings.ts';
import { type Check, type Examination, makeCheck, type Outcome } from './check.ts';
import { complaint, type Finding, ok, warn } from './finding.ts';

/** Whether all keys of a packet can be loaded and used. */
export const keysCheck: Check = makeCheck({ name: 'keys', run: checkKeys });

/** Whether there is an HMAC. */
export const hmacCheck: Check = makeCheck({
  name: 'hmac',
  run: async ({ bastion: { settings } }) => ({ findings: [hmacFinding(settings)] }),
});

async function checkKeys({ bastion: { settings }, secrets }: Examination): Promise<Outcome> {
  try {
    const keys = await loadPacketKeys(settings, secrets);
    return { findings: [...asked(settings), ok('keys', describe(keys))], facts: { keys } };
  } catch (error) {
    const finding = complaint('keys', error, 'write the keys into the rc file');
    if (finding === null) throw error;
    return { findings: [finding] };
  }
}

function asked({ useGpg, key }: Settings): readonly Finding[] {
  if (useGpg || key !== undefined) return [];
  const todo = 'write KEY_BASE64 into the rc file, or name a KEY_FILE';
  return [warn('keys', 'there is no encryption key in the rc file: it is asked for each time', todo)];
}

function describe({ encryption, hmac }: PacketKeys): string {
  const hmacText = hmac === null ? '' : `, an HMAC key of ${hmac.bytes().length} bytes`;
  const unequal = hmac !== null && encryption.kind === 'aes' ? ', not the same' : '';
  return `${describeSealing(encryption)}${hmacText}${unequal}`;
}

function describeSealing(encryption: Sealing): string {
  switch (encryption.kind) {
    case 'aes':
      return `an AES key of ${encryption.key.bytes().length} bytes`;
    case 'openpgp':
      return 'the signing key comes from its file';
    case 'external':
      return 'gpg has the signing key';
  }
}

function hmacFinding({ hmacKey, useHmac, hmacDigest = 'sha256' }: Settings): Finding {
  if (hmacKey !== undefined || useHmac) return ok('hmac', `packets carry an HMAC (${hmacDigest})`);
  return warn(
    'hmac',
    'packets carry none, so the bastion has to decrypt whatever anybody sends it',
    "spa-client --key-gen makes a key; write HMAC_KEY_BASE64 here and into the bastion's access.conf",
  );
}
