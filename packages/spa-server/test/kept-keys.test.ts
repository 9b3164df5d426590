import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HmacKey, readCertificates, readSecretKeys } from 'spa-core';
import { createGnupgHome, createScratch, type GnupgHome, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { createGate } from '../src/decision/gate.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import { createFewAtOnce } from '../src/keys/gpg-keeper.ts';
import { loadKeys } from '../src/keys/load-keys.ts';
import { parseAccessText } from './access-text.ts';
import { addressOf, messageOf, sealOf } from './gate.ts';

const skip = lackingPrograms('gpg', 'gpgconf');
const hmacKey = randomBytes(64);
const HMAC_LINE = `HMAC_KEY_BASE64 ${hmacKey.toString('base64')}`;

for (const kind of ['ecc', 'nistp256', 'rsa2048'] as const) {
  t.test(`a key of kind ${kind} in an agent that does not hand it out opens packets`, { skip }, async (t) => {
    const { keys, home } = await setUp(t, kind);
    const socket = forwardAgent(home, keys);
    const { stanza, warnings } = await load(home, keys);
    t.equal(stanza.keys[0]?.kind === 'openpgp' && stanza.keys[0].secretKeys[0]?.decryptionKey('x'), null);
    t.match(warnings, [/^access\.conf:2: GPG_DECRYPT_ID: gpg does not hand this key out/]);
    for (const mac of [new HmacKey(hmacKey, 'sha256'), null]) {
      const found = await load(home, keys, mac === null ? [] : [HMAC_LINE]);
      t.equal(await knock(found.stanza, keys, mac), 'grant', mac === null ? 'without HMAC' : 'with HMAC');
    }

    const stranger = await createGnupgHome(join(home, 'stranger'), 'eve@example', 'ecc');
    t.teardown(stranger.close);
    t.equal(await knock(stanza, keys, null, stranger), 'ignore', 'its signer counts as ever');
    rmSync(socket);
    t.equal(await knock(stanza, keys, null), 'ignore', 'when the agent has gone, nothing opens');
  });
}

t.test(
  'gpg is started for a packet that may be for its key only, and nobody sees the passphrase',
  { skip },
  async (t) => {
    const { keys, home } = await setUp(t, 'ecc');
    forwardAgent(home, keys);
    const [program, calls] = [join(home, 'gpg-that-tells'), join(home, 'calls')];
    writeFileSync(program, `#!/bin/sh\n{ echo "$@"; env; } >>'${calls}'\nexec gpg "$@"\n`, { mode: 0o700 });
    const secret = 'correct horse';
    await t.rejects(load(home, keys, [`GPG_DECRYPT_PW ${secret}`], program), /gpg refuses this passphrase/);
    const { stanza } = await load(home, keys, [HMAC_LINE], program);
    const called = (): number => readFileSync(calls, 'latin1').split('--decrypt').length - 1;
    const before = called();
    const mac = new HmacKey(hmacKey, 'sha256');
    const stranger = await createGnupgHome(join(home, 'stranger'), 'eve@example', 'ecc');
    t.teardown(stranger.close);
    t.equal(await knock(stanza, keys, new HmacKey(randomBytes(64), 'sha256')), 'ignore', 'no HMAC of ours');
    t.equal(await knock(stanza, stranger, mac, keys), 'ignore', 'for somebody else');
    t.equal(called(), before);
    await knock(stanza, keys, mac);
    t.equal(called(), before + 1);
    t.notMatch(readFileSync(calls, 'latin1'), secret);
  },
);

t.test('a stub whose card is not there is an error at the line that names it', { skip }, async (t) => {
  const { keys, home } = await setUp(t, 'ecc');
  importStub(home, keys);
  await t.rejects(load(home, keys), {
    name: 'ConfigError',
    message: /^access\.conf:2: GPG_DECRYPT_ID: gpg has only a stub of this key .*; put the card in/,
  });
});

t.test('a few things are done at a time, a few more wait, the rest is given up', async (t) => {
  const few = createFewAtOnce();
  let running = 0;
  let most = 0;
  const work = async (): Promise<string> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return 'done';
  };
  const results = await Promise.all(Array.from({ length: 50 }, () => few.do(work)));
  t.equal(most, 2);
  t.equal(results.filter((result) => result === 'done').length, 34);
  t.equal(await few.do(work), 'done', 'and then there is room again');
  await t.rejects(
    few.do(() => Promise.reject(new Error('no'))),
    /no/,
  );
  t.equal(await few.do(work), 'done', 'what fails leaves its place, too');
});

