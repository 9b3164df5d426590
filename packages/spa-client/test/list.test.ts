import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { writeRegionState } from '../src/region-state.ts';

const SSHBH = fileURLToPath(new URL('../src/bin/sshbh.cjs', import.meta.url));
const FINGERPRINT = '0123456789ABCDEF0123456789ABCDEF0123CDEF';
const RC = `[default]
HMAC_KEY_BASE64  c2VjcmV0LWhtYWMta2V5
[us-east-1]
SPA_SERVER  bastion.us-east-1.example.com
USE_GPG  Y
GPG_SIGNER  ${FINGERPRINT}
GPG_RECIPIENT  bastion
FALLBACK  eu-west-1,lab
PRIVATE_HOSTS  10.0.1.*
[eu-west-1]
SPA_SERVER  203.0.113.5
KEY  a-secret-key
[lab]
SPA_SERVER  lab.example.com
ACCESS  tcp/2222
USE_GPG  Y
GPG_SIGNER_KEY_FILE  ~/keys/alice.asc
[keys-only]
KEY  another-secret
`;
const HOUR_MS = 3_600_000;

type List = (...argv: readonly string[]) => {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** `sshbh list` with that rc file, and a machine that remembers nothing yet. */
function listOf(t: Test, rc: string): List {
  const home = mkdtempSync(join(tmpdir(), 'sshbh-list-'));
  const file = join(home, 'rc');
  writeFileSync(file, rc, { mode: 0o600 });
  const before = process.env.XDG_STATE_HOME;
  process.env.XDG_STATE_HOME = home;
  t.teardown(() => {
    if (before === undefined) delete process.env.XDG_STATE_HOME;
    else process.env.XDG_STATE_HOME = before;
    rmSync(home, { recursive: true, force: true });
  });
  return (...argv) =>
    spawnSync(process.execPath, [SSHBH, 'list', '--rc-file', file, ...argv], { encoding: 'utf8' });
}

function used(agoMs: number): Parameters<typeof writeRegionState>[1] {
  const at = Date.now() - agoMs;
  return { lastUsedAt: at, openedAt: at, address: '203.0.113.5', roundTripMs: 81.5 };
}

t.test('regions are listed with host, key, last use and the number of other bastions', (t) => {
  const list = listOf(t, RC);
  writeRegionState('us-east-1', used(2.5 * HOUR_MS));
  const { status, stdout, stderr } = list();
  t.same({ status, stderr }, { status: 0, stderr: '' });
  t.same(stdout.split('\n'), [
    'us-east-1  bastion.us-east-1.example.com  OpenPGP 0123…CDEF + HMAC  2 hours ago  +2',
    'eu-west-1  203.0.113.5                    AES + HMAC                never',
    'lab        lab.example.com                OpenPGP alice.asc + HMAC  never',
    '',
  ]);
  t.end();
});

t.test('what is not authenticated, and who will be asked, is said', (t) => {
  const list = listOf(t, '[a]\nSPA_SERVER a.example\nKEY k\n[b]\nSPA_SERVER b.example\nUSE_HMAC Y\n');
  t.match(
    list().stdout,
    /^a +a\.example +AES, no HMAC +never\nb +b\.example +AES \(asks for the key\) \+ HMAC +never\n$/,
  );
  t.end();
});

t.test('the last use is told as people do', (t) => {
  const ages: readonly (readonly [number, string])[] = [
    [-HOUR_MS, 'just now'],
    [1000, 'just now'],
    [90_000, '1 minute ago'],
    [23.5 * HOUR_MS, '23 hours ago'],
    [50 * HOUR_MS, '2 days ago'],
  ];
  for (const [age, text] of ages) {
    const list = listOf(t, '[a]\nSPA_SERVER a.example\nKEY k\n');
    writeRegionState('a', used(age));
    t.match(list().stdout, new RegExp(`  ${text}\n$`));
  }
  const list = listOf(t, '[a]\nSPA_SERVER a.example\nKEY k\n');
  writeRegionState('a', { ...used(0), lastUsedAt: Date.UTC(2020, 1, 3) });
  t.match(list().stdout, / {2}2020-02-03\n$/);
  t.end();
});

t.test('a stanza that is wrong is listed, and the complaint comes once', (t) => {
  const list = listOf(
    t,
    '[default]\nACCESS nonsense\n[a]\nSPA_SERVER a.example\n[b]\nSPA_SERVER b.example\nACCESS tcp/22\n',
  );
  const { status, stdout, stderr } = list();
  t.equal(status, 0);
  t.equal(stdout, 'a  ?  ?  ?\nb  ?  ?  ?\n');
  t.match(stderr, /^sshbh: \S+\/rc:2: ACCESS: .*\n$/);
  const wrong = listOf(t, '[a]\nSPA_SERVER a.example\nKEY k\n[b]\nSPA_SERVER b.example\nFALLBACK none\n')();
  t.match(wrong.stdout, /^a {2}a\.example {2}AES, no HMAC {2}never\nb {2}\? +\? +\?\n$/);
  t.match(wrong.stderr, /no stanza \[none\]/);
  t.end();
});

t.test('--json has everything but secrets, with times that tools read', (t) => {
  const list = listOf(t, RC);
  writeRegionState('us-east-1', {
    ...used(0),
    lastUsedAt: Date.UTC(2026, 1, 3),
    openedAt: Date.UTC(2026, 0, 1),
  });
  const { stdout } = list('--json');
  const [first, second] = JSON.parse(stdout).regions;
  t.same(first, {
    name: 'us-east-1',
    host: 'bastion.us-east-1.example.com',
    sshPort: 22,
    encryption: 'openpgp',
    signer: FINGERPRINT,
    hmac: true,
    asksForKey: false,
    fallback: ['eu-west-1', 'lab'],
    privateHosts: ['10.0.1.*'],
    lastUsedAt: '2026-02-03T00:00:00.000Z',
    openedAt: '2026-01-01T00:00:00.000Z',
    address: '203.0.113.5',
    roundTripMs: 81.5,
  });
  t.match(second, { name: 'eu-west-1', signer: null, lastUsedAt: null, openedAt: null, address: null });
  t.notMatch(stdout + list().stdout, /secret/);
  t.end();
});

t.test('--json says what is wrong with a stanza', (t) => {
  const { stdout, stderr } = listOf(t, '[a]\nSPA_SERVER a.example\nNONSENSE x\n')('--json');
  t.match(JSON.parse(stdout).regions, [{ name: 'a', error: /there is no such keyword/ }]);
  t.equal(stderr, '');
  t.end();
});

t.test('--names is one word a line', (t) => {
  const list = listOf(
    t,
    `${RC}[$(touch x)]\nSPA_SERVER x.example\n[a b]\nSPA_SERVER x\n[two\tor\x1b(3m]\nSPA_SERVER x\n`,
  );
  t.equal(list('--names').stdout, 'us-east-1\neu-west-1\nlab\n');
  t.end();
});

t.test('control characters of the rc file do not reach the terminal', (t) => {
  const { stdout, stderr } = listOf(t, '[a\x1b]\nSPA_SERVER a.example\nACCESS \x1b\n')();
  t.equal(stdout, 'a?  ?  ?  ?\n');
  t.notOk(stderr.includes('\x1b'));
  t.end();
});

t.test('without regions there is nothing; without rc file that is an error', (t) => {
  t.match(listOf(t, '[default]\nKEY k\n')(), { status: 0, stdout: '', stderr: '' });
  t.match(listOf(t, '')('--rc-file', '/nonexistent/rc'), { status: 78, stdout: '' });
  t.match(listOf(t, '')('what'), { status: 64 });
  t.match(listOf(t, '')('--json', '--names'), { status: 64 });
  t.match(listOf(t, '')('--help'), { status: 0, stdout: /--names/ });
  t.end();
});

t.test('an rc file that others can read is refused with the command that mends it', (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sshbh it's "));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'rc');
  writeFileSync(file, RC);
  chmodSync(file, 0o640);
  const list = listOf(t, '');
  const { status, stdout, stderr } = list('--rc-file', file);
  t.same({ status, stdout }, { status: 78, stdout: '' });
  const [, command = ''] = /: HMAC_KEY_BASE64: .*others have access to it; run: (.*)\n$/.exec(stderr) ?? [];
  t.equal(spawnSync('sh', ['-c', command]).status, 0, command);
  t.match(list('--rc-file', file), { status: 0, stderr: '' });
  t.end();
});
