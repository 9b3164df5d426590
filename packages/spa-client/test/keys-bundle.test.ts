import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createLabRoster, createScratch, type LabRoster, lacking, PROGRAMS, type Scratch } from 'spa-lab';
import t, { type Test } from 'tap';
import { accessChanges, entrantsOf } from '../src/roster/access-changes.ts';
import { formatOrders } from '../src/roster/far-host.ts';
import { INSTALLER } from '../src/roster/installer.sh.ts';
import { tarOf } from '../src/roster/tar.ts';

t.setTimeout(120_000);

const BASTIONS = [
  { name: 'one', region: 'north', host: 'one.test', daemon: 'fwknopd' },
  { name: 'two', region: 'north', host: 'two.test', daemon: 'spa-server' },
] as const;

for (const topology of ['mutual', 'authority'] as const) {
  t.test(`${topology}: bundles are what gpg takes and believes`, { skip: lacking('gpg') }, async (t) => {
    const { scratch, lab } = await setUp(t, topology);
    const out = scratch.path('out');
    const { status, stderr } = bundle(lab, '--out', out);
    t.equal(status, 1, 'somebody is left out');
    t.match(stderr, /not let in at one, two: mallory: .*is not certified by/);

    await t.test('a bastion believes those who may come in, and knows nobody else', async (t) => {
      for (const name of ['one', 'two']) {
        const { validity, signatures } = importInto(
          scratch.path(`gpg-${name}`),
          `${out}/bastions/${name}/keyring.asc`,
          `${out}/bastions/${name}/ownertrust.txt`,
        );
        t.equal(validity.get(lab.fingerprint('alice')), 'f');
        t.equal(validity.get(lab.fingerprint('bob')), 'f');
        t.notOk(validity.has(lab.fingerprint('mallory')));
        t.notOk(validity.has(lab.fingerprint(name === 'one' ? 'two' : 'one')), 'not the other bastion');
        t.notMatch(signatures, /^sig:[^!]/m, 'gpg verifies all signatures');
        execFileSync('sha256sum', ['--quiet', '--strict', '--check', 'MANIFEST'], {
          cwd: `${out}/bastions/${name}`,
        });
      }
    });

    await t.test('a stanza per operator, with what the daemon there needs', async (t) => {
      const stock = readFileSync(`${out}/bastions/one/access.conf`, 'utf8');
      t.equal(stock.match(/^SOURCE ANY$/gm)?.length, 2);
      t.match(stock, new RegExp(`^GPG_FINGERPRINT_ID ${lab.fingerprint('alice')}$`, 'm'));
      t.match(stock, /^GPG_HOME_DIR \/etc\/fwknop\/spa-keys\/releases\/1-[0-9a-f]{12}\/gnupg$/m);
      t.match(stock, /^REQUIRE_SOURCE_ADDRESS Y$/m);
      t.equal(new Set(hmacKeys(stock)).size, 2, 'an HMAC key of his own for each');
      const ours = readFileSync(`${out}/bastions/two/access.conf`, 'utf8');
      t.match(
        ours,
        new RegExp(`^GPG_DECRYPT_KEY_FILE /etc/fwknop/spa-keys/secret/${lab.fingerprint('two')}.asc$`, 'm'),
      );
      t.match(
        ours,
        new RegExp(`^SPA_CERTIFIED_BY ${lab.fingerprint(topology === 'mutual' ? 'two' : 'authority')}$`, 'm'),
      );
      t.equal(new Set(hmacKeys(ours)).size, 1, 'one HMAC key for all');
    });

    await t.test('an operator gets the regions he may open, and certificates that he believes', async (t) => {
      const rc = readFileSync(`${out}/operators/alice/fwknoprc`, 'utf8');
      t.match(rc, /^\[north\]$/m);
      t.match(rc, /^FALLBACK +two$/m);
      t.notMatch(readFileSync(`${out}/operators/alice/fwknoprc.stock`, 'utf8'), /FALLBACK/);
      const keys = [...hmacKeys(readFileSync(`${out}/bastions/one/access.conf`, 'utf8'))];
      t.ok(hmacKeys(rc).some((key) => keys.includes(key)));
      const own = readFileSync(`${out}/operators/bob/fwknoprc`, 'utf8');
      t.notOk(
        hmacKeys(own)
          .filter((key) => keys.includes(key))
          .some((key) => hmacKeys(rc).includes(key)),
        'not the key of another',
      );
      const { validity } = importInto(
        lab.homes.get('alice')?.path ?? '',
        `${out}/operators/alice/certificates.asc`,
        `${out}/operators/alice/ownertrust.txt`,
      );
      t.equal(validity.get(lab.fingerprint('one')), 'f');
      t.equal(validity.get(lab.fingerprint('two')), 'f');
      t.notOk(validity.has(lab.fingerprint('bob')), 'of other operators nothing');
    });

    await t.test('nobody else can read them, and the same roster gives the same', async (t) => {
      const before = snapshot(out);
      t.equal(statSync(out).mode & 0o777, 0o700);
      t.equal(statSync(`${out}/bastions/one`).mode & 0o777, 0o700);
      t.equal(statSync(`${out}/bastions/one/access.conf`).mode & 0o777, 0o600);
      bundle(lab, '--out', out);
      t.same(snapshot(out), before);
      await lab.write({ version: 2, without: ['bob'] });
      t.match(bundle(lab, '--out', out, 'one').status, 1);
      t.notMatch(readFileSync(`${out}/bastions/one/access.conf`, 'utf8'), lab.fingerprint('bob'));
      t.match(
        readFileSync(`${out}/bastions/two/access.conf`, 'utf8'),
        lab.fingerprint('bob'),
        'only the one that was named',
      );
      bundle(lab, '--out', out);
      t.strictSame(
        readdirSync(`${out}/operators`).sort(),
        ['alice', 'mallory'],
        'what nobody has any more is gone',
      );
    });

    await t.test('secret keys travel only when asked for', async (t) => {
      t.notOk(Object.keys(snapshot(out)).some((path) => path.includes('secret')));
      mkdirSync(`${lab.secrets}/keys`, { mode: 0o700 });
      const secret = (await lab.homes.get('one')?.exportSecretKey()) ?? '';
      writeFileSync(`${lab.secrets}/keys/${lab.fingerprint('one')}.asc`, secret, { mode: 0o600 });
      bundle(lab, '--out', out);
      t.notOk(Object.keys(snapshot(out)).some((path) => path.includes('secret')));
      bundle(lab, '--out', out, '--with-secret-keys');
      t.strictSame(
        Object.keys(snapshot(out)).filter((path) => path.includes('secret')),
        ['bastions/one/secret-key.asc'],
      );
    });

    await t.test('no bundle goes where the roster is, and no unknown name', async (t) => {
      t.match(bundle(lab, '--out', `${lab.folder}/bundles`), {
        status: 64,
        stderr: /is in the folder of the roster/,
      });
      t.match(bundle(lab, '--out', out, 'alise'), { status: 64, stderr: /did you mean alice\?/ });
    });
  });
}

