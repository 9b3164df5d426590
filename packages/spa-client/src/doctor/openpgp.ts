import {
  type Certification,
  certificationsOf,
  type RawCertificate,
  readRawCertificates,
  readSecretKeys,
  type Validity,
  validityOf,
} from 'spa-core';
import {
  ConfigError,
  exportOneWithLocalCertifications,
  type GnupgHome,
  readGuardedFile,
  readPrivateFile,
} from 'spa-host';
import type { Settings } from '../settings.ts';
import { type Check, type Examination, makeCheck, type Outcome } from './check.ts';
import { bad, type CheckName, complaint, type Finding, ok, skipped, warn } from './finding.ts';

const isOpenPgp = ({ useGpg }: Settings): boolean => useGpg ?? false;

/** Whether the key that packets are signed with is there, and until when. */
export const signerCheck: Check = makeCheck({
  name: 'signer',
  appliesTo: isOpenPgp,
  run: (examination) => checkCertificate('signer', examination),
});

/** The same for the one they are encrypted to. */
export const recipientCheck: Check = makeCheck({
  name: 'recipient',
  appliesTo: isOpenPgp,
  run: (examination) => checkCertificate('recipient', examination),
});

/** Whether the two keys vouch for each other, as far as that is known here. */
export const certificationCheck: Check = makeCheck({
  name: 'certification',
  appliesTo: isOpenPgp,
  run: checkCertification,
});

type Role = 'signer' | 'recipient';

const SOON_SECONDS = 14 * 86_400;

async function checkCertificate(role: Role, examination: Examination): Promise<Outcome> {
  const { settings } = examination.bastion;
  try {
    const certificate = await READERS[role](settings);
    const nowSeconds = Math.floor(examination.nowMs() / 1000);
    const validity = validityOf(certificate, role === 'signer' ? 'sign' : 'encrypt', nowSeconds);
    return { findings: [judge(role, certificate, validity, nowSeconds, settings)] };
  } catch (error) {
    return { findings: [complain(role, error)] };
  }
}

async function checkCertification({ bastion: { settings }, nowMs }: Examination): Promise<Outcome> {
  let signer: RawCertificate;
  let recipient: RawCertificate;
  try {
    [signer, recipient] = await Promise.all([READERS.signer(settings), READERS.recipient(settings)]);
  } catch {
    return { findings: [skipped('certification', 'one of the two keys cannot be read')] };
  }
  const nowSeconds = Math.floor(nowMs() / 1000);
  const [ofRecipient, ofSigner] = await Promise.all([
    certificationsOf(recipient, [signer], nowSeconds),
    certificationsOf(signer, [recipient], nowSeconds),
  ]);
  return {
    findings: [recipientsFinding(ofRecipient, signer, recipient, settings), signersFinding(ofSigner, signer)],
  };
}

/** No passphrase is needed to look at a certificate, and none is asked for. */
const READERS: Readonly<Record<Role, (settings: Settings) => Promise<RawCertificate>>> = {
  signer: async (settings) => {
    const { gpgSignerKeyFile: file, gpgSigner: keyId } = settings;
    if (file === undefined) return fromHome(settings, 'GPG_SIGNER', keyId);
    const [key] = await readSecretKeys(readPrivateFile(file));
    const certificate = mustBeThere(file, key).openpgpKey().toPublic();
    return mustBeThere(file, readRawCertificates(certificate.write())[0]);
  },
  recipient: async (settings) => {
    const { gpgRecipientKeyFile: file, gpgRecipient: keyId } = settings;
    if (file === undefined) return fromHome(settings, 'GPG_RECIPIENT', keyId);
    const [certificate] = readRawCertificates(readGuardedFile(file).data);
    return mustBeThere(file, certificate);
  },
};

async function fromHome(
  settings: Settings,
  keyword: string,
  keyId: string | undefined,
): Promise<RawCertificate> {
  if (keyId === undefined) {
    throw new ConfigError({ file: keyword }, 'is not set; write the full fingerprint of the key');
  }
  const exported = await exportOneWithLocalCertifications(homeOf(settings), keyId);
  const [certificate] = readRawCertificates(exported);
  return mustBeThere(keyId, certificate);
}

function homeOf({ gpgHome, gpgProgram }: Settings): GnupgHome {
  return { directory: gpgHome ?? null, program: gpgProgram ?? 'gpg' };
}

function mustBeThere<Key>(file: string, key: Key | undefined): Key {
  if (key !== undefined) return key;
  throw new ConfigError({ file }, 'there is no OpenPGP key here');
}

