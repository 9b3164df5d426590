import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import { KEYS_VERBS } from '../src/cli/keys/verbs.ts';
import { VERBS } from '../src/cli/verbs.ts';
import { keywords } from '../src/settings.ts';

const PACKAGE = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = ['sshbh', 'spa-client', 'spa-keys'] as const;

/** Path of a man page: a source file, which is not compiled. */
function pathOf(page: string): string {
  return `${PACKAGE}/man/${page}.1`;
}

function sourceOf(page: string): string {
  return readFileSync(pathOf(page), 'utf8');
}

function helpOf(program: string, ...argv: readonly string[]): string {
  const file = `${PACKAGE}/dist/src/bin/${program}.cjs`;
  return spawnSync(process.execPath, [file, ...argv, '--help'], { encoding: 'utf8' }).stdout;
}

/** Options that a help lists, as `-v --verbose`, in the order of the alphabet. */
function optionsOfHelp(help: string): readonly string[] {
  const rows = help.matchAll(/^ +(?:(-\w), )?(--[a-z0-9-]+)(?: |$)/gm);
  return Array.from(rows, ([, short, long]) => `${short ?? ''} ${long}`.trim()).sort();
}

/** Options that a part of a page lists. */
function optionsOfPage(source: string): readonly string[] {
  const rows = source.matchAll(/^\.It (?:Fl (\w) , )?Fl Fl ([a-z0-9-]+)/gm);
  return Array.from(rows, ([, short, long]) => `${short === undefined ? '' : `-${short} `}--${long}`).sort();
}

/** Text from the line `heading` to the next heading of its rank or above. */
function part(source: string, heading: string): string {
  const [, ...rest] = `${source}\n`.split(`\n${heading}\n`);
  const ends = heading.startsWith('.Sh') ? /^\.Sh /m : /^\.S[hs] /m;
  return rest.join('').split(ends)[0] ?? '';
}

t.test('sshbh(1) has the options of sshbh, and no others', (t) => {
  const page = optionsOfPage(part(sourceOf('sshbh'), '.Sh OPTIONS'));
  t.same(page, optionsOfHelp(helpOf('sshbh')));
  t.ok(page.includes('-v --verbose'));
  t.end();
});

t.test('sshbh(1) has the verbs with their options, and no others', (t) => {
  const verbs = part(sourceOf('sshbh'), '.Sh VERBS');
  const names = Array.from(verbs.matchAll(/^\.Ss (.*)$/gm), ([, name]) => name);
  t.same(
    names,
    VERBS.map(({ name }) => name),
  );
  for (const { name } of VERBS) {
    t.same(optionsOfPage(part(verbs, `.Ss ${name}`)), optionsOfHelp(helpOf('sshbh', name)), name);
  }
  t.end();
});

t.test('spa-keys(1) has its verbs with their options, and no others', (t) => {
  const source = sourceOf('spa-keys');
  t.same(optionsOfPage(part(source, '.Sh OPTIONS')), optionsOfHelp(helpOf('spa-keys')));
  const verbs = part(source, '.Sh VERBS');
  const names = Array.from(verbs.matchAll(/^\.Ss (.*)$/gm), ([, name]) => name);
  t.same(
    names,
    KEYS_VERBS.map(({ name }) => name),
  );
  for (const { name } of KEYS_VERBS) {
    t.same(optionsOfPage(part(verbs, `.Ss ${name}`)), optionsOfHelp(helpOf('spa-keys', name)), name);
  }
  t.end();
});

t.test('spa-client(1) has the options of spa-client, and all keywords', (t) => {
  const source = sourceOf('spa-client');
  t.same(optionsOfPage(source), optionsOfHelp(helpOf('spa-client')));
  const rows = part(source, '.Sh KEYWORDS OF THE RC FILE').matchAll(/^\.It Cm (.*)$/gm);
  const named = Array.from(rows, ([, row = '']) => row.split(' , ')).flat();
  t.same(named.sort(), [...keywords()].sort());
  t.end();
});

t.test('the pages are well-formed', { skip: lackingPrograms('mandoc', 'groff') }, (t) => {
  for (const page of PAGES) {
    const lint = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', pathOf(page)], { encoding: 'utf8' });
    t.same({ status: lint.status, said: lint.stdout + lint.stderr }, { status: 0, said: '' }, page);
    const groff = spawnSync('groff', ['-mdoc', '-Tutf8', '-Kutf8', '-ww', '-z', pathOf(page)], {
      encoding: 'utf8',
    });
    t.same({ status: groff.status, said: groff.stderr }, { status: 0, said: '' }, page);
  }
  t.end();
});

t.test('npm installs them', (t) => {
  const { man, files } = JSON.parse(readFileSync(`${PACKAGE}/package.json`, 'utf8'));
  t.same(
    man,
    PAGES.map((page) => `man/${page}.1`),
  );
  t.ok(files.includes('man'));
  t.end();
});
