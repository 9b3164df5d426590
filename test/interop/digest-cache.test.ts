import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  addresses,
  createLab,
  doorCloses,
  doorOpens,
  lacking,
  reach,
  sendDatagram,
  startFwknopd,
  startSpaServer,
} from 'spa-lab';
import t from 'tap';

t.setTimeout(120_000);

t.test(
  'a packet that fwknopd took stays refused when our daemon takes its place, on the same files, and back again',
  { skip: lacking('fwknop', 'fwknopd', 'iptables', 'nft', 'sshd', 'ssh') },
  async (t) => {
    const lab = await createLab('iptables');
    t.teardown(lab.dispose);
    const key = randomBytes(32).toString('base64');
    const access = ['SOURCE ANY', `KEY_BASE64 ${key}`, 'OPEN_PORTS tcp/22', 'FW_ACCESS_TIMEOUT 60'];
    const file = lab.scratch.path('packet');
    const knock = (...more: readonly string[]): Promise<string> =>
      lab.operator.must([
        ...['fwknop', '-A', 'tcp/22', '-a', addresses.client4, '-D', addresses.server4],
        ...['--key-base64-rijndael', key, '--no-rc-file', '--no-save-args', ...more],
      ]);

    const theirs = await startFwknopd(lab.bastion, lab.scratch, { access });
    // A clock that is ahead: the packet is not older than our replay store.
    await knock('--time-offset-plus', '60s', '-B', file);
    await doorOpens(lab);
    await theirs.stop();
    await doorCloses(lab);

    const ours = await startSpaServer(lab.bastion, lab.scratch, { access });
    await ours.logged('digest.cache: 1 packets that fwknopd took lately stay refused');
    await sendDatagram(lab.operator, addresses.server4, readFileSync(file, 'latin1').trim());
    await ours.logged('Replay detected from source IP');
    t.equal(await reach(lab.operator, addresses.server4), 'silent', 'it opens nothing');
    await knock();
    await doorOpens(lab);
    t.pass('a new packet of the same client does');
    await ours.stop();
    await doorCloses(lab);

    const again = await startFwknopd(lab.bastion, lab.scratch, { access });
    await knock();
    await doorOpens(lab);
    t.pass('and the way back is open');
    await again.stop();
  },
);
