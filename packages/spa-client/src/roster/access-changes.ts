/** Who gets in by an access.conf that a bundle brought: each stanza, without its secrets, by whose it is. */
export type Entrants = ReadonlyMap<string, string>;

/** What another access.conf changes. Each is a line for people. */
export interface AccessChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** Reads the lines of an access.conf that `bastionBundle` wrote. */
export function entrantsOf(lines: readonly string[]): Entrants {
  const entrants = new Map<string, string>();
  let name: string | null = null;
  let values = new Map<string, string>();
  const finish = (): void => {
    const key = values.get('GPG_FINGERPRINT_ID');
    if (name === null || key === undefined) return;
    const terms = [
      values.get('OPEN_PORTS') ?? 'all ports',
      `${values.get('FW_ACCESS_TIMEOUT') ?? '30'} s`,
      ...[values.get('ACCESS_EXPIRE_EPOCH')].flatMap((end) =>
        end === undefined ? [] : [`until ${dateOf(end)}`],
      ),
    ];
    entrants.set(`${name} ${key}`, terms.join(', '));
  };
  for (const line of lines) {
    const [, operator] = /^# operator (.*)$/.exec(line) ?? [];
    if (operator !== undefined) {
      finish();
      name = operator;
      values = new Map();
      continue;
    }
    const [, keyword = '', value = ''] = /^([A-Z_]+) (.*)$/.exec(line) ?? [];
    if (keyword !== '') values.set(keyword, value);
  }
  finish();
  return entrants;
}

/** What changes for whom, between two of them. */
export function accessChanges(before: Entrants, after: Entrants): AccessChanges {
  const lines = (entrants: Entrants, isMeant: (who: string) => boolean): readonly string[] =>
    [...entrants].filter(([who]) => isMeant(who)).map(([who, terms]) => `${who}: ${terms}`);
  return {
    added: lines(after, (who) => !before.has(who)),
    removed: lines(before, (who) => !after.has(who)),
    changed: [...after]
      .filter(([who, terms]) => before.has(who) && before.get(who) !== terms)
      .map(([who, terms]) => `${who}: ${before.get(who)} becomes ${terms}`),
  };
}

function dateOf(epochSeconds: string): string {
  return new Date(Number(epochSeconds) * 1000).toISOString().replace('.000Z', 'Z');
}
