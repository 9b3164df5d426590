/**
 * Bundles each compiled program with all its modules into one script that starts fast (docs/adr/0009-start-up.md). In
 * packages/PACKAGE/dist/src/bin:
 *
 *     NAME.cjs                     what npm links to: starts the script
 *     NAME-HASH.js                 the script: a function that the program runs in
 *     NAME-HASH-VERSION-ARCH.v8    the same compiled by V8, for the Node that made it; another Node does without
 *
 *     tsc -b && node scripts/bundle.mjs
 *
 * A module that is imported dynamically is in the same script and runs when it is asked for. What others have written stays
 * the package that npm installs.
 */
import { createHash } from 'node:crypto';
import { readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import standaloneCode from 'ajv/dist/standalone/index.js';
import { build } from 'esbuild';

const PROGRAMS = {
  'spa-client': ['sshbh', 'spa-client', 'spa-keys'],
  'spa-server': ['spa-server', 'background'],
};
/** Somebody may be starting the program just now: it is read in a moment. */
const KEEP_MS = 60_000;

/** The check of rosters as the code that Ajv makes of their schema: to load Ajv and to make it takes a program 0.2 s. */
const COMPILED_VALIDATOR = {
  name: 'compiled validator',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/roster-validator\.js$/ }, async ({ path }) => {
      const { rosterAjv } = await import(path);
      const { ROSTER_SCHEMA } = await import(join(dirname(path), 'roster-schema.js'));
      const ajv = rosterAjv({ code: { source: true, esm: true } });
      const code = standaloneCode(ajv, ajv.compile(ROSTER_SCHEMA));
      return { contents: `${code}\nexport const rosterValidator = () => validate;\n` };
    });
  },
};

for (const [name, programs] of Object.entries(PROGRAMS)) await bundle(name, programs);

async function bundle(packageName, programs) {
  const out = fileURLToPath(new URL(`../packages/${packageName}/dist/src/bin/`, import.meta.url));
  const { outputFiles } = await build({
    entryPoints: programs.map((name) => `${out}${name}.js`),
    outdir: out,
    bundle: true,
    // Node's loader of ES modules costs more than the rest of a run, and import() would start it after all.
    format: 'cjs',
    supported: { 'dynamic-import': false },
    platform: 'node',
    target: 'node20.19',
    external: ['ajv', 'koffi', 'lmdb', 'openpgp', 'yaml'],
    // Modules look for files relative to themselves; the script stands for those of a folder of dist/src.
    define: { 'import.meta.url': 'importMetaUrl' },
    logLevel: 'warning',
    plugins: [COMPILED_VALIDATOR],
    write: false,
  });
  for (const { path, text } of outputFiles) writeProgram(out, basename(path, '.js'), text);
}

function writeProgram(out, name, text) {
  const source = `(function (require, __filename) {
'use strict';
const importMetaUrl = require('node:url').pathToFileURL(__filename).href;
${text.replace(/^#!.*\n/, '')}})
`;
  const hash = createHash('sha256').update(source).digest('hex').slice(0, 12);
  const script = `${name}-${hash}`;
  const compiled = `${script}-${process.version}-${process.arch}.v8`;
  replace(`${out}${script}.js`, source);
  replace(`${out}${compiled}`, compile(`${out}${script}.js`, source));
  replace(`${out}${name}.cjs`, starter(name, script), 0o755);
  for (const file of readdirSync(out)) {
    const isPrevious = file.startsWith(`${name}-`) && /-[0-9a-f]{12}(-v.+\.v8|\.js)$/.test(file);
    if (isPrevious && !file.startsWith(script) && isOld(`${out}${file}`))
      rmSync(`${out}${file}`, { force: true });
  }
}

/** Every function of it: V8 would leave out those that have not run. */
function compile(filename, source) {
  setFlagsFromString('--no-lazy');
  const script = new Script(source, { filename });
  setFlagsFromString('--lazy');
  return script.createCachedData();
}

/** V8 itself refuses what another version, or the same with other flags, has compiled. */
function starter(name, script) {
  return `#!/usr/bin/env node
// ${name}, made by scripts/bundle.mjs
'use strict';
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const script = \`\${__dirname}/${script}\`;
const filename = \`\${script}.js\`;
let cachedData;
try {
  cachedData = readFileSync(\`\${script}-\${process.version}-\${process.arch}.v8\`);
} catch {}
const program = new Script(readFileSync(filename, 'utf8'), { filename, cachedData });
program.runInThisContext()(require, __filename);
`;
}

/** In one step. */
function replace(file, content, mode = 0o644) {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, content, { mode });
  renameSync(draft, file);
}

function isOld(file) {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats !== undefined && stats.mtimeMs < Date.now() - KEEP_MS;
}
