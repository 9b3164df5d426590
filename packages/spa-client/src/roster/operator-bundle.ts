import {
  type Access,
  armorCertificates,
  type Bastion,
  formatProtoPort,
  type Operator,
  onlyCertifiedBy,
  type Party,
} from 'spa-core';
import { certificatesOf, ownertrust } from './bastion-bundle.ts';
import { asComment, type BundleFile, type BundleSource, withManifest } from './bundle.ts';
import { hmacKeyOf } from './hmac-keys.ts';

/** What an operator gets. */
export interface OperatorBundle {
  readonly operator: Operator;
  readonly files: readonly BundleFile[];
}

/** How an operator's bundle is made. */
export interface OperatorBundleOptions {
  /** `ALLOW_IP`: which address his packets name. A bastion wants a real one, so `source` is none of them. */
  readonly allowIp: string;
  /** `RESOLVE_URL`: who says which address that is; empty: `sshbh` and fwknop each ask their own. */
  readonly resolveUrls: readonly string[];
}

/** The files of `operator`: his bastions, their certificates, and how to reach them. Nothing of bastions that he may not open. */
export function operatorBundle(
  source: BundleSource,
  operator: Operator,
  options: OperatorBundleOptions,
): OperatorBundle {
  const { roster, plan, certificates } = source;
  const access = plan.access.filter((one) => one.operator.name === operator.name);
  const certifier: Party =
    roster.topology === 'mutual' || roster.authority === null ? operator : roster.authority;
  const parties = [...(certifier === operator ? [] : [certifier]), ...access.map(({ bastion }) => bastion)];
  const keyring = certificatesOf(
    certificates,
    parties.map(({ key }) => key.fingerprint),
  ).map((raw) => onlyCertifiedBy(raw, [certifier.key.fingerprint.slice(-16)]));
  const full = rcFile(source, operator, access, options, (others) => others);
  const plain = rcFile(source, operator, access, options, () => []);
  const files: readonly BundleFile[] = [
    { path: 'certificates.asc', content: keyring.length === 0 ? '' : armorCertificates(keyring) },
    { path: 'fwknoprc', content: full },
    // Stock fwknop stops at a keyword that it does not know.
    ...(plain === full ? [] : [{ path: 'fwknoprc.stock', content: plain }]),
    { path: 'ownertrust.txt', content: ownertrust([certifier.key.fingerprint]) },
    ...sshConfig(access.map(({ bastion }) => bastion)),
  ];
  const heading = `${operator.name}, roster ${roster.name} version ${roster.version}`;
  return { operator, files: withManifest(files, asComment(heading)) };
}

function rcFile(
  { roster, hmacMaster }: BundleSource,
  operator: Operator,
  access: readonly Access[],
  { allowIp, resolveUrls }: OperatorBundleOptions,
  fallbackOf: (others: readonly string[]) => readonly string[],
): string {
  const heading = `# ${asComment(operator.name)}: roster ${asComment(roster.name)}, version ${roster.version}. Written by spa-keys.

[default]
USE_GPG          Y
USE_GPG_AGENT    Y
GPG_SIGNER       ${operator.key.fingerprint}
ALLOW_IP         ${allowIp}
${resolveUrls.length === 0 ? '' : `RESOLVE_URL      ${resolveUrls.join(',')}\n`}`;
  const stanza = (name: string, { bastion, ports }: Access, others: readonly string[]): string => {
    const fallback = fallbackOf(others);
    return `
[${name}]
SPA_SERVER       ${bastion.host}
SPA_SERVER_PORT  ${bastion.spaPort}
ACCESS           ${ports.map(formatProtoPort).join(',')}
GPG_RECIPIENT    ${bastion.key.fingerprint}
HMAC_KEY_BASE64  ${hmacKeyOf(bastion, hmacMaster(bastion), operator.key.fingerprint)}
${fallback.length === 0 ? '' : `FALLBACK         ${fallback.join(',')}\n`}`;
  };
  const names = new Set(access.map(({ bastion }) => bastion.name));
  const regions = [...new Set(access.map(({ bastion }) => bastion.region))];
  const regionStanzas = regions.flatMap((region) => {
    const [first, ...others] = access.filter(({ bastion }) => bastion.region === region);
    // A bastion that is called as its region is reached by that name.
    const isTaken = names.has(region) && first?.bastion.name !== region;
    if (first === undefined || isTaken) return [];
    return [
      stanza(
        region,
        first,
        others.map(({ bastion }) => bastion.name),
      ),
    ];
  });
  const bastionStanzas = access
    .filter(({ bastion }) => !regions.includes(bastion.name) || isNotFirstOf(bastion, access))
    .map((one) => stanza(one.bastion.name, one, []));
  return [heading, ...regionStanzas, ...bastionStanzas].join('');
}

/** True unless the stanza of its region, which has its name, is its own. */
function isNotFirstOf({ name }: Bastion, access: readonly Access[]): boolean {
  const first = access.find(({ bastion }) => bastion.region === name);
  return first?.bastion.name !== name;
}

/** Only what differs from what ssh does anyway. */
function sshConfig(bastions: readonly Bastion[]): readonly BundleFile[] {
  const lines = bastions
    .filter(({ sshPort }) => sshPort !== SSH_PORT)
    .map(({ host, sshPort }) => `Host ${host}\n  Port ${sshPort}\n`);
  return lines.length === 0 ? [] : [{ path: 'ssh_config', content: lines.join('\n') }];
}

const SSH_PORT = 22;
