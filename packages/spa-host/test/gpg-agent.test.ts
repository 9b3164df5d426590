import { execFileSync, spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writePacket } from 'spa-core';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import { connectGpgAgent, type GnupgHome, type GnupgSecretKey, listSecretKeys } from '../src/index.ts';

const skip = lackingPrograms('gpg', 'gpgconf');

const directory = mkdtempSync(join(tmpdir(), 'a'));
const home: GnupgHome = { directory, program: 'gpg' };
const pinentry = join(directory, 'pinentry');
const answers = join(directory, 'answers');
const asked = join(directory, 'asked');

/** A pinentry that gives what the file `answers` says, and writes down what it is asked. */
const PINENTRY = `#!/usr/bin/env node
const { appendFileSync, readFileSync } = require('node:fs');
const lines = require('node:readline').createInterface({ input: process.stdin });
const say = (text) => process.stdout.write(text + '\\n');
say('OK welcome');
lines.on('line', (line) => {
  appendFileSync(${JSON.stringify(asked)}, line + '\\n');
  if (line !== 'GETPIN') return say('OK');
  const answer = readFileSync(${JSON.stringify(answers)}, 'utf8');
  if (answer === 'cancel') return say('ERR 83886179 cancelled <Pinentry>');
  say('D ' + answer);
  say('OK');
});
`;

function gpg(args: readonly string[], input = ''): string {
  return execFileSync('gpg', ['--homedir', directory, '--batch', '--quiet', ...args], {
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
    encoding: 'utf8',
  });
}

function addKey(algorithm: string, passphrase: string): void {
  const loopback = ['--pinentry-mode', 'loopback', '--passphrase-fd', '0'];
  const userId = `${algorithm} ${passphrase === '' ? 'open' : 'locked'} <x@x.example>`;
  gpg([...loopback, '--quick-generate-key', userId, algorithm, 'cert,sign', 'never'], passphrase);
}

t.teardown(() => {
  spawnSync('gpgconf', ['--homedir', directory, '--kill', 'all']);
  rmSync(directory, { recursive: true, force: true });
});

if (skip === false) {
  chmodSync(directory, 0o700);
  writeFileSync(pinentry, PINENTRY, { mode: 0o700 });
  writeFileSync(
    join(directory, 'gpg-agent.conf'),
    `s2k-count 65536\npinentry-program ${pinentry}\nallow-loopback-pinentry\nignore-cache-for-signing\n`,
  );
  for (const algorithm of ['ed25519', 'rsa2048', 'nistp256', 'nistp384']) addKey(algorithm, '');
  addKey('ed25519', 'correct horse');
}

/** A detached signature over `text`, put together around what the agent made (RFC 9580 section 5.2.4). */
async function signDetached(
  key: GnupgSecretKey,
  sign: (octets: Buffer) => Promise<Buffer>,
  text: string,
): Promise<Buffer> {
  const fingerprint = Buffer.from(key.fingerprint, 'hex');
  const created = Buffer.alloc(4);
  created.writeUInt32BE(Math.floor(Date.now() / 1000));
  const area = Buffer.concat([Buffer.of(5, 2), created, Buffer.of(22, 33, 4), fingerprint]);
  const head = Buffer.concat([Buffer.of(4, 0, key.algorithm, 10, 0, area.length), area]);
  const signed = Buffer.concat([Buffer.from(text), head, Buffer.of(4, 0xff, 0, 0, 0, head.length)]);
  const numbers = await sign(signed);
  const left = hash('sha512', signed, 'buffer').subarray(0, 2);
  return writePacket(2, Buffer.concat([head, Buffer.of(0, 0), left, numbers]));
}

function verify(signature: Buffer, text: string): string {
  const file = join(directory, 'signature');
  writeFileSync(file, signature);
  const { stdout } = spawnSync(
    'gpg',
    ['--homedir', directory, '--batch', '--status-fd', '1', '--verify', file, '-'],
    { input: text, encoding: 'utf8' },
  );
  return stdout;
}

