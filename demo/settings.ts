import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addresses, type GnupgHome, type Lab } from 'spa-lab';

/** How long a door stays open: short, for the sake of whoever watches. */
export const DOOR_SECONDS = 10;

/** The stanza that the operator names. */
export const REGION = 'us-east-1';

/** Who knows what: both sides' OpenPGP keys, and the secret that they share. */
export interface Keys {
  readonly operator: GnupgHome;
  readonly bastion: GnupgHome;
  readonly hmacKey: string;
}

/** Lines of the bastion's fwknopd.conf: the operator's own nftables chain stays, and gets one rule of ours at its top. */
export const SERVER_CONFIG: readonly string[] = [
  'FIREWALL nftables',
  'NFT_MODE attach',
  'NFT_ATTACH_CHAIN inet filter input',
];

/** The bastion's access.conf. */
export function accessConfig({ operator, bastion, hmacKey }: Keys): string {
  return lines(
    'SOURCE                  ANY',
    `GPG_HOME_DIR            ${bastion.path}`,
    `GPG_DECRYPT_ID          ${bastion.fingerprint}`,
    'GPG_ALLOW_NO_PW         Y',
    'GPG_REQUIRE_SIG         Y',
    `GPG_FINGERPRINT_ID      ${operator.fingerprint}`,
    `HMAC_KEY_BASE64         ${hmacKey}`,
    'OPEN_PORTS              tcp/22',
    'REQUIRE_SOURCE_ADDRESS  Y',
    `FW_ACCESS_TIMEOUT       ${DOOR_SECONDS}`,
  );
}

/** The operator's ~/.fwknoprc. */
export function rcFile({ operator, bastion, hmacKey }: Keys): string {
  return lines(
    `[${REGION}]`,
    `SPA_SERVER         ${addresses.server4}`,
    `ALLOW_IP           ${addresses.client4}`,
    'ACCESS             tcp/22',
    'USE_GPG            Y',
    `GPG_HOMEDIR        ${operator.path}`,
    `GPG_SIGNER         ${operator.fingerprint}`,
    `GPG_RECIPIENT      ${bastion.fingerprint}`,
    'GPG_NO_SIGNING_PW  Y',
    `HMAC_KEY_BASE64    ${hmacKey}`,
  );
}

/** Writes the operator's home directory: ~/.fwknoprc and ~/.ssh/config. Its path. */
export function writeHome(lab: Lab, keys: Keys): string {
  const home = lab.scratch.path('home');
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  const host = lines(`Host ${addresses.server4}`, ...lab.sshd.clientConfig);
  for (const [name, content] of Object.entries({ '.fwknoprc': rcFile(keys), '.ssh/config': host })) {
    writeFileSync(join(home, name), content, { mode: 0o600 });
  }
  return home;
}

/** Lines of a file or a log as they may be shown: without the shared secret, and with short names of keys. */
export function showable(text: string, { hmacKey }: Keys): string {
  return text.replace(hmacKey, '(64 secret bytes)').replaceAll(/\b[0-9A-F]{40}\b/g, short);
}

/** The first and the last digits of a fingerprint. */
export function short(fingerprint: string): string {
  return `${fingerprint.slice(0, 8)}...${fingerprint.slice(-8)}`;
}

function lines(...all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('');
}
