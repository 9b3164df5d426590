import {
  armorCertificates,
  type Bastion,
  type Fingerprint,
  formatProtoPort,
  keysOf,
  onlyCertifiedBy,
  type Party,
  type RawCertificate,
} from 'spa-core';
import {
  type Admission,
  admissionsTo,
  asComment,
  type BundleFile,
  type BundleSource,
  type LeftOut,
  sha256,
  withManifest,
} from './bundle.ts';
import { hmacKeyOf } from './hmac-keys.ts';
import type { SignedBastionRoster } from './roster-signatures.ts';

/** What a bastion gets. */
export interface BastionBundle {
  readonly bastion: Bastion;
  /** The roster's version and a digest of what is in it, as in `7-0123456789ab`: the name of the folder there. */
  readonly release: string;
  readonly files: readonly BundleFile[];
  readonly leftOut: readonly LeftOut[];
}

/** Where it lies on the bastion. */
export const DEFAULT_FOLDER = '/etc/fwknop/spa-keys';

/** How a bastion's bundle is made. */
export interface BastionBundleOptions {
  /** The folder on the bastion, absolute. */
  readonly folder: string;
  /** What it reads of the roster; null: nothing. */
  readonly signedRoster: SignedBastionRoster | null;
}

/**
 * The files of `bastion`: who may open it and with which keys. The same roster gives the same release, whenever it is asked for.
 */
export function bastionBundle(
  source: BundleSource,
  bastion: Bastion,
  { folder, signedRoster }: BastionBundleOptions,
): BastionBundle {
  const { roster, plan } = source;
  const { admitted, leftOut } = admissionsTo(source, bastion);
  const certifiers: readonly Party[] =
    roster.topology === 'mutual' || roster.authority === null ? [bastion] : [roster.authority];
  const certifierKeys = certifiers.flatMap((party) =>
    keysOf(party, plan.nowSeconds).map(({ fingerprint }) => fingerprint),
  );
  const accessOfRelease = (release: string): string =>
    accessConf(source, bastion, admitted, {
      folder,
      release: `${folder}/releases/${release}`,
      certifiers: certifierKeys,
    });
  const shared: readonly BundleFile[] = [
    { path: 'keyring.asc', content: keyring(source, bastion, admitted, certifierKeys) },
    { path: 'ownertrust.txt', content: ownertrust([...certifierKeys, bastion.key.fingerprint]) },
    ...(signedRoster === null ? [] : [{ path: 'roster.json', content: signedRoster.text }]),
    ...(signedRoster === null ? [] : authorityFile(source)),
  ];
  const meaning = [accessOfRelease('-'), ...shared.map(({ content }) => content)];
  const release = `${roster.version}-${sha256(meaning.map(sha256).join('')).slice(0, 12)}`;
  const files = [{ path: 'access.conf', content: accessOfRelease(release) }, ...shared];
  if (signedRoster !== null) files.push({ path: 'roster.json.asc', content: signedRoster.signature });
  const heading = `${bastion.name}, roster ${roster.name} version ${roster.version}, release ${release}`;
  return { bastion, release, files: withManifest(files, asComment(heading)), leftOut };
}

interface Place {
  readonly folder: string;
  readonly release: string;
  readonly certifiers: readonly Fingerprint[];
}

