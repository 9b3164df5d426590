import { readdirSync, readFileSync } from 'node:fs';
import { lacking } from 'spa-lab';
import t from 'tap';
import { handOut, setUp, start } from './keys-fleet.ts';

t.setTimeout(180_000);

const skip =
  process.getuid?.() === 0
    ? lacking('nft', 'gpg', 'sshd', 'ssh', 'flock')
    : 'root only: a bastion has its own /etc/fwknop';

t.test('a bastion makes its own key, which never leaves it', { skip }, async (t) => {
  const { lab, alice, ours, keys, program, fleet } = await setUp(t, 'authority');
  const place = ['--region', 'west', '--host', 'ours.test', '--capability', 'spa-server'];
  const added = await keys('add', 'bastion', 'fresh', ...place, '--on', 'ours.test');
  t.equal(added.status, 0, added.stderr);
  const certificate = readFileSync(`${lab.folder}/certificates/bastions/fresh.asc`, 'utf8');
  t.match(certificate, /BEGIN PGP PUBLIC KEY BLOCK/);
  const [keyFile = ''] = readdirSync(ours.configuration.path('spa-keys', 'secret')).filter((file) =>
    file.endsWith('.asc'),
  );
  t.match(
    readFileSync(ours.configuration.path('spa-keys', 'secret', keyFile), 'utf8'),
    /BEGIN PGP PRIVATE KEY BLOCK/,
  );
  t.notOk(readdirSync(`${lab.secrets}/keys`).includes(keyFile), 'not here');
  t.match(await keys('sign'), { status: 0 });
  const pushed = await keys('push', '--ssh', 'ssh', '--first', '--program', program, 'fresh');
  t.match(pushed, { status: 0, stderr: /^fresh: \d+-[0-9a-f]{12} is in force/ }, pushed.stderr);
  await ours.host.must(['nft', 'flush', 'ruleset']);
  await start(ours, [program, '-f', '-c', '/etc/fwknop/fwknopd.conf'], 'listening on');
  await handOut(keys, lab, fleet);
  const { status, stderr } = await alice.host.run(['sshbh', 'fresh', '--', 'true']);
  t.equal(status, 0, stderr);
});
