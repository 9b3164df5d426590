import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encryptKey, generateKey, readPrivateKey } from 'openpgp';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import { type CertifyingKeys, openCertifyingKeys } from '../src/roster/certifying-keys.ts';
import { readRosterFolder } from '../src/roster/roster-folder.ts';
import { type SigningOptions, signRoster } from '../src/roster/sign-roster.ts';
import {
  gnupgHome,
  gpg,
  type KeysFleet,
  makeCertifier,
  makeFleet,
  scratchFolder,
  spaKeys,
} from './keys-fleet.ts';

t.setTimeout(120_000);

const skip = lackingPrograms('gpg', 'gpgconf');

function now(): number {
  return Math.floor(Date.now() / 1000);
}

function optionsFor(keepEveryMs: number): SigningOptions {
  return { nowSeconds: now(), verified: new Set<string>(), onProgress: () => {}, keepEveryMs };
}

function keysOf({ secrets }: KeysFleet): CertifyingKeys {
  const askPassphrase = (): Promise<string> => Promise.reject(new Error('nobody is asked'));
  return openCertifyingKeys({ secretsFolder: secrets, homes: [], askPassphrase });
}

async function authorityFleet(
  t: Parameters<typeof makeFleet>[0],
): Promise<KeysFleet & { readonly org: string; readonly orgKey: string }> {
  const fleet = await makeFleet(t, 'authority', { operators: 3, bastions: 2 });
  const { authority } = fleet;
  if (authority === null) throw new Error('no authority');
  return { ...fleet, org: authority.fingerprint, orgKey: authority.secretKey };
}

t.test('a slow signer that breaks down loses nothing of what it signed', async (t) => {
  const fleet = await authorityFleet(t);
  const keys = keysOf(fleet);
  let left = 3;
  const breaking: CertifyingKeys = {
    close: () => {},
    findSigner: keys.findSigner,
    find: async (fingerprint, purpose) => {
      const found = await keys.find(fingerprint, purpose);
      if (found === null) return null;
      const sign: typeof found.key.sign = async (octets, hash) => {
        left -= 1;
        if (left < 0) throw new Error('the card was pulled out');
        return found.key.sign(octets, hash);
      };
      return { mayAsk: true, key: { ...found.key, sign } };
    },
  };
  const folder = await readRosterFolder(fleet.roster);
  await t.rejects(signRoster(folder, breaking, optionsFor(0)), { message: 'the card was pulled out' });
  const rest = await signRoster(await readRosterFolder(fleet.roster), keys, optionsFor(0));
  t.match(rest, { certifications: 2, roster: 'signed', lacking: [] });
});

t.test('a signature that an agent made and that is not good is not kept', async (t) => {
  const fleet = await authorityFleet(t);
  const keys = keysOf(fleet);
  const lying: CertifyingKeys = {
    close: () => {},
    findSigner: keys.findSigner,
    find: async (fingerprint, purpose) => {
      const found = await keys.find(fingerprint, purpose);
      if (found === null) return null;
      return {
        mayAsk: true,
        key: { ...found.key, sign: (_, hash) => found.key.sign(Buffer.from('else'), hash) },
      };
    },
  };
  const folder = await readRosterFolder(fleet.roster);
  await t.rejects(signRoster(folder, lying, optionsFor(0)), {
    name: 'KeyError',
    message: /that is not good$/,
  });
  t.equal((await signRoster(await readRosterFolder(fleet.roster), keys, optionsFor(0))).certifications, 5);
});

t.test(
  'a key with a passphrase in gpg-agent: a pinentry asks for it, and no may be the answer',
  { skip },
  async (t) => {
    const fleet = await authorityFleet(t);
    rmSync(join(fleet.secrets, 'keys', `${fleet.org}.asc`));
    const scratch = scratchFolder(t);
    const [pinentry, answer] = [join(scratch, 'pinentry'), join(scratch, 'answer')];
    writeFileSync(
      pinentry,
      [
        '#!/bin/sh',
        'echo OK',
        'while read -r line; do',
        '  case "$line" in',
        `    GETPIN) . ${answer} ;;`,
        '    *) echo OK ;;',
        '  esac',
        'done',
        '',
      ].join('\n'),
      { mode: 0o700 },
    );
    const home = gnupgHome(t, `pinentry-program ${pinentry}`);
    const locked = await encryptKey({
      privateKey: await readPrivateKey({ armoredKey: fleet.orgKey }),
      passphrase: 'correct horse',
    });
    gpg(home, ['--import'], locked.armor());
    writeFileSync(answer, "echo 'ERR 83886179 cancelled <Pinentry>'\n");
    const cancelled = await fleet.run('sign', '--gnupg-home', home);
    t.match(cancelled, {
      code: 78,
      stderr: `spa-keys: ${home}: the passphrase was asked for, and whoever was asked did not give it; nothing was signed with ${fleet.org}\n`,
    });
    writeFileSync(answer, "echo 'D correct horse'; echo OK\n");
    const signed = await fleet.run('sign', '--gnupg-home', home);
    t.match(signed, { code: 0, stderr: 'made 5 certifications\nsigned the roster, version 1\n' });
    t.equal((await fleet.run('plan')).code, 0);
  },
);