function accessConf(
  { roster, plan, hmacMaster }: BundleSource,
  bastion: Bastion,
  admitted: readonly Admission[],
  place: Place,
): string {
  const isOurs = bastion.capabilities.includes('spa-server');
  const master = hmacMaster(bastion);
  // Stock fwknopd opens a packet with any secret key that its home has: a second stanza would only run gpg again.
  const bastionKeys = isOurs ? keysOf(bastion, plan.nowSeconds) : [bastion.key];
  const heading = `# ${asComment(bastion.name)} in ${asComment(bastion.region)}: roster ${asComment(roster.name)}, version ${roster.version}
# Written by spa-keys; what is changed here is lost with the next push.
`;
  const stanzas = admitted.flatMap(({ access, key, endsAtSeconds }) =>
    bastionKeys.map((bastionKey) => {
      const { operator, ports, timeoutSeconds } = access;
      const more = key === operator.key ? '' : ', key that retires';
      return [
        `# operator ${asComment(operator.name)}${more}${bastionKey === bastion.key ? '' : ", the bastion's key that retires"}`,
        'SOURCE ANY',
        ...(isOurs ? ourKeys(place, bastionKey.fingerprint) : stockKeys(place, bastionKey.fingerprint)),
        'GPG_REQUIRE_SIG Y',
        `GPG_FINGERPRINT_ID ${key.fingerprint}`,
        `HMAC_KEY_BASE64 ${hmacKeyOf(bastion, master, key.fingerprint)}`,
        'REQUIRE_SOURCE_ADDRESS Y',
        `OPEN_PORTS ${ports.map(formatProtoPort).join(', ')}`,
        `FW_ACCESS_TIMEOUT ${timeoutSeconds}`,
        `MAX_FW_TIMEOUT ${timeoutSeconds}`,
        ...(endsAtSeconds === null || isOurs ? [] : [`ACCESS_EXPIRE_EPOCH ${Math.floor(endsAtSeconds)}`]),
        '',
      ].join('\n');
    }),
  );
  return [heading, ...stanzas].join('\n');
}

function ourKeys({ folder, release, certifiers }: Place, bastionKey: Fingerprint): readonly string[] {
  return [
    `GPG_DECRYPT_KEY_FILE ${folder}/secret/${bastionKey}.asc`,
    `GPG_SIGNER_CERT_FILE ${release}/keyring.asc`,
    `SPA_CERTIFIED_BY ${certifiers.join(', ')}`,
  ];
}

function stockKeys({ release }: Place, bastionKey: Fingerprint): readonly string[] {
  return [`GPG_HOME_DIR ${release}/gnupg`, `GPG_DECRYPT_ID ${bastionKey}`, 'GPG_ALLOW_NO_PW Y'];
}

/** Those who get in, the bastion itself and who certified them; of the certifications only those by these. */
function keyring(
  { plan, certificates }: BundleSource,
  bastion: Bastion,
  admitted: readonly Admission[],
  certifiers: readonly Fingerprint[],
): string {
  const keyIds = certifiers.map((fingerprint) => fingerprint.slice(-16));
  const wanted = new Set<Fingerprint>([
    ...keysOf(bastion, plan.nowSeconds).map(({ fingerprint }) => fingerprint),
    ...certifiers,
    ...admitted.map(({ key }) => key.fingerprint),
  ]);
  return armorCertificates(certificatesOf(certificates, wanted).map((raw) => onlyCertifiedBy(raw, keyIds)));
}

/** Whose signature of a roster the bastion believes: the installer takes it only the first time. */
function authorityFile({ roster, plan, certificates }: BundleSource): readonly BundleFile[] {
  if (roster.authority === null) return [];
  const keys = keysOf(roster.authority, plan.nowSeconds).map(({ fingerprint }) => fingerprint);
  const raws = certificatesOf(certificates, keys).map((raw) => onlyCertifiedBy(raw, []));
  return [{ path: 'authority.asc', content: armorCertificates(raws) }];
}

/** Those of `wanted` that are there. */
export function certificatesOf(
  certificates: ReadonlyMap<Fingerprint, RawCertificate>,
  wanted: Iterable<Fingerprint>,
): readonly RawCertificate[] {
  return [...wanted].flatMap((fingerprint) => certificates.get(fingerprint) ?? []);
}

/**
 * Whom gpg takes at their word (`gpg --import-ownertrust`): ultimately, because "full" counts only for a key that is itself
 * certified by one that is trusted ultimately, and stock fwknopd then refuses every signature.
 */
export function ownertrust(fingerprints: readonly Fingerprint[]): string {
  return [...new Set(fingerprints)].map((fingerprint) => `${fingerprint}:6:\n`).join('');
}
