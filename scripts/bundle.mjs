/**
 * Bundles the client's compiled programs, each with all its modules, into one file that starts fast:
 * packages/spa-client/dist/src/bin/NAME.cjs (docs/adr/0009-start-up.md).
 *
 *     tsc -b && node scripts/bundle.mjs
 *
 * CommonJS, because Node's loader of ES modules costs more than the rest of a run. A module that is imported
 * dynamically is in the same file and runs when it is asked for. openpgp stays the package that npm installs.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const OUT = fileURLToPath(new URL('../packages/spa-client/dist/src/bin', import.meta.url));
const PROGRAMS = ['sshbh', 'spa-client'];

const { outputFiles } = await build({
  entryPoints: PROGRAMS.map((name) => `${OUT}/${name}.js`),
  outdir: OUT,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20.19',
  external: ['openpgp'],
  // import() in CommonJS would start the loader of ES modules after all.
  supported: { 'dynamic-import': false },
  // The bundle lies as deep as the modules of dist/src/cli, which look for files relative to themselves.
  define: { 'import.meta.url': 'importMetaUrl' },
  banner: { js: "'use strict';\nconst importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
  logLevel: 'warning',
  write: false,
});
for (const { path, contents } of outputFiles) {
  // In one step: somebody may be starting the program just now.
  writeFileSync(`${path}.new`, contents, { mode: 0o755 });
  renameSync(`${path}.new`, path);
}
