import { lacking } from 'spa-lab';
import t from 'tap';
import { handOut, setUp, startDaemons } from './keys-fleet.ts';
import { overlapHolds } from './keys-rotation.ts';

t.setTimeout(300_000);

const skip =
  process.getuid?.() === 0
    ? lacking('fwknopd', 'iptables', 'nft', 'gpg', 'sshd', 'ssh', 'flock')
    : 'root only: a bastion has its own /etc/fwknop';

t.test('bastions get new keys that were made here', { skip }, async (t) => {
  const { fleet, lab, alice, bob, stock, ours, keys, program } = await setUp(t, 'authority');
  const push = ['push', '--program', program, '--with-secret-keys'];
  const first = await keys(...push, '--ssh', 'ssh', '--first');
  t.equal(first.status, 0, first.stderr);
  await startDaemons(fleet, stock, ours, program);
  await handOut(keys, lab, fleet);
  for (const name of ['stock', 'ours']) {
    const rotated = await keys('rotate', name, '--make');
    t.equal(rotated.status, 0, rotated.stderr);
  }
  const pushed = await keys(...push);
  t.equal(pushed.status, 0, pushed.stderr);
  await overlapHolds(t, { fleet, lab, alice, bob, ours, keys, program });
});
