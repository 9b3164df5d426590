import { createLab, lacking, startFwknopd } from 'spa-lab';
import t from 'tap';
import { DOOR_SECONDS, logsInThroughDoor } from './login.ts';
import { createModes, ourKnock, stanza } from './modes.ts';

// Five doors, each of which has to close by itself.
t.setTimeout(180_000);

t.test(
  'our client opens the door of stock fwknopd, with ECC keys too',
  { skip: lacking('fwknopd', 'iptables', 'nft', 'gpg', 'sshd', 'ssh') },
  async (t) => {
    const lab = await createLab('iptables');
    t.teardown(lab.dispose);
    const modes = await createModes(lab.scratch);
    t.teardown(modes.dispose);
    for (const mode of [modes.aesHmac, modes.rsa, modes.rsaHmac, modes.ecc, modes.eccHmac]) {
      const daemon = await startFwknopd(lab.bastion, lab.scratch, { access: stanza(mode, DOOR_SECONDS) });
      await logsInThroughDoor(t, lab, daemon, { mode, knock: ourKnock(mode) });
      await daemon.stop();
    }
  },
);
