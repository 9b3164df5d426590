import type { RawCertificate } from 'spa-core';

/** What a certificate says of its owner, with a short name for him that is not in `taken`. */
export interface OwnWords {
  readonly shortName: string;
  readonly fullName: string | undefined;
  readonly email: string | undefined;
}

/** The first user ID, taken apart: `Alice Liddell (work) <alice@example.org>`. */
export function ownWordsOf({ users, fingerprint }: RawCertificate, taken: ReadonlySet<string>): OwnWords {
  const userId = users.find((user) => user.userId !== null)?.userId ?? '';
  const [, name = '', email] =
    /^([^<>(]*?)\s*(?:\([^)]*\))?\s*(?:<([^<>\s]+@[^<>\s]+)>)?$/u.exec(userId) ?? [];
  const fullName = /^[^\p{C}<>]+$/u.test(name) ? name : undefined;
  const base =
    slug((email ?? '').split('@')[0] ?? '') ||
    slug(fullName ?? '') ||
    `key-${fingerprint.slice(-8).toLowerCase()}`;
  return { shortName: free(base, taken), fullName, email };
}

const MAX_LENGTH = 50;

function slug(text: string): string {
  const ascii = text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
  return ascii
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/^[^a-z0-9]+|-+$/g, '')
    .slice(0, MAX_LENGTH);
}

function free(base: string, taken: ReadonlySet<string>): string {
  let name = base;
  for (let number = 2; taken.has(name); number += 1) name = `${base}-${number}`;
  return name;
}
