import { spawnSync } from 'node:child_process';
import { ConfigError, type Option, UsageError } from 'spa-host';
import { environment, lackingPrograms, readDocTable } from 'spa-lab';
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
  const entries = readDocTable('Options of the server');
  t.same(entries.map(({ name }) => name).sort(), SERVER_OPTIONS.map(namesOfRow).sort());
  const ours = new Set(entries.filter(({ verdict }) => verdict === 'ours').map(({ name }) => name));
  t.same(new Set(SERVER_OPTIONS.filter(({ addition }) => addition).map(namesOfRow)), ours);
  for (const entry of entries) {
    t.equal(
      isRefused(UsageError, () => readOptions(entry.words)),
      entry.verdict === 'refused',
      entry.written,
    );
  }
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
    const { stdout, stderr } = spawnSync('fwknopd', ['--help'], { env: environment(), encoding: 'utf8' });
    const listed = [...`${stdout}${stderr}`.matchAll(/^ {1,5}(?:-(\w), )?--([\w-]+)(?= |$)/gm)];
    t.ok(listed.length > 30, `${listed.length} options`);
    for (const [, short, long = ''] of listed) {
      const row = SERVER_OPTIONS.find((candidate) => candidate.long === long);
      t.ok(row, long);
      if (short !== undefined) t.equal(row?.short, short, long);
    }
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

function isRefused(refusal: typeof ConfigError | typeof UsageError, read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (error instanceof refusal) return true;
    throw error;
  }
}

function namesOfRow({ short, long }: Option): string {
  return `${short === undefined ? '' : `-${short}, `}--${long}`;
}
