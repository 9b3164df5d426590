import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createGnupgHome, createRegionLab, folderIn, lacking, startSpaServer, startSshd } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, regionsText } from './daily.ts';
import { createSecrets } from './packets.ts';

t.setTimeout(120_000);

const FIREWALL = ['FIREWALL nftables', 'NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'];

t.test('an sshd on another port:', { skip: lacking(...DAILY_PROGRAMS, 'scp') }, async (t) => {
  const lab = await createRegionLab('nftables');
  t.teardown(lab.dispose);
  const { operator, home, scratch } = lab;
  const secrets = createSecrets();
  lab.writeRegions(regionsText(secrets, ['ACCESS tcp/2222']));
  const keys = [secrets.access.key, secrets.access.hmac];
  const access = ['SOURCE ANY', ...keys, 'OPEN_PORTS tcp/2222', 'FW_ACCESS_TIMEOUT 30'];
  await startSpaServer(lab.bastion, folderIn(scratch, 'daemon'), { server: FIREWALL, access });
  const clientKey = home.path('.ssh', 'id_ed25519');
  const sshd = await startSshd(lab.bastion, folderIn(scratch, 'sshd-2222'), { clientKey, port: 2222 });
  const known = home.path('.ssh', 'known_hosts');
  const others = readFileSync(known, 'utf8')
    .split('\n')
    .filter((line) => !line.includes('bastion.test'));
  writeFileSync(known, others.join('\n'));
  appendFileSync(known, `[bastion.test]:2222 ${sshd.hostKey}\n`);

  await t.test('sshbh goes there, and through it', async (t) => {
    for (const host of [[], ['db-3']]) {
      const result = await operator.run(['sshbh', 'us-east-1', ...host, '--', 'echo $SSH_CONNECTION']);
      t.match(result, {
        status: 0,
        stderr: /^$/,
        stdout: host.length > 0 ? / 10\.78\.0\.5 22\n$/ : / (10\.77\.0\.|fd77::)2 2222\n$/,
      });
    }
  });

  for (const style of ['match', 'proxy']) {
    await t.test(`so do plain programs in the ${style} style`, async (t) => {
      await operator.must(['sshbh', 'config', '--style', style]);
      for (const host of ['us-east-1', 'bastion.test', 'db-3']) {
        t.match(
          await operator.run(['ssh', host, 'echo hello']),
          { status: 0, stdout: 'hello\n', stderr: /^$/ },
          host,
        );
      }
      await operator.must(['scp', '-q', '/etc/passwd', `us-east-1:${scratch.path(`copy-${style}`)}`]);
      t.equal(
        readFileSync(scratch.path(`copy-${style}`), 'utf8'),
        readFileSync(scratch.path('passwd'), 'utf8'),
      );
    });
  }
});

t.test(
  'OpenPGP keys open a door for sshbh and for plain ssh',
  { skip: lacking(...DAILY_PROGRAMS, 'gpg') },
  async (t) => {
    const lab = await createRegionLab('nftables');
    t.teardown(lab.dispose);
    const { operator, home, scratch } = lab;
    const [mine, theirs] = await Promise.all([
      createGnupgHome(home.path('.gnupg'), 'operator <operator@example.com>', 'ecc'),
      createGnupgHome(scratch.path('gnupg-b'), 'bastion <bastion@example.com>', 'ecc'),
    ]);
    t.teardown(() => [mine, theirs].map((one) => one.close()));
    await Promise.all([mine.certify(theirs), theirs.certify(mine)]);
    const { access } = createSecrets();
    const region = [
      ...['[us-east-1]', 'SPA_SERVER bastion.test', access.hmac, 'USE_GPG Y'],
      ...[`GPG_SIGNER ${mine.fingerprint}`, `GPG_RECIPIENT ${theirs.fingerprint}`],
    ];
    lab.writeRegions(`${region.join('\n')}\n`);
    const files = folderIn(scratch, 'daemon');
    const start = () =>
      startSpaServer(lab.bastion, files, {
        server: FIREWALL,
        access: [
          ...[
            'SOURCE ANY',
            access.hmac,
            `GPG_HOME_DIR ${theirs.path}`,
            `GPG_DECRYPT_ID ${theirs.fingerprint}`,
          ],
          ...['GPG_ALLOW_NO_PW Y', 'GPG_REQUIRE_SIG Y', `GPG_FINGERPRINT_ID ${mine.fingerprint}`],
          ...['OPEN_PORTS tcp/22', 'FW_ACCESS_TIMEOUT 30'],
        ],
      });
    await operator.must(['sshbh', 'config']);
    for (const command of [
      ['sshbh', 'us-east-1', '--', 'echo hello'],
      ['ssh', 'us-east-1', 'echo hello'],
    ]) {
      const daemon = await start();
      t.match(await operator.run(command), { status: 0, stdout: 'hello\n', stderr: /^$/ });
      t.match(daemon.log(), /opened tcp\/22 for/, command.join(' '));
      await daemon.stop();
    }
  },
);
