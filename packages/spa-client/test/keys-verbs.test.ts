import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import t from 'tap';
import { parse } from 'yaml';
import { fleetOf, type Run, run, SKIP, SPA_KEYS } from './keys-support.ts';

// Each step is a run of the program or of gpg, and the machine may be busy.
t.setTimeout(120_000);

function modesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => {
    const stats = statSync(join(folder, name));
    return `${stats.isDirectory() ? 'd' : 'f'}${(stats.mode & 0o777).toString(8)}`;
  });
}

t.test('from nothing to a roster with all certifications, which gpg finds good', SKIP, (t) => {
  const { roster, secrets, keys, mustKeys, folder } = fleetOf(t);
  mustKeys('init', '--name', 'example', '--make-authority', 'Example Org');
  t.match(keys('init', '--name', 'example', '--make-authority', 'X'), {
    status: 78,
    stderr: /is there already/,
  });
  mustKeys(
    'add',
    'operator',
    'alice',
    '--make',
    '--full-name',
    'Alice Liddell',
    '--email',
    'alice@example.org',
    '--role',
    'oncall',
  );
  mustKeys(
    'add',
    'bastion',
    'b1',
    '--make',
    '--region',
    'r1',
    '--host',
    'b1.example.org',
    '--capability',
    'spa-server',
  );
  const before = keys('plan');
  t.equal(before.status, 1);
  t.match(before.stdout, /missing {2}authority {2}its certification of alice, b1/);
  t.equal(keys('verify').status, 1);
  mustKeys('sign');
  t.match(mustKeys('plan').stdout, /3 of 3 keys and 2 of 2 certifications are right: nothing to do/);
  t.match(mustKeys('verify').stdout, /everything that is needed is there and valid/);
  t.match(
    mustKeys('audit').stdout,
    /authority {2}operator alice {2}\d{4}-\d\d-\d\d {2}\d{4}-\d\d-\d\d {2}exportable {2}valid/,
  );

  const report = JSON.parse(mustKeys('plan', '--json').stdout);
  t.match(report, { roster: 'example', version: 3, signature: 'good', clean: true, unwanted: [] });
  t.equal(report.keys.length, 3);

  const home = join(folder, 'check');
  mkdirSync(home, { mode: 0o700 });
  t.teardown(() => spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']));
  const gpg = (...argv: readonly string[]): Run => run('gpg', ['--homedir', home, '--batch', ...argv]);
  const files = ['authority', 'operators/alice', 'bastions/b1'].map(
    (name) => `${roster}/certificates/${name}.asc`,
  );
  t.equal(gpg('--import', ...files).status, 0);
  t.match(gpg('--check-sigs', 'alice').stdout, /sig! .*Example Org/);
  t.match(gpg('--verify', `${roster}/roster.yaml.asc`, `${roster}/roster.yaml`), { status: 0 });

  t.ok(
    modesIn(secrets).every((mode) => mode === 'd700' || mode === 'f600'),
    'secrets are for nobody else',
  );
  const everything = readdirSync(roster, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(roster, name)).isFile())
    .map((name) => readFileSync(join(roster, name), 'utf8'));
  t.notOk(
    everything.some((text) => text.includes('PRIVATE KEY')),
    'no secret is in the folder for git',
  );

  const schema = JSON.parse(readFileSync(`${roster}/roster.schema.json`, 'utf8'));
  const check = new Ajv({ strict: false }).compile(schema);
  t.equal(check(parse(readFileSync(`${roster}/roster.yaml`, 'utf8'))), true, JSON.stringify(check.errors));

  writeFileSync(
    `${roster}/roster.yaml`,
    readFileSync(`${roster}/roster.yaml`, 'utf8').replace('timeout: 30', 'timeout: 31'),
  );
  t.match(keys('verify'), { status: 1, stdout: /unsigned +roster\.yaml +it is not what was signed/ });
  t.end();
});

t.test('a verb that is mistyped is guessed, and every verb has help with an example', (t) => {
  t.match(run(process.execPath, [SPA_KEYS, 'plam']), { status: 64, stderr: 'did you mean plan?' });
  t.match(run(process.execPath, [SPA_KEYS]), { status: 64, stderr: /what is to be done\?/ });
  const { stdout } = run(process.execPath, [SPA_KEYS, '--help']);
  for (const verb of ['init', 'add', 'challenge', 'prove', 'plan', 'verify', 'audit']) {
    t.match(stdout, new RegExp(`^ {2}${verb} `, 'm'));
    const help = run(process.execPath, [SPA_KEYS, verb, '--help']);
    t.equal(help.status, 0);
    t.match(help.stdout, new RegExp(`^ {2}spa-keys ${verb}`, 'm'), `${verb} has an example`);
  }
  t.end();
});
