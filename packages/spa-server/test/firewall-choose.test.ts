import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNamespacePair, lacking, type Namespace } from 'spa-lab';
import t from 'tap';
import { chooseFirewall } from '../src/firewall/choose.ts';
import { FirewallError } from '../src/firewall/firewall.ts';
import { findProgram, searchPath } from '../src/firewall/programs.ts';
import { rejection } from './firewall-rig.ts';

const skip = lacking('nft', 'iptables', 'ip6tables');

t.test('FIREWALL auto', { skip }, async (t) => {
  const cases: readonly {
    readonly title: string;
    readonly prepare: (host: Namespace) => Promise<unknown>;
    readonly kind: 'nftables' | 'iptables';
  }[] = [
    { title: 'a host without rules gets nftables', prepare: async () => {}, kind: 'nftables' },
    {
      title: 'a host that drops by iptables gets iptables',
      prepare: (host) => host.must(['iptables', '-P', 'INPUT', 'DROP']),
      kind: 'iptables',
    },
    {
      title: 'a host with an INPUT rule in iptables gets iptables',
      prepare: (host) => host.must(['iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '22', '-j', 'DROP']),
      kind: 'iptables',
    },
    {
      title: 'our own chain in iptables says nothing about the host',
      prepare: async (host) => {
        await host.must(['iptables', '-N', 'FWKNOP_INPUT']);
        await host.must(['iptables', '-I', 'INPUT', '1', '-j', 'FWKNOP_INPUT']);
      },
      kind: 'nftables',
    },
    {
      title: 'rules for containers in iptables say nothing about packets for the host',
      prepare: (host) => host.must(['iptables', '-P', 'FORWARD', 'DROP']),
      kind: 'nftables',
    },
    {
      title: 'a chain of the operator in nftables outweighs rules in iptables',
      prepare: async (host) => {
        await host.must(['iptables', '-P', 'INPUT', 'DROP']);
        await host.must(
          ['nft', '-f', '-'],
          'table inet edge { chain in { type filter hook input priority 0; }; }\n',
        );
      },
      kind: 'nftables',
    },
    {
      title: 'our own table in nftables does not',
      prepare: async (host) => {
        await host.must(['iptables', '-P', 'INPUT', 'DROP']);
        await host.must(
          ['nft', '-f', '-'],
          'table inet spa { chain input { type filter hook input priority -10; }; }\n',
        );
      },
      kind: 'iptables',
    },
  ];
  t.jobs = 4;
  for (const { title, prepare, kind } of cases) {
    t.test(title, { buffered: true }, async (t) => {
      const pair = await createNamespacePair();
      t.teardown(() => pair.dispose());
      await prepare(pair.server);
      const choice = await chooseFirewall({ firewall: 'auto', ownTable: 'spa', prefix: pair.server.enter });
      t.equal(choice.kind, kind, choice.reason);
    });
  }
});

t.test('what is installed decides, and FIREWALL_EXE more', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'spa-choose-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const directories = [directory];
  const choose = (more: Partial<Parameters<typeof chooseFirewall>[0]> = {}) =>
    chooseFirewall({ firewall: 'auto', ownTable: 'spa', directories, ...more });

  const none = await rejection(choose());
  t.ok(none instanceof FirewallError);
  t.match(none.message, /^nft: not found; install nftables, or iptables/);
  t.match(
    (await rejection(choose({ firewall: 'iptables' }))).message,
    /^iptables: not found; install iptables/,
  );

  const iptables = join(directory, 'iptables');
  await writeFile(iptables, '');
  t.match((await rejection(choose())).message, /not found/, 'a file that is no program does not count');
  await chmod(iptables, 0o755);
  t.match(await choose(), { kind: 'iptables', iptables, ip6tables: null });
  t.match((await rejection(choose({ firewall: 'nftables' }))).message, /^nft: not found/);

  await symlink(iptables, join(directory, 'ip6tables'));
  t.match(await choose({ program: iptables }), { iptables, ip6tables: join(directory, 'ip6tables') });

  const nft = join(directory, 'nft');
  await symlink(iptables, nft);
  t.match(await choose({ firewall: 'nftables' }), { kind: 'nftables', nft });
  t.match(await choose({ firewall: 'iptables' }), { kind: 'iptables', iptables });
  t.match(await choose({ program: nft }), { kind: 'nftables', nft });
  const conflict = await rejection(choose({ program: iptables, firewall: 'nftables' }));
  t.match(conflict.message, /FIREWALL_EXE is for iptables, but FIREWALL says nftables/);
  t.match((await rejection(choose({ program: '/nowhere/nft' }))).message, /^\/nowhere\/nft: not found/);
});

t.test('programs are found in sbin although PATH lacks it', async (t) => {
  t.ok(searchPath('/opt/x').includes('/usr/sbin'));
  t.equal(searchPath('/opt/x')[0], '/opt/x');
  t.notOk(searchPath('relative:').includes('relative'), 'never in the directory where it happens to run');
  t.equal(findProgram('no-such-program'), null);
});
