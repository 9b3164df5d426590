import {
  addresses,
  createLab,
  doorOpens,
  IPTABLES_DEFAULT_DROP,
  lacking,
  NFT_DEFAULT_DROP,
  reach,
  sendDatagram,
  startSpaServer,
  until,
} from 'spa-lab';
import t from 'tap';
import { secondsLeft, startProber, startSession, tell } from './guarding.ts';
import { createSecrets, seal } from './packets.ts';

t.setTimeout(240_000);

const { client4, other4, server4 } = addresses;
const PUT_BACK = /the firewall's rules were changed by somebody; put back with 1 open door/;

/** What somebody else does to the rules, on which host. */
interface Intrusion {
  readonly title: string;
  readonly command: readonly string[];
  readonly input?: string;
  /** Our rules stand afterwards: there is nothing to put back. */
  readonly harmless?: true;
}

/** A host's rules as its own service loads them: everything of everybody goes, and comes back at once. */
const HOST_RULES = `flush ruleset\n${NFT_DEFAULT_DROP}`;

const SETUPS: readonly {
  readonly name: string;
  readonly rules: 'nftables' | 'iptables';
  /** The host has no rules of its own. */
  readonly bare: boolean;
  readonly server: readonly string[];
  readonly programs: readonly string[];
  readonly intrusions: readonly Intrusion[];
}[] = [
  {
    name: 'nftables, own table on a host without rules',
    rules: 'nftables',
    bare: true,
    server: ['FIREWALL nftables'],
    programs: ['nft', 'iptables', 'iptables-restore'],
    intrusions: [
      { title: 'nft flush ruleset', command: ['nft', 'flush', 'ruleset'] },
      { title: 'nft delete table', command: ['nft', 'delete', 'table', 'inet', 'spa'] },
      { title: 'nft flush chain', command: ['nft', 'flush', 'chain', 'inet', 'spa', 'input'] },
      { title: 'nft flush table', command: ['nft', 'flush', 'table', 'inet', 'spa'] },
      { title: 'nft -f with flush ruleset', command: ['nft', '-f', '-'], input: 'flush ruleset\n' },
      { title: 'iptables -F', command: ['iptables', '-F'], harmless: true },
      {
        title: 'iptables-restore',
        command: ['iptables-restore'],
        input: '*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n',
        harmless: true,
      },
    ],
  },
  {
    name: "nftables, attached to the host's chain",
    rules: 'nftables',
    bare: false,
    server: ['FIREWALL nftables', 'NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'],
    programs: ['nft'],
    intrusions: [
      { title: "the host's rules are loaded again", command: ['nft', '-f', '-'], input: HOST_RULES },
      { title: 'nft flush chain', command: ['nft', 'flush', 'chain', 'inet', 'filter', 'spa_doors'] },
    ],
  },
  {
    name: 'iptables',
    rules: 'iptables',
    bare: false,
    server: ['FIREWALL iptables'],
    programs: ['iptables', 'ip6tables', 'iptables-restore', 'nft'],
    intrusions: [
      { title: 'iptables -F', command: ['iptables', '-F'] },
      { title: 'iptables -F of our chain', command: ['iptables', '-F', 'FWKNOP_INPUT'] },
      {
        title: "the host's rules are loaded again",
        command: ['iptables-restore'],
        input: IPTABLES_DEFAULT_DROP,
      },
    ],
  },
];

for (const { name, rules, bare, server, programs, intrusions } of SETUPS) {
  t.test(`${name}:`, { skip: lacking('sshd', 'ssh', ...programs) }, async (t) => {
    const lab = await createLab(rules);
    t.teardown(lab.dispose);
    if (bare) await lab.bastion.must(['nft', 'flush', 'ruleset']);
    const secrets = createSecrets();
    const daemon = await startSpaServer(lab.bastion, lab.scratch, {
      server,
      access: [
        'SOURCE ANY',
        secrets.access.key,
        secrets.access.hmac,
        'OPEN_PORTS tcp/22',
        'MAX_FW_TIMEOUT 300',
      ],
    });
    await sendDatagram(
      lab.operator,
      server4,
      await seal(secrets, { clientTimeoutSeconds: 200, address: client4 }),
    );
    await doorOpens(lab);
    const session = await startSession(lab, server4);
    const prober = await startProber(lab, server4, other4);

    for (const intrusion of intrusions) {
      await t.test(intrusion.title, async (t) => {
        const [since, left] = [daemon.log().length, await secondsLeft(lab, daemon)];
        await lab.bastion.must(intrusion.command, intrusion.input);
        if (!intrusion.harmless) await daemon.logged(PUT_BACK, since);
        t.equal(await reach(lab.operator, server4), 'open', 'the door is back');
        const leftNow = await secondsLeft(lab, daemon);
        t.ok(leftNow <= left && leftNow > left - 60, `with its time: ${left} s, ${leftNow} s`);
        t.match((await tell(lab, daemon, '--fw-list')).stdout, /user operator/, 'it is known whose it is');
        // iptables -F took the rule for established connections too: that one is the host's.
        if (intrusion.command.join(' ') !== 'iptables -F') await session.goesOn();
        t.equal(
          daemon
            .log()
            .slice(since)
            .match(/changed by somebody/g)?.length ?? 0,
          intrusion.harmless ? 0 : 1,
        );
      });
    }

    await t.test('strangers never got in, and a revoked door is not put back', async (t) => {
      t.equal(prober.gotIn(), 0, `of ${prober.tried()} attempts`);
      t.match(await tell(lab, daemon, '--revoke', 'user=operator'), { status: 0, stdout: /Closed/ });
      const since = daemon.log().length;
      const again = intrusions.find(({ harmless }) => !harmless);
      if (again !== undefined) await lab.bastion.must(again.command, again.input);
      await daemon.logged(/put back with 0 open doors/, since);
      t.equal(await reach(lab.operator, server4), 'silent');
      t.equal(prober.gotIn(), 0);
      t.equal(await daemon.stop(), 0);
      if (!bare) return;
      await lab.bastion.must(['nft', 'flush', 'ruleset']);
      await until('the prober sees an open port', () => prober.gotIn() > 0);
    });
  });
}
