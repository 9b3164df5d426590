import { certifiedUserId, isCleanPlan } from 'spa-core';
import t from 'tap';
import {
  bastionBundle,
  hmacMasters,
  openCertifyingKeys,
  operatorBundle,
  planFolder,
  readRosterFolder,
  rosterSignatureState,
  signRoster,
  verifySignatures,
  withRosterLock,
} from '../src/index.ts';
import { fleetOf } from './keys-support.ts';

t.test('a tool reads a roster, plans, signs with keys that it has, and makes bundles', async (t) => {
  const { roster: path, secrets, mustKeys } = fleetOf(t);
  mustKeys('init', '--name', 'fleet', '--make-authority', 'Org');
  mustKeys('add', 'operator', 'alice', '--make', '--email', 'alice@example.org');
  const bastion = ['--region', 'r', '--host', 'b1.example.org', '--capability', 'spa-server', '--make'];
  mustKeys('add', 'bastion', 'b1', ...bastion);
  const nowSeconds = Math.floor(Date.now() / 1000);

  const before = await readRosterFolder(path);
  t.notOk(isCleanPlan(await planFolder(before, secrets, nowSeconds)));
  const noPassphrase = (): Promise<string> => Promise.reject(new Error('nobody to ask'));
  const keys = openCertifyingKeys({ secretsFolder: secrets, homes: [], askPassphrase: noPassphrase });
  t.teardown(() => keys.close());
  const verified = new Set<string>();
  const options = { nowSeconds, verified, keepEveryMs: 5_000, onProgress: () => {} };
  const made = await withRosterLock(path, () => signRoster(before, keys, options));
  t.match(made, { certifications: 2, lacking: [], unfit: [] });

  const folder = await readRosterFolder(path);
  const { roster, certificates } = folder;
  const plan = await planFolder(folder, secrets, nowSeconds);
  t.ok(isCleanPlan(plan));
  t.equal(await rosterSignatureState(folder, nowSeconds), 'good');
  const [b1] = roster.bastions;
  const [alice] = roster.operators;
  if (b1 === undefined || alice === undefined) throw new Error('nobody is in the roster');
  const source = { roster, plan, certificates, hmacMaster: await hmacMasters(secrets, roster.bastions) };
  const signatures = await verifySignatures(folder, nowSeconds);
  const signedRoster = signatures?.bastions.get('b1') ?? null;
  const theirs = bastionBundle(source, b1, { folder: '/etc/fwknop/spa-keys', signedRoster });
  t.match(
    theirs.files.map(({ path }) => path),
    ['access.conf', 'keyring.asc', 'ownertrust.txt', 'roster.json'],
  );
  const hers = operatorBundle(source, alice, { allowIp: 'resolve', resolveUrls: [] });
  t.match(hers.files.map(({ path }) => path).sort(), ['MANIFEST', 'certificates.asc', 'fwknoprc']);
  const certificate = certificates.get(alice.key.fingerprint);
  t.equal(certificate && certifiedUserId(alice, certificate, nowSeconds, null), 'alice <alice@example.org>');
});
