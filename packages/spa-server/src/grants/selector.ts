import { parseIpNetwork } from 'spa-core';
import { UsageError } from 'spa-host';
import type { GrantSelector } from './ledger.ts';

/**
 * Reads which grants are meant: `operator=FPR`, `user=NAME`, `address=IP` (or a network), `grant=ID`.
 *
 * A fingerprint may be written as gpg shows it, or be a key ID of 16 digits; an id may be what the log shows of it.
 * @throws UsageError
 */
export function parseSelector(text: string): GrantSelector {
  const [, kind = '', value = ''] = /^([a-z]+)=(.+)$/s.exec(text.trim()) ?? [];
  if (!isKind(kind)) throw new UsageError(`"${text}" names no grants; write ${USAGE}`);
  return SELECTORS[kind](value.trim());
}

/** The same as text, as the operator wrote it or could have. */
export function formatSelector(selector: GrantSelector): string {
  switch (selector.by) {
    case 'all':
      return 'everybody';
    case 'operator':
      return `operator=${selector.fingerprint}`;
    case 'user':
      return `user=${selector.name}`;
    case 'address': {
      const { address, prefixLength } = selector.network;
      return `address=${address}${prefixLength === widthOf(address) ? '' : `/${prefixLength}`}`;
    }
    case 'grant':
      return `grant=${selector.id}`;
  }
}

const USAGE = 'operator=FINGERPRINT, user=NAME, address=IP or grant=ID';

/** A row reads what stands after the `=`. */
const SELECTORS: Readonly<Record<Exclude<GrantSelector['by'], 'all'>, (value: string) => GrantSelector>> = {
  operator: (value) => {
    const fingerprint = value.replaceAll(/[\s:]/g, '').replace(/^0x/i, '').toUpperCase();
    if (/^([0-9A-F]{16}|[0-9A-F]{40}|[0-9A-F]{64})$/.test(fingerprint))
      return { by: 'operator', fingerprint };
    throw new UsageError(
      `operator: "${value}" is no fingerprint; write its 40 digits as the log shows them, or the last 16`,
    );
  },
  user: (name) => ({ by: 'user', name }),
  address: (value) => {
    const network = parseIpNetwork(value);
    if (network !== null) return { by: 'address', network };
    throw new UsageError(
      `address: "${value}" is no address; write 192.0.2.7 or 2001:db8::7, or a network such as 192.0.2.0/24`,
    );
  },
  grant: (value) => {
    if (/^[0-9A-Za-z]{8,64}$/.test(value)) return { by: 'grant', id: value };
    throw new UsageError(
      `grant: "${value}" is no id; write at least 8 digits of what --fw-list or the log shows`,
    );
  },
};

function isKind(kind: string): kind is keyof typeof SELECTORS {
  return Object.hasOwn(SELECTORS, kind);
}

function widthOf(address: string): number {
  return address.includes(':') ? 128 : 32;
}
