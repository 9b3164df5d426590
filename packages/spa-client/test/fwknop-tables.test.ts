import { type Option, UsageError } from 'spa-host';
import { readDocTable } from 'spa-lab';
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
