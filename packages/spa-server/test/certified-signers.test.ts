import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { refusalOf, termsOf } from '../src/decision/signers.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import { loadKeys } from '../src/keys/load-keys.ts';
import { parseAccessText } from './access-text.ts';

const skip = lackingPrograms('gpg');

/** 2026-01-01T00:00:00Z: all keys are made then. */
const START = 1_767_225_600;
const DAY = 86_400;
const NOW = START + 10 * DAY;

interface Home {
  readonly path: string;
  gpg(args: readonly string[], atSeconds?: number, input?: string): Buffer;
  /** Makes a key pair; its fingerprint. */
  key(name: string, expiry?: string): string;
  /** Writes a file of certificates; its path. */
  file(name: string, fingerprints: readonly string[]): string;
  load(
    lines: readonly string[],
    nowSeconds?: number,
  ): Promise<{ readonly stanza: Stanza; readonly warnings: readonly string[] }>;
}

t.test('signers that have to be certified', { skip }, async (t) => {
  const home = makeHome(t);
  const { gpg, key, file, load } = home;
  const [bastion, authority] = [key('bastion'), key('authority')];
  const [alice, bob, carol, dave, eve] = ['alice', 'bob', 'carol', 'dave', 'eve'].map((name) => key(name));
  const frank = key('frank', '30d');
  const certify = (
    by: string,
    whom: string | undefined,
    more: readonly string[] = [],
    command = 'sign',
  ): void => {
    gpg(['--local-user', by, ...more, `--quick-${command}-key`, whom ?? ''], START + DAY);
  };
  certify(bastion, alice, [], 'lsign');
  certify(bastion, bob, ['--default-cert-expire', '20d']);
  certify(authority, carol);
  certify(bastion, dave);
  gpg(['--local-user', bastion, '--quick-revoke-sig', dave ?? '', bastion], START + 2 * DAY);
  certify(bastion, frank);
  const own = [`GPG_HOME_DIR ${home.path}`, `GPG_DECRYPT_ID ${bastion}`];

  await t.test('each counts from its certification, exportable or local, until it ends', async (t) => {
    const all = [alice, bob, carol, dave, eve, frank].join(', ');
    const { stanza, warnings } = await load([
      ...own,
      `GPG_FINGERPRINT_ID ${all}`,
      'SPA_CERTIFIED_BY bastion',
    ]);
    const at = (signer: string | undefined, seconds: number): string | null =>
      refusalOf(termsOf(stanza, signer ?? ''), seconds);
    t.equal(at(alice, NOW), null, 'a local certification');
    t.equal(at(bob, NOW), null);
    t.equal(at(bob, START + 21 * DAY - 1), null);
    t.equal(at(bob, START + 21 * DAY), 'signer-expired');
    t.equal(at(carol, NOW), 'not-certified', 'by somebody else');
    t.equal(at(dave, NOW), 'not-certified', 'taken back');
    t.equal(at(eve, NOW), 'not-certified');
    t.equal(at(frank, START + 30 * DAY - 1), null);
    t.equal(at(frank, START + 30 * DAY), 'signer-expired', 'with the key');
    t.match(warnings, [
      new RegExp(
        `^access.conf:5: SPA_CERTIFIED_BY: ${carol} \\(carol <.*>\\) is not let in: ${bastion} has not certified this key$`,
      ),
      new RegExp(
        `SPA_CERTIFIED_BY: ${dave} \\(.*\\) is not let in: the certification by ${bastion} was taken back$`,
      ),
      new RegExp(`SPA_CERTIFIED_BY: ${eve} `),
    ]);
  });

  await t.test('in a file the authority is there to certify, not to come in', async (t) => {
    const ring = file('ring.asc', [alice ?? '', carol ?? '', authority]);
    const lines = [...own, `GPG_SIGNER_CERT_FILE ${ring}`, `SPA_CERTIFIED_BY ${authority}`];
    const { stanza, warnings } = await load(lines);
    t.same([...(stanza.signers ?? [])].map(([signer]) => signer).sort(), [alice, carol].sort());
    t.equal(refusalOf(termsOf(stanza, carol ?? ''), NOW), null);
    t.equal(refusalOf(termsOf(stanza, alice ?? ''), NOW), 'not-certified');
    t.equal(refusalOf(termsOf(stanza, authority), NOW), 'not-enrolled');
    t.equal(warnings.length, 1);
    const both = await load([...lines.slice(0, -1), `SPA_CERTIFIED_BY ${authority}, bastion`]);
    t.equal(refusalOf(termsOf(both.stanza, carol ?? ''), NOW), null, 'one of them is enough');
  });

  await t.test('whom time or a revocation has put out is denied, and keeps nobody else out', async (t) => {
    const only = (signer: string | undefined, nowSeconds: number) =>
      load([...own, `GPG_FINGERPRINT_ID ${signer}`, 'SPA_CERTIFIED_BY bastion'], nowSeconds);
    const expired = await only(bob, START + 40 * DAY);
    t.equal(refusalOf(termsOf(expired.stanza, bob ?? ''), START + 40 * DAY), 'signer-expired');
    t.match(expired.warnings, [/is not let in: its certification by .* ended 2026-01-22T00:00:00Z$/]);
    const revoked = await only(dave, NOW);
    t.equal(refusalOf(termsOf(revoked.stanza, dave ?? ''), NOW), 'not-certified');
    t.equal(revoked.warnings.length, 1);
  });

  await t.test('what was made just now counts, though its maker has another clock', async (t) => {
    const lines = [...own, `GPG_FINGERPRINT_ID ${alice}`, 'SPA_CERTIFIED_BY bastion'];
    const made = START + DAY;
    t.equal(refusalOf(termsOf((await load(lines, made - 250)).stanza, alice ?? ''), made - 250), null);
    await t.rejects(load(lines, made - 350), /has not certified/);
  });

  await t.test('a stanza that was never right is an error at the line', async (t) => {
    const nobody = `GPG_FINGERPRINT_ID ${eve}`;
    const cases: readonly (readonly [lines: readonly string[], message: string | RegExp])[] = [
      [
        [...own, nobody, 'SPA_CERTIFIED_BY bastion'],
        `access.conf:5: SPA_CERTIFIED_BY: ${eve} (eve <eve@example.com>) is not let in: ${bastion} has not certified this key; certify the key (gpg --quick-sign-key, spa-keys sign), or remove the line`,
      ],
      [
        [...own, `GPG_FINGERPRINT_ID ${eve}, ${carol}`, 'SPA_CERTIFIED_BY bastion'],
        /has not certified this key, and so are all 2 signers of this stanza; certify/,
      ],
      [
        [...own, nobody, `SPA_CERTIFIED_BY ${authority.slice(-16)}`],
        /^access.conf:5: SPA_CERTIFIED_BY: "\w{16}" is nobody who certifies; write bastion/,
      ],
      [[...own, nobody, `SPA_CERTIFIED_BY ${'F'.repeat(40)}`], /SPA_CERTIFIED_BY: .*gpg finds no public key/],
      [
        [...own, 'GPG_DISABLE_SIG Y', 'SPA_CERTIFIED_BY bastion'],
        'access.conf:5: SPA_CERTIFIED_BY: nobody signs the packets that GPG_DISABLE_SIG lets in; remove one of the two lines',
      ],
      [
        ['KEY secret', 'SPA_CERTIFIED_BY bastion'],
        /^access.conf:3: SPA_CERTIFIED_BY: this needs the bastion's own key/,
      ],
      [
        ['KEY secret', ...own, `GPG_FINGERPRINT_ID ${alice}`, 'SPA_CERTIFIED_BY bastion'],
        /SPA_CERTIFIED_BY: nobody signs the packets that KEY lets in/,
      ],
      [
        [
          ...own,
          `GPG_SIGNER_CERT_FILE ${file('authority.asc', [authority])}`,
          `SPA_CERTIFIED_BY ${authority}`,
        ],
        /GPG_SIGNER_CERT_FILE: nobody is in this file but who certifies; add the operators/,
      ],
    ];
    for (const [lines, message] of cases) {
      await t.rejects(load(lines), { name: 'ConfigError', message }, lines.join('; '));
    }
  });
});