t.test('gpg-agent', { skip }, async (t) => {
  const keys = await listSecretKeys(home);
  const open = keys.filter(({ userId }) => userId.includes('open'));
  const [locked] = keys.filter(({ userId }) => userId.includes('locked'));
  if (locked === undefined) throw new Error('no locked key');
  const agent = await connectGpgAgent(home);
  t.teardown(() => agent.close());

  t.test('signs with whatever algorithm the key has, as gpg itself verifies', async (t) => {
    t.same(open.map(({ algorithm }) => algorithm).sort(), [1, 19, 19, 22]);
    const texts = open.flatMap((key) => ['one', 'two', 'three'].map((text) => ({ key, text })));
    // All at once: one connection does one after the other.
    const signatures = await Promise.all(
      texts.map(({ key, text }) =>
        signDetached(key, (octets) => agent.key(key, 'To test').sign(octets, 'sha512'), text),
      ),
    );
    for (const [index, { key, text }] of texts.entries()) {
      const status = verify(signatures[index] ?? Buffer.alloc(0), text);
      t.match(status, `VALIDSIG ${key.fingerprint}`, `${key.userId} ${text}`);
    }
  });

  t.test('asks for the passphrase by its own pinentry, and says what for', async (t) => {
    writeFileSync(answers, 'correct horse');
    const sign = (octets: Buffer): Promise<Buffer> =>
      agent.key(locked, 'To certify 3 operators of 100% example+org').sign(octets, 'sha512');
    const signature = await signDetached(locked, sign, 'text');
    t.match(verify(signature, 'text'), `VALIDSIG ${locked.fingerprint}`);
    const said = decodeURIComponent(readFileSync(asked, 'utf8').match(/^SETDESC (.*)$/m)?.[1] ?? '');
    t.match(said, 'To certify 3 operators of 100% example+org');
    t.match(said, locked.fingerprint);
  });

  t.test('who is asked may say no, or say it wrong: one clear line', async (t) => {
    const sign = (): Promise<Buffer> => agent.key(locked, 'To test').sign(Buffer.from('x'), 'sha512');
    writeFileSync(answers, 'cancel');
    await t.rejects(sign(), {
      name: 'ConfigError',
      message: `${directory}: the passphrase was asked for, and whoever was asked did not give it; nothing was signed with ${locked.fingerprint}`,
    });
    writeFileSync(answers, 'wrong');
    await t.rejects(sign(), {
      name: 'ConfigError',
      message: `${directory}: the passphrase was wrong; nothing was signed with ${locked.fingerprint}`,
    });
    writeFileSync(answers, 'correct horse');
    t.ok((await sign()).length > 60, 'the connection is as good as before');
  });

  t.test('a key that is not there, and an agent that ends, are one clear line', async (t) => {
    const gone = { ...locked, keygrip: '0'.repeat(40) };
    await t.rejects(agent.key(gone, 'To test').sign(Buffer.from('x'), 'sha512'), {
      name: 'ConfigError',
      message: /gpg-agent does not have the secret key; nothing was signed with/,
    });
    spawnSync('gpgconf', ['--homedir', directory, '--kill', 'gpg-agent']);
    await t.rejects(agent.key(locked, 'To test').sign(Buffer.from('x'), 'sha512'), {
      name: 'ConfigError',
      message: /gpg-agent: the connection ended/,
    });
    const another = await connectGpgAgent(home);
    writeFileSync(answers, 'correct horse');
    t.ok(
      (await another.key(locked, 'To test').sign(Buffer.from('x'), 'sha256')).length > 60,
      'it is started again',
    );
    another.close();
  });

  t.test('a home that is not there is said to be so', async (t) => {
    await t.rejects(listSecretKeys({ directory: join(directory, 'nowhere'), program: 'gpg' }), {
      name: 'ConfigError',
    });
    await t.rejects(listSecretKeys({ directory, program: '/nonexistent/gpg' }), {
      name: 'ConfigError',
      message: /no such program/,
    });
  });
});
