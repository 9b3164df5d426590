import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

const BIN = fileURLToPath(new URL('../src/bin/', import.meta.url));
const PACKAGE = fileURLToPath(new URL('../../package.json', import.meta.url));
const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { readonly version: string };

/** A copy of the package's programs, whose compiled code can be spoiled. */
function copyOfPrograms(t: Test): {
  readonly run: (name: string) => string;
  readonly compiled: readonly string[];
} {
  const root = mkdtempSync(join(tmpdir(), 'start-up-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const bin = join(root, 'dist', 'src', 'bin');
  mkdirSync(bin, { recursive: true });
  cpSync(BIN, bin, { recursive: true });
  cpSync(PACKAGE, join(root, 'package.json'));
  const compiled = readdirSync(bin)
    .filter((file) => file.endsWith('.v8'))
    .map((file) => join(bin, file));
  return {
    compiled,
    run: (name) =>
      execFileSync(process.execPath, [join(bin, `${name}.cjs`), '--version'], { encoding: 'utf8' }),
  };
}

t.test('the bundled programs start, with or without what V8 compiled', async (t) => {
  const { run, compiled } = copyOfPrograms(t);
  const check = (title: string): void => {
    for (const name of ['sshbh', 'spa-client']) t.match(run(name), `${name} ${version}`, `${name}, ${title}`);
  };
  t.ok(compiled.length >= 2);
  check('as built');
  for (const file of compiled) writeFileSync(file, 'junk');
  check('junk in its place');
  for (const file of compiled) writeFileSync(file, '');
  check('nothing in its place');
  for (const file of compiled) rmSync(file);
  check('no such file');
});
