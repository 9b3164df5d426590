import { ConfigError, UsageError } from 'spa-host';
import { isRefused, lackingPrograms, matchesDocTable, matchesPeersHelp, readDocTable } from 'spa-lab';
import t, { type Test } from 'tap';
import { ACCESS_KEYWORDS } from '../src/config/access-config.ts';
import { ACCESS_DIFFERENCES, SERVER_DIFFERENCES } from '../src/config/differences.ts';
import { ignoredKeywords, type KeywordTable } from '../src/config/keywords.ts';
import { SERVER_KEYWORDS } from '../src/config/server-config.ts';
import { readOptions, SERVER_OPTIONS } from '../src/options.ts';

t.test('docs/FWKNOP.md lists every keyword of access.conf, and says which are refused', async (t) => {
  compareKeywords(t, 'access.conf', ACCESS_KEYWORDS);
});

t.test('docs/FWKNOP.md lists every keyword of fwknopd.conf, and says which are refused', async (t) => {
  compareKeywords(t, 'fwknopd.conf', SERVER_KEYWORDS);
});

t.test('docs/FWKNOP.md lists every option of the server, and says which are refused', async (t) => {
  matchesDocTable(t, 'Options of the server', {
    options: SERVER_OPTIONS,
    read: readOptions,
    refusal: UsageError,
  });
});

t.test('what docs/FWKNOP.md calls different is looked at by --exit-parse-config', async (t) => {
  const files = [
    ['access.conf', ACCESS_KEYWORDS, ACCESS_DIFFERENCES],
    ['fwknopd.conf', SERVER_KEYWORDS, SERVER_DIFFERENCES],
  ] as const;
  for (const [heading, keywords, differences] of files) {
    const known = [...Object.keys(differences), ...ignoredKeywords(keywords)];
    for (const { name, verdict } of readDocTable(heading)) {
      // The keywords of firewalld are other names for those of iptables.
      if (verdict === 'different' && !name.includes('FIREWD_')) t.ok(known.includes(name), name);
    }
    for (const keyword of Object.keys(differences)) t.ok(Object.hasOwn(keywords, keyword), keyword);
  }
});

t.test(
  'every option of fwknopd --help is known by its names',
  { skip: lackingPrograms('fwknopd') },
  async (t) => {
    matchesPeersHelp(t, 'fwknopd', SERVER_OPTIONS, 30);
  },
);

function compareKeywords(t: Test, heading: string, table: KeywordTable): void {
  const entries = readDocTable(heading);
  t.same(entries.map(({ name }) => name).sort(), Object.keys(table).sort());
  for (const { written, name: keyword, value, verdict } of entries) {
    const place = { file: `/etc/fwknop/${heading}`, line: 1, keyword };
    t.equal(
      isRefused(ConfigError, () => table[keyword]?.(value, place)),
      verdict === 'refused',
      written,
    );
  }
}
