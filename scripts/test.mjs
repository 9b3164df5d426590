// Runs the compiled tests: all, or those whose path contains one of the words given (npm test -- interop).
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const packages = readdirSync(`${root}packages`).map((name) => ({
  sources: `packages/${name}/test`,
  compiled: `packages/${name}/dist/test`,
}));
const folders = [
  ...packages,
  { sources: 'test/interop', compiled: 'test/dist/interop' },
  { sources: 'test/e2e', compiled: 'test/dist/e2e' },
];
const words = process.argv.slice(2);
const files = folders
  .flatMap(({ sources, compiled }) =>
    readdirSync(root + sources)
      .filter((file) => file.endsWith('.test.ts'))
      .map((file) => `${compiled}/${file.replace(/ts$/, 'js')}`),
  )
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
if (files.length === 0) {
  console.error(`test: no test has ${words.join(' or ')} in its path`);
  process.exit(64);
}

// What programs remember of regions is nobody's own.
const state = mkdtempSync(join(tmpdir(), 'spa-state-'));
process.on('exit', () => rmSync(state, { recursive: true, force: true }));

// The tests of real programs mostly wait for doors to close; more of them at once would starve each other.
const child = spawn(process.execPath, ['--test', '--test-concurrency=2', '--test-reporter=spec', ...files], {
  cwd: root,
  stdio: process.env.CI ? ['inherit', 'pipe', 'inherit'] : 'inherit',
  // Seconds for one file: a machine may be slow, a hanging test shall still end.
  env: { TAP_TIMEOUT: '600', ...process.env, XDG_STATE_HOME: state },
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
// In CI nothing is skipped, and a test without an assertion counts as skipped.
let ending = '';
child.stdout?.on('data', (chunk) => {
  process.stdout.write(chunk);
  ending = `${ending}${chunk}`.slice(-1_000);
});
child.on('close', (code, signal) => {
  const hasSkipped = process.env.CI && !/^\S+ skipped 0$/m.test(ending);
  process.exit(code === 0 && hasSkipped ? 1 : (code ?? (signal === 'SIGINT' ? 130 : 143)));
});
