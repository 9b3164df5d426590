import { spawnSync } from 'node:child_process';
import { type Option, UsageError } from 'spa-host';
import { environment, lackingPrograms, readDocTable } from 'spa-lab';
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
  const entries = readDocTable('Options of the client');
  t.same(entries.map(({ name }) => name).sort(), CLIENT_OPTIONS.map(namesOfRow).sort());
  const ours = new Set(entries.filter(({ verdict }) => verdict === 'ours').map(({ name }) => name));
  t.same(new Set(CLIENT_OPTIONS.filter(({ addition }) => addition).map(namesOfRow)), ours);
  for (const entry of entries) {
    t.equal(
      isRefused(UsageError, () => parseClientCommand(entry.words)),
      entry.verdict === 'refused',
      entry.written,
    );
  }
});

t.test(
  'every option of fwknop --help is known by its names',
  { skip: lackingPrograms('fwknop') },
  async (t) => {
    const { stdout, stderr } = spawnSync('fwknop', ['--help'], { env: environment(), encoding: 'utf8' });
    const listed = [...`${stdout}${stderr}`.matchAll(/^ {1,5}(?:-(\w), )?--([\w-]+)(?= |$)/gm)];
    t.ok(listed.length > 40, `${listed.length} options`);
    for (const [, short, long = ''] of listed) {
      const row = CLIENT_OPTIONS.find((candidate) => candidate.long === long);
      t.ok(row, long);
      if (short !== undefined) t.equal(row?.short, short, long);
    }
  },
);

function isRefused(refusal: typeof ValueError | typeof UsageError, read: () => unknown): boolean {
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
