import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BastionRoster, type Fingerprint, formatBastionRoster } from 'spa-core';
import { ConfigError } from 'spa-host';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import { parseServerConfig } from '../src/config/server-config.ts';
import { writeAccepted } from '../src/roster/accepted.ts';
import { type LoadedRoster, loadRoster } from '../src/roster/load-roster.ts';

const skip = lackingPrograms('gpg');

const NOW = Math.floor(Date.now() / 1000);

function rosterOf(changes: Partial<BastionRoster>): BastionRoster {
  return {
    roster: 'example',
    version: 7,
    issuedAtSeconds: NOW,
    bastion: { name: 'us-east-1a', fingerprints: ['B'.repeat(40) as Fingerprint] },
    operators: [
      {
        name: 'alice',
        keys: [{ fingerprint: 'A'.repeat(40) as Fingerprint, notAfterSeconds: null }],
        notAfterSeconds: null,
        ports: [{ protocol: 'tcp', port: 22 }],
        timeoutSeconds: 30,
      },
    ],
    ...changes,
  };
}

t.test('a roster on the disk', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'r'));
  const home = join(folder, 'g');
  mkdirSync(home, { mode: 0o700 });
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  const gpg = (...args: readonly string[]): Buffer =>
    execFileSync(
      'gpg',
      [
        '--homedir',
        home,
        '--batch',
        '--quiet',
        '--yes',
        '--pinentry-mode',
        'loopback',
        '--passphrase',
        '',
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
  const key = (name: string): string => {
    gpg('--quick-generate-key', `${name} <${name}@example.com>`, 'ed25519', 'cert,sign', 'never');
    const listed = gpg('--with-colons', '--list-keys', `${name}@example.com`).toString();
    return /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? '';
  };
  const [authority, mallory] = [key('authority'), key('mallory')];
  const path = join(folder, 'roster.json');
  const certFile = join(folder, 'authority.asc');
  const stateFile = join(folder, 'state', 'replay-roster.json');
  writeFileSync(certFile, gpg('--armor', '--export', authority), { mode: 0o644 });

  const sign = (file: string, by = authority, output = `${file}.asc`): void => {
    gpg('--armor', '--local-user', by, '--output', output, '--detach-sign', file);
  };
  const write = (roster: BastionRoster | string, by = authority): void => {
    writeFileSync(path, typeof roster === 'string' ? roster : formatBastionRoster(roster), { mode: 0o644 });
    sign(path, by);
  };
  const warnings: string[] = [];
  const load = async (...lines: readonly string[]): Promise<LoadedRoster> => {
    const text = [
      'SPA_ROSTER roster.json',
      'SPA_ROSTER_SIGNER_CERT_FILE authority.asc',
      'REPLAY_STORE state/replay',
      ...lines,
    ].join('\n');
    const { roster } = parseServerConfig(join(folder, 'fwknopd.conf'), text, []).value;
    if (roster === null) throw new Error('no roster');
    t.equal(roster.stateFile, stateFile);
    warnings.length = 0;
    return loadRoster(roster, { nowSeconds: NOW, warn: (line) => warnings.push(line) });
  };
  const accept = async (): Promise<void> => writeAccepted(stateFile, (await load()).accepted);

  await t.test('signed by the authority it is accepted, and the same again', async (t) => {
    write(rosterOf({}));
    const first = await load();
    t.same(first.roster, rosterOf({}));
    t.match(first, { isNew: true, accepted: { version: 7, signer: authority, acceptedAtSeconds: NOW } });
    writeAccepted(stateFile, { ...first.accepted, acceptedAtSeconds: NOW - 60 });
    sign(path);
    t.match(await load(), { isNew: false, accepted: { acceptedAtSeconds: NOW - 60 } });
    t.match(await load(`SPA_ROSTER_SIGNER ${authority}`), { accepted: { signer: authority } });
    t.equal(statSync(stateFile).mode & 0o777, 0o600);
    t.same(readdirSync(join(folder, 'state')), ['replay-roster.json'], 'no draft is left');
    gpg('--local-user', authority, '--output', `${path}.asc`, '--detach-sign', path);
    t.match(await load(), { isNew: false }, 'a binary signature');
  });

  await t.test('an older one is refused, and one of the same version that says something else', async (t) => {
    write(rosterOf({}));
    await accept();
    write(rosterOf({ version: 6 }));
    await t.rejects(load(), {
      name: 'ConfigError',
      message: new RegExp(
        `^${folder}/fwknopd.conf:1: SPA_ROSTER: version 6 is older than 7, which this host has had since \\S+Z; push the newest one$`,
      ),
    });
    write(rosterOf({ issuedAtSeconds: NOW + 1 }));
    await t.rejects(load(), /version 7 is not what this host has as version 7; raise the version/);
    write(rosterOf({ roster: 'staging', version: 9 }));
    await t.rejects(
      load(),
      /this is the roster "staging", and this host follows "example"; to follow the other, remove/,
    );
    write(rosterOf({ version: 8 }));
    t.match(await load(), { isNew: true, accepted: { version: 8 } });
  });

  await t.test('what was remembered and is damaged keeps nobody out for ever', async (t) => {
    write(rosterOf({}));
    await accept();
    for (const damaged of ['', '{"format":1', '{}', '[]', 'null', '{"format":1,"version":"x"}']) {
      writeFileSync(stateFile, damaged);
      t.match(await load(), { isNew: true });
      t.match(warnings, [/replay-roster.json: this file is damaged/]);
    }
    rmSync(stateFile);
    t.match(await load(), { isNew: true });
    t.same(warnings, []);
  });

  await t.test('a signature that is not there, false, or by somebody else is refused', async (t) => {
    write(rosterOf({}));
    const good = { roster: readFileSync(path), signature: readFileSync(`${path}.asc`) };
    const refusals: readonly (readonly [change: () => void, message: RegExp])[] = [
      [
        () => write(rosterOf({}), mallory),
        /roster.json.asc is no valid signature of this file by [0-9A-F]{40}; sign it again/,
      ],
      [() => writeFileSync(path, good.roster.toString().replace('alice', 'mally')), /is no valid signature/],
      [() => writeFileSync(path, good.roster.subarray(0, 200)), /is no valid signature/],
      [
        () => {
          const other = join(folder, 'other');
          writeFileSync(other, 'another file of the authority');
          sign(other, authority, `${path}.asc`);
        },
        /is no valid signature/,
      ],
      [() => rmSync(`${path}.asc`), /roster.json.asc: cannot be read: there is no such file/],
      [() => writeFileSync(`${path}.asc`, ''), /roster.json.asc/],
      [() => writeFileSync(`${path}.asc`, good.signature.subarray(0, 120)), /roster.json.asc/],
      [() => writeFileSync(`${path}.asc`, Buffer.alloc(500, 0x88)), /roster.json.asc/],
      [() => writeFileSync(`${path}.asc`, gpg('--armor', '--export', authority)), /roster.json.asc/],
      [
        () => writeFileSync(`${path}.asc`, Buffer.alloc(70_000)),
        /roster.json.asc: it has more than 65536 bytes/,
      ],
      [() => truncateSync(path, 2 ** 40), /roster.json: it has more than 8388608 bytes/],
      [() => chmodSync(path, 0o666), /roster.json: others can change it; run: chmod go-w/],
      [() => rmSync(path), /roster.json: cannot be read/],
    ];
    for (const [change, message] of refusals) {
      rmSync(path, { force: true });
      writeFileSync(path, good.roster, { mode: 0o644 });
      writeFileSync(`${path}.asc`, good.signature, { mode: 0o644 });
      change();
      const said = await load().then(
        () => 'accepted',
        (error: unknown) => (error instanceof ConfigError ? error.message : `not for the operator: ${error}`),
      );
      t.match(said, message);
      t.match(said, /^\S+fwknopd.conf:1: SPA_ROSTER: /);
      t.notMatch(said, /\n/);
    }
    rmSync(path, { force: true });
  });

  await t.test('what the authority signed and is no roster is refused too', async (t) => {
    for (const [text, message] of [
      ['', /roster.json: it is no JSON/],
      [formatBastionRoster(rosterOf({})).slice(0, -30), /roster.json: it is no JSON/],
      ['{"format": 2}', /format: 2 is not known here/],
      ['{"format": 1, "roster": "x", "version": -1}', /version: this is no whole number/],
    ] as const) {
      write(text);
      await t.rejects(load(), { name: 'ConfigError', message });
    }
    writeFileSync(path, Buffer.from([0x7b, 0xff, 0x7d]));
    sign(path);
    await t.rejects(load(), /roster.json: it is no UTF-8/);
  });

  await t.test('it has to be clear who may sign', async (t) => {
    write(rosterOf({}));
    await t.rejects(
      load(`SPA_ROSTER_SIGNER ${mallory}`),
      `${folder}/fwknopd.conf:4: SPA_ROSTER_SIGNER: ${certFile} has no certificate ${mallory}; it has ${authority}`,
    );
    writeFileSync(certFile, gpg('--armor', '--export', authority, mallory));
    await t.rejects(
      load(),
      /SPA_ROSTER_SIGNER_CERT_FILE: .* has several certificates; write SPA_ROSTER_SIGNER with one of/,
    );
    t.match(await load(`SPA_ROSTER_SIGNER ${authority}`), { isNew: true });
    write(rosterOf({}), mallory);
    await t.rejects(load(`SPA_ROSTER_SIGNER ${authority}`), /no valid signature/);
    t.match(await load(`SPA_ROSTER_SIGNER ${authority}, ${mallory}`), { accepted: { signer: mallory } });
    await t.rejects(
      load('SPA_ROSTER_SIGNER 0123456789ABCDEF'),
      /SPA_ROSTER_SIGNER: "0123456789ABCDEF" is no fingerprint/,
    );
    writeFileSync(certFile, 'none');
    await t.rejects(load(), /SPA_ROSTER_SIGNER_CERT_FILE: .*authority.asc: no OpenPGP certificate is here/);
    chmodSync(certFile, 0o666);
    await t.rejects(load(), /SPA_ROSTER_SIGNER_CERT_FILE: .* others can change it/);
    const parse = (...lines: readonly string[]) => parseServerConfig('fwknopd.conf', lines.join('\n'), []);
    t.throws(
      () => parse('SPA_ROSTER r'),
      /SPA_ROSTER: who may sign it\? write SPA_ROSTER_SIGNER_CERT_FILE too/,
    );
    t.throws(
      () => parse(`SPA_ROSTER_SIGNER ${authority}`),
      /SPA_ROSTER_SIGNER: there is no roster; write SPA_ROSTER too/,
    );
  });
});