t.test(
  'a key with a passphrase among the secrets is asked for, and a wrong one is said to be so',
  async (t) => {
    const fleet = await authorityFleet(t);
    const locked = await encryptKey({
      privateKey: await readPrivateKey({ armoredKey: fleet.orgKey }),
      passphrase: 'correct horse',
    });
    writeFileSync(join(fleet.secrets, 'keys', `${fleet.org}.asc`), locked.armor());
    const askpass = join(scratchFolder(t), 'askpass');
    const run = (passphrase: string): ReturnType<typeof spaKeys> => {
      writeFileSync(askpass, `#!/bin/sh\necho '${passphrase}'\n`, { mode: 0o700 });
      return spaKeys(['sign', '--roster', fleet.roster, '--secrets', fleet.secrets], {
        SSH_ASKPASS: askpass,
        SSH_ASKPASS_REQUIRE: 'force',
      });
    };
    t.match(await run('wrong'), {
      code: 78,
      stderr: `spa-keys: wrong passphrase for the secret key ${fleet.org}\n`,
    });
    t.match(await run('correct horse'), { code: 0, stderr: /^made 5 certifications/ });
  },
);

t.test(
  'an authority whose primary key only certifies signs the roster with its subkey',
  { skip },
  async (t) => {
    const org = makeCertifier(t, 'org');
    const inFolder = ({ secrets }: KeysFleet): string => join(secrets, 'keys', `${org.fingerprint}.asc`);
    const fleetOf = (): Promise<KeysFleet> =>
      makeFleet(t, 'authority', {
        ...{ operators: 2, bastions: 1, authority: org },
        capabilities: ['spa-server'],
      });
    const isAllSigned = async (fleet: KeysFleet): Promise<void> => {
      t.equal((await fleet.run('plan')).code, 0);
      t.equal((await fleet.run('verify')).code, 0);
      const roster = join(fleet.roster, 'roster.yaml');
      t.match(
        gpg(org.home, ['--status-fd', '1', '--verify', `${roster}.asc`, roster]),
        new RegExp(`VALIDSIG (?!${org.fingerprint}).* ${org.fingerprint}`),
        'by the subkey',
      );
    };

    await t.test('in the folder of the secrets', async (t) => {
      const fleet = await fleetOf();
      t.match(await fleet.run('sign'), {
        code: 0,
        stderr: 'made 3 certifications\nsigned the roster, version 1\n',
      });
      await isAllSigned(fleet);
      const added = await fleet.run(...['add', 'operator', 'late', '--make', '--email', 'late@example.org']);
      t.equal(added.code, 0, added.stderr);
      t.match(await fleet.run('sign'), { stderr: 'made 1 certification\n' }, 'add signed the roster, too');
      await isAllSigned(fleet);
    });

    await t.test('in gpg-agent', async (t) => {
      const fleet = await fleetOf();
      rmSync(inFolder(fleet));
      const signed = await fleet.run('sign', '--gnupg-home', org.home);
      t.match(signed, { code: 0, stderr: 'made 3 certifications\nsigned the roster, version 1\n' });
      await isAllSigned(fleet);
    });

    await t.test('with the primary key off line, and only the subkey here', async (t) => {
      const fleet = await fleetOf();
      const subkeys = gpg(org.home, ['--armor', '--export-secret-subkeys', org.fingerprint]);
      writeFileSync(inFolder(fleet), subkeys);
      const signed = await fleet.run('sign');
      t.match(signed, {
        code: 1,
        stderr: /^signed the roster, version 1\nthe authority: 3 certifications must be made with/,
      });
      const home = gnupgHome(t);
      gpg(home, ['--import'], subkeys);
      rmSync(inFolder(fleet));
      rmSync(join(fleet.roster, 'roster.yaml.asc'));
      t.match(await fleet.run('sign', '--gnupg-home', home), {
        code: 1,
        stderr: /^signed the roster, version 1\nthe authority: 3 certifications must be made with/,
      });
      const challenge = join(fleet.secrets, 'challenge.txt');
      writeFileSync(challenge, (await spaKeys(['challenge', 'newcomer', '--roster', fleet.roster])).stdout);
      t.match(await spaKeys(['prove', challenge, '--gnupg-home', home]), {
        code: 0,
        stdout: /BEGIN PGP SIGNATURE/,
        stderr: new RegExp(`Signed with ${org.fingerprint}`),
      });
    });

    await t.test('without a subkey that signs it is asked for, and certifies all the same', async (t) => {
      const fleet = await fleetOf();
      writeFileSync(join(fleet.roster, 'certificates/authority.asc'), org.bareCertificate);
      const plan = await fleet.run('plan');
      t.match(plan, { code: 1, stdout: /stripped +authority +key \w+…\w+: it has no key to sign with/ });
      t.match(plan.stdout, /missing +authority +its certification of op1, op2, b1/);
      t.match(await fleet.run('sign'), {
        code: 78,
        stderr:
          /nobody would believe the signature by [0-9A-F]{40}: certificates\/authority.asc does not say that this key may sign; bring it up to date: gpg --armor --export/,
      });
      t.match((await fleet.run('plan')).stdout, /3 of 3 certifications are right/);
    });
  },
);

t.test('keys that are not fit are not certified, and said to be so', async (t) => {
  const fleet = await authorityFleet(t);
  const { privateKey } = await generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name: 'old' }],
    format: 'object',
    date: new Date(Date.now() - 7_200_000),
    keyExpirationTime: 3_600,
  });
  const [op1] = fleet.operators;
  const file = join(fleet.roster, 'certificates/operators/op1.asc');
  writeFileSync(file, privateKey.toPublic().armor());
  const roster = join(fleet.roster, 'roster.yaml');
  const expired = privateKey.getFingerprint().toUpperCase();
  writeFileSync(roster, readFileSync(roster, 'utf8').replace(op1?.fingerprint ?? '', expired));
  const before = readFileSync(file, 'utf8');
  const signed = await fleet.run('sign');
  t.match(signed, {
    code: 1,
    stderr: /^made 4 certifications\n.*\n1 certification cannot be made, because keys are missing or not fit/,
  });
  t.equal(readFileSync(file, 'utf8'), before);
  t.ok(readdirSync(fleet.roster).includes('roster.yaml.asc'));
});
