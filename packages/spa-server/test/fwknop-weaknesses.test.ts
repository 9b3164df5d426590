import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const FOLDERS = ['packages/spa-client', 'packages/spa-core', 'packages/spa-host', 'packages/spa-server']
  .map((name) => `${name}/test`)
  .concat('test/e2e', 'test/interop');

/** A row of the table: its number, what is so here, and the tests that show it. */
interface Row {
  readonly number: number;
  readonly here: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
}

t.test(
  'docs/FWKNOP.md says of each of the 48 weaknesses which test shows that it is not ours, or why it stays',
  async (t) => {
    const rows = readRows();
    t.same(
      rows.map(({ number }) => number),
      Array.from({ length: 48 }, (_, index) => index + 1),
    );
    for (const { number, here, tests } of rows) t.ok(tests.length > 0 || /stays|yet/.test(here), `${number}`);
  },
);

t.test('and the tests that it names exist', async (t) => {
  const named = readRows().flatMap(({ tests }) => tests);
  t.ok(named.length > 48);
  for (const { file, title } of named) {
    const found = textsOf(file).some((text) => text.includes(title));
    t.ok(found, `${file}: ${title}`);
  }
});

function readRows(): readonly Row[] {
  const [, section = ''] = readFileSync(`${ROOT}docs/FWKNOP.md`, 'utf8').split('\n## The 48 weaknesses\n');
  return Array.from(
    section.matchAll(/^\| (\d+) \| .+? \| (.+) \| (.*?) ?\|$/gm),
    ([, number, here = '', shown = '']) => ({
      number: Number(number),
      here,
      tests: Array.from(shown.matchAll(/`([\w.-]+)`: “(.+?)”/g), ([, file = '', title = '']) => ({
        file,
        title,
      })),
    }),
  );
}

/** The files of tests with that name. */
function textsOf(name: string): readonly string[] {
  return FOLDERS.filter((folder) => readdirSync(ROOT + folder).includes(name)).map((folder) =>
    readFileSync(`${ROOT}${folder}/${name}`, 'utf8'),
  );
}
