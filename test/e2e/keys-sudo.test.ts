import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { type FleetBastion, lacking } from 'spa-lab';
import t from 'tap';
import { handOut, setUp, start } from './keys-fleet.ts';

t.setTimeout(180_000);

const skip =
  process.getuid?.() === 0
    ? lacking('nft', 'gpg', 'sshd', 'ssh', 'flock', 'setpriv')
    : 'root only: a bastion has its own /etc/fwknop';

t.test('who is not root pushes with --sudo, and not without', { skip }, async (t) => {
  const { fleet, lab, alice, ours, keys, program } = await setUp(t, 'authority');
  // Who is not root goes through all folders above.
  for (const folder of [fleet.scratch.path(), ours.scratch.path()]) chmodSync(folder, 0o711);
  await addDeployer(ours);
  const first = ['push', '--ssh', 'ssh', '--first', '--with-secret-keys', '--program', program];
  const without = await keys(...first, '--user', 'deploy', 'ours');
  t.match(without, { status: 1, stderr: /^ours: failed: .*Permission denied/ }, without.stderr);
  const pushed = await keys(...first, '--user', 'deploy', '--sudo', 'ours');
  t.match(pushed, { status: 0, stderr: /^ours: 1-[0-9a-f]{12} is in force/ }, pushed.stderr);
  await ours.host.must(['nft', 'flush', 'ruleset']);
  await start(ours, [program, '-f', '-c', '/etc/fwknop/fwknopd.conf'], 'listening on');
  await handOut(keys, lab, { people: [alice], scratch: fleet.scratch });
  const { status, stdout, stderr } = await alice.host.run([
    'sshbh',
    'ours',
    '-l',
    'deploy',
    '--',
    'id',
    '-un',
  ]);
  t.match({ status, stdout }, { status: 0, stdout: 'deploy\n' }, stderr);
  const again = await keys('push', '--user', 'deploy', '--sudo', '--program', program, 'ours');
  t.match(again, { status: 0, stderr: /^ours: has it already/ }, again.stderr);
});

const BIN = '/usr/local/bin';
const SUDO = `#!/bin/sh
test "$1" = -n || exit 1
shift
exec ${BIN}/as-root --reuid 0 --regid 0 --clear-groups -- "$@"
`;

/**
 * Somebody without rights, and a program that is called `sudo` and takes him for trusted: real sudo would want to be installed for
 * the whole machine.
 */
async function addDeployer({ host, scratch }: FleetBastion): Promise<void> {
  // A file system that only this host sees, and that goes with it: elsewhere such a program would be anybody's way to be root.
  await host.must(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', BIN]);
  await host.must(['sh', '-c', `cp "$(command -v setpriv)" ${BIN}/as-root && chmod 4755 ${BIN}/as-root`]);
  await host.must(['sh', '-c', `cat > ${BIN}/sudo && chmod 755 ${BIN}/sudo`], SUDO);
  for (const [file, mode, line] of [
    ['passwd', 0o644, 'deploy:x:4242:4242:Deployer:/:/bin/sh\n'],
    ['shadow', 0o600, 'deploy:*:20000:0:99999:7:::\n'],
  ] as const) {
    writeFileSync(scratch.path(file), readFileSync(`/etc/${file}`, 'utf8') + line, { mode });
    await host.must(['mount', '--bind', scratch.path(file), `/etc/${file}`]);
  }
}
