import { createLab, lacking, startSpaServer } from 'spa-lab';
import t from 'tap';
import { DOOR_SECONDS, logsInThroughDoor } from './login.ts';
import { createModes, stanza, stockKnock } from './modes.ts';

// Five doors, each of which has to close by itself.
t.setTimeout(180_000);

t.test(
  'stock fwknop opens the door of our daemon',
  { skip: lacking('fwknop', 'nft', 'gpg', 'sshd', 'ssh') },
  async (t) => {
    const lab = await createLab('nftables');
    t.teardown(lab.dispose);
    const modes = await createModes(lab.scratch);
    t.teardown(modes.dispose);
    for (const mode of [modes.aesHmac, modes.rsa, modes.rsaHmac, modes.ecc, modes.eccHmac]) {
      const daemon = await startSpaServer(lab.bastion, lab.scratch, {
        server: ['FIREWALL nftables', 'NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'],
        access: stanza(mode, DOOR_SECONDS),
      });
      await logsInThroughDoor(t, lab, daemon, { mode, knock: stockKnock(mode) });
      t.equal(await daemon.stop(), 0, `${mode.name}: the daemon ends cleanly`);
    }
  },
);