t.test('the installer is one word for any shell', async (t) => {
  t.notMatch(INSTALLER, /['\\]/);
  t.equal(spawnSync('sh', ['-n'], { input: INSTALLER }).status, 0);
});

t.test('an order is one line', async (t) => {
  const orders = { task: 'enrol', folder: '/f', config: '/c', daemon: 'fwknopd' } as const;
  t.equal(
    formatOrders({ ...orders, userId: 'one' }),
    'task enrol\nfolder /f\nconfig /c\ndaemon fwknopd\nuser-id one\n\n',
  );
  t.throws(() => formatOrders({ ...orders, userId: 'one\nfolder /etc' }), RangeError);
});

t.test('tar unpacks what we pack', async (t) => {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  mkdirSync(scratch.path('x'));
  const entries = [
    { path: 'a', content: 'x'.repeat(1025) },
    { path: 'b', content: '' },
  ];
  execFileSync('tar', ['-xf', '-', '-C', scratch.path('x')], { input: tarOf(entries) });
  for (const { path, content } of entries) t.equal(readFileSync(scratch.path('x', path), 'utf8'), content);
  t.equal(statSync(scratch.path('x', 'a')).mode & 0o777, 0o600);
  t.throws(() => tarOf([{ path: 'x'.repeat(101), content: '' }]), RangeError);
});

t.test('what changes in an access.conf is told by person', async (t) => {
  const stanza = (who: string, ports: string): string[] => [
    ...[`# operator ${who}`, 'SOURCE ANY', `GPG_FINGERPRINT_ID ${who.toUpperCase()}`, `OPEN_PORTS ${ports}`],
    ...['FW_ACCESS_TIMEOUT 30', 'HMAC_KEY_BASE64 c2VjcmV0', ''],
  ];
  const before = entrantsOf([...stanza('alice', 'tcp/22'), ...stanza('bob', 'tcp/22')]);
  const after = entrantsOf([...stanza('alice', 'tcp/22, tcp/80'), ...stanza('carol', 'tcp/22')]);
  t.strictSame(accessChanges(before, after), {
    added: ['carol CAROL: tcp/22, 30 s'],
    removed: ['bob BOB: tcp/22, 30 s'],
    changed: ['alice ALICE: tcp/22, 30 s becomes tcp/22, tcp/80, 30 s'],
  });
});

async function setUp(
  t: Test,
  topology: 'mutual' | 'authority',
): Promise<{ readonly scratch: Scratch; readonly lab: LabRoster }> {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  const lab = await createLabRoster(scratch, {
    topology,
    operators: ['alice', 'bob', 'mallory'],
    bastions: BASTIONS,
    certified: ['alice', 'bob'],
  });
  t.teardown(lab.close);
  return { scratch, lab };
}

function bundle(
  lab: LabRoster,
  ...args: readonly string[]
): { readonly status: number | null; readonly stderr: string } {
  const { status, stderr } = spawnSync(
    process.execPath,
    [PROGRAMS.spaKeys, 'bundle', '--roster', lab.folder, '--secrets', lab.secrets, ...args],
    { encoding: 'utf8' },
  );
  return { status, stderr };
}

function hmacKeys(text: string): readonly string[] {
  return Array.from(text.matchAll(/^HMAC_KEY_BASE64 +(\S+)$/gm), ([, key]) => key ?? '');
}

function snapshot(out: string): Readonly<Record<string, string>> {
  const paths = ['bastions', 'operators'].flatMap((kind) =>
    readdirSync(`${out}/${kind}`).flatMap((name) =>
      readdirSync(`${out}/${kind}/${name}`).map((file) => `${kind}/${name}/${file}`),
    ),
  );
  return Object.fromEntries(paths.map((path) => [path, readFileSync(`${out}/${path}`, 'utf8')]));
}

/** What gpg makes of a bundle's keys: validity by fingerprint, and each signature with what gpg thinks of it. */
function importInto(
  home: string,
  keyring: string,
  ownertrust: string,
): { readonly validity: ReadonlyMap<string, string>; readonly signatures: string } {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const gpg = (...args: readonly string[]): string =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--no-autostart', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  gpg('--import-options', 'import-local-sigs', '--import', keyring);
  gpg('--import-ownertrust', ownertrust);
  gpg('--check-trustdb');
  const listed = gpg('--with-colons', '--list-keys');
  const validity = new Map(
    Array.from(
      listed.matchAll(/^pub:(.):.*\nfpr:+([0-9A-F]{40}):/gm),
      ([, letter = '', fingerprint = '']) => [fingerprint, letter],
    ),
  );
  const signatures = gpg('--with-colons', '--check-sigs')
    .split('\n')
    .filter((line) => line.startsWith('sig:'))
    .join('\n');
  return { validity, signatures };
}
