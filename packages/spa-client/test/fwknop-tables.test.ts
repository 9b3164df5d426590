import { UsageError } from 'spa-host';
import { isRefused, lackingPrograms, matchesDocTable, matchesPeersHelp, readDocTable } from 'spa-lab';
import t from 'tap';
import { CLIENT_OPTIONS, parseClientCommand } from '../src/cli/client-options.ts';
import { keywords, parseKeyword, readSetting, ValueError } from '../src/settings.ts';

t.test('docs/FWKNOP.md lists every keyword of .fwknoprc, and says which are refused', async (t) => {
  const entries = readDocTable('.fwknoprc');
  t.same(entries.map(({ name }) => name).sort(), [...keywords()].sort());
  for (const { written, name, value, verdict } of entries) {
    const keyword = parseKeyword(name);
    if (keyword === null) continue;
    t.equal(
      isRefused(ValueError, () => readSetting(keyword, value)),
      verdict === 'refused',
      written,
    );
  }
});

t.test('docs/FWKNOP.md lists every option of the client, and says which are refused', async (t) => {
  matchesDocTable(t, 'Options of the client', {
    options: CLIENT_OPTIONS,
    read: parseClientCommand,
    refusal: UsageError,
  });
});

t.test(
  'every option of fwknop --help is known by its names',
  { skip: lackingPrograms('fwknop') },
  async (t) => {
    matchesPeersHelp(t, 'fwknop', CLIENT_OPTIONS, 40);
  },
);