function makeHome(t: Test): Home {
  const folder = mkdtempSync(join(tmpdir(), 'c'));
  const path = mkdtempSync(join(folder, 'g'));
  chmodSync(path, 0o700);
  writeFileSync(join(path, 'gpg.conf'), 'no-auto-check-trustdb\ntrust-model always\n');
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', path, '--kill', 'all']);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  const gpg: Home['gpg'] = (args, atSeconds = START, input = '') =>
    execFileSync(
      'gpg',
      [
        ...['--homedir', path, '--batch', '--quiet', '--yes', '--no-tty', '--pinentry-mode', 'loopback'],
        ...['--passphrase', '', '--faked-system-time', `${atSeconds}!`, ...args],
      ],
      { input, stdio: ['pipe', 'pipe', 'pipe'] },
    );
  return {
    path,
    gpg,
    key: (name, expiry = 'never') => {
      gpg(['--quick-generate-key', `${name} <${name}@example.com>`, 'future-default', 'default', expiry]);
      const listed = gpg(['--with-colons', '--list-keys', `${name}@example.com`]).toString();
      return /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? '';
    },
    file: (name, fingerprints) => {
      const written = join(folder, name);
      writeFileSync(written, gpg(['--armor', '--export', ...fingerprints]), { mode: 0o644 });
      return written;
    },
    load: async (lines, nowSeconds = NOW) => {
      const { value } = parseAccessText('access.conf', ['SOURCE ANY', ...lines].join('\n'));
      const warnings: string[] = [];
      const warn = (line: string): void => {
        warnings.push(line);
      };
      const [stanza] = await loadKeys(value, { directory: path, program: 'gpg' }, { nowSeconds, warn });
      if (stanza === undefined) throw new Error('no stanza');
      return { stanza, warnings };
    },
  };
}