function judge(
  role: Role,
  certificate: RawCertificate,
  validity: Validity,
  nowSeconds: number,
  settings: Settings,
): Finding {
  const who = `${certificate.users[0]?.userId ?? 'no user ID'} ${certificate.fingerprint}`;
  const renew = RENEWALS[role](certificate, settings);
  switch (validity.state) {
    case 'valid': {
      const end = validity.expiresAtSeconds;
      if (end === null) return ok(role, `${who} does not expire`);
      const says = `${who} is valid until ${day(end)}`;
      return end - nowSeconds < SOON_SECONDS ? warn(role, says, renew) : ok(role, says);
    }
    case 'expired':
      return bad(role, `${who} expired on ${day(validity.expiresAtSeconds)}`, renew);
    case 'not-yet-valid':
      return bad(role, `${who} was made in the future (${day(validity.createdAtSeconds)})`, 'set the clock');
    case 'revoked':
      return bad(role, `${who} is revoked`, REPLACEMENTS[role]);
    case 'unusable':
      return bad(role, `${who} cannot be used: ${validity.reason}`, REPLACEMENTS[role]);
  }
}

const RENEWALS: Readonly<Record<Role, (certificate: RawCertificate, settings: Settings) => string>> = {
  signer: ({ fingerprint }, settings) => {
    const gpg = gpgCommand(settings);
    return `run: ${gpg} --quick-set-expire ${fingerprint} 2y, and for subkeys ${gpg} --quick-set-expire ${fingerprint} 2y '*'; then give the bastion what ${gpg} --armor --export ${fingerprint} prints`;
  },
  recipient: (_certificate, settings) =>
    `ask the bastion's owner to extend it, and run: ${gpgCommand(settings)} --import ITS-NEW-CERTIFICATE`,
};

const REPLACEMENTS: Readonly<Record<Role, string>> = {
  signer: 'make a new key (docs/CLIENT.md, OpenPGP keys) and give its certificate to the bastion',
  recipient: "ask the bastion's owner for its new certificate, import it, and correct GPG_RECIPIENT",
};

function recipientsFinding(
  certifications: readonly Certification[],
  signer: RawCertificate,
  recipient: RawCertificate,
  settings: Settings,
): Finding {
  const valid = certifications.find(({ state }) => state === 'valid');
  if (valid !== undefined) {
    return ok('certification', `the bastion's key is certified by yours (${scope(valid)})`);
  }
  const gpg = gpgCommand(settings);
  const command = `${gpg} --local-user ${signer.fingerprint} --quick-lsign-key ${recipient.fingerprint}`;
  return warn(
    'certification',
    `the bastion's key is not certified by yours${reason(certifications)}: nothing here says that it is the bastion's`,
    `compare its fingerprint with the owner's, then run: ${command}`,
  );
}

/** The bastion certifies in its own home: only what it exported and we imported is known here. */
function signersFinding(certifications: readonly Certification[], signer: RawCertificate): Finding {
  const valid = certifications.find(({ state }) => state === 'valid');
  if (valid !== undefined) {
    return ok('certification', `your key is certified by the bastion's (${scope(valid)})`);
  }
  const command = `gpg --homedir /etc/fwknop/gnupg --quick-lsign-key ${signer.fingerprint}`;
  if (certifications.length > 0) {
    return warn(
      'certification',
      `your key is no longer certified by the bastion's${reason(certifications)}`,
      `if it runs stock fwknopd, there run: ${command}`,
    );
  }
  return skipped(
    'certification',
    'whether the bastion has certified your key is not known here',
    `stock fwknopd wants that; there run: ${command}`,
  );
}

const REASONS: Readonly<Record<Exclude<Certification['state'], 'valid'>, string>> = {
  certifier: "its maker's key is not valid any more",
  expired: 'the certification has expired',
  revoked: 'the certification was revoked',
  unchecked: 'the certification says "not checked"',
  'user-id': 'its user ID was revoked',
  weak: 'the certification is made with SHA-1',
};

function reason([first]: readonly Certification[]): string {
  return first === undefined || first.state === 'valid' ? '' : ` (${REASONS[first.state]})`;
}

function scope({ isExportable, expiresAtSeconds }: Certification): string {
  const end = expiresAtSeconds === null ? '' : `, until ${day(expiresAtSeconds)}`;
  return `${isExportable ? 'exportable' : 'local'}${end}`;
}

function gpgCommand({ gpgProgram = 'gpg', gpgHome }: Settings): string {
  return gpgHome === undefined ? gpgProgram : `${gpgProgram} --homedir ${gpgHome}`;
}

function day(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

function complain(check: CheckName, error: unknown): Finding {
  const finding = complaint(check, error, 'correct the key in the rc file');
  if (finding === null) throw error;
  return finding;
}