/** The home that has the key, and one that has not even its certificate yet. */
async function setUp(
  t: Test,
  kind: Parameters<typeof createGnupgHome>[2],
): Promise<{ readonly keys: GnupgHome; readonly home: string }> {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  const keys = await createGnupgHome(scratch.path('keys'), 'bastion@example', kind);
  t.teardown(keys.close);
  const home = scratch.path('home');
  mkdirSync(home, { mode: 0o700 });
  t.teardown(() => spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']));
  execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--import'], {
    input: await keys.exportCertificate(),
  });
  return { keys, home };
}

/** As `ssh -R` does it: the home's agent is the other's restricted socket, which signs and decrypts, and exports nothing. */
function forwardAgent(home: string, keys: GnupgHome): string {
  const socketOf = (path: string, name: string): string =>
    execFileSync('gpgconf', ['--homedir', path, '--list-dirs', name]).toString().trim();
  const socket = socketOf(home, 'agent-socket');
  spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
  execFileSync('gpgconf', ['--homedir', keys.path, '--launch', 'gpg-agent']);
  rmSync(socket, { force: true });
  writeFileSync(socket, `%Assuan%\nsocket=${socketOf(keys.path, 'agent-extra-socket')}\n`);
  return socket;
}

/** As `gpg --card-status` leaves it: the public half, and the name of a card. */
function importStub(home: string, keys: GnupgHome): void {
  const listed = execFileSync('gpg', [
    '--homedir',
    keys.path,
    '--with-keygrip',
    '--with-colons',
    '-K',
  ]).toString();
  const grips = Array.from(listed.matchAll(/^grp:+([0-9A-F]{40}):/gm), ([, grip]) => grip ?? '');
  const folder = join(home, 'private-keys-v1.d');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const grip of grips) {
    const file = join(keys.path, 'private-keys-v1.d', `${grip}.key`);
    const stub = readFileSync(file, 'latin1')
      .replace('(private-key', '(shadowed-private-key')
      .replace(/\(d #[0-9A-F]+#\)/, '(shadowed t1-v1 (#D2760001240103040006123456780000# OPENPGP.2))');
    writeFileSync(join(folder, `${grip}.key`), stub, { mode: 0o600 });
  }
}

async function load(
  home: string,
  keys: GnupgHome,
  lines: readonly string[] = [],
  program = 'gpg',
): Promise<{ readonly stanza: Stanza; readonly warnings: readonly string[] }> {
  const warnings: string[] = [];
  const text = [
    'SOURCE ANY',
    `GPG_DECRYPT_ID ${keys.fingerprint}`,
    `GPG_FINGERPRINT_ID ${keys.fingerprint}`,
    ...lines,
  ];
  const { value } = parseAccessText('access.conf', text.join('\n'));
  const [stanza] = await loadKeys(
    value,
    { directory: home, program },
    { nowSeconds: Math.floor(Date.now() / 1000), warn: (line) => warnings.push(line) },
  );
  if (stanza === undefined) throw new Error('there is one stanza');
  return { stanza, warnings };
}

/** The kind of the verdict on a packet for `keys` that `signer` signed. */
async function knock(stanza: Stanza, keys: GnupgHome, hmac: HmacKey | null, signer = keys): Promise<string> {
  const [recipient] = await readCertificates(Buffer.from(await keys.exportCertificate()));
  const [secretKey] = await readSecretKeys(Buffer.from(await signer.exportSecretKey()));
  if (recipient === undefined || secretKey === undefined) throw new Error('the home has a key');
  const encryption = { kind: 'openpgp', signer: secretKey, recipient } as const;
  const packet = await sealOf(messageOf({}), { encryption, hmac });
  const gate = createGate([stanza]);
  const glimpse = gate.glance({
    packet,
    source: addressOf('192.0.2.1'),
    destination: null,
    forwardedFor: null,
  });
  const candidate = glimpse.kind === 'ignore' ? glimpse : gate.screen(glimpse);
  if (candidate.kind === 'ignore') return candidate.kind;
  if (candidate.work !== 'kept') return candidate.work;
  const clock = { nowSeconds: Math.floor(Date.now() / 1000), maxAgeSeconds: 120 };
  return (await gate.decide(candidate, clock)).kind;
}
