import t from 'tap';
import { createIptables } from '../src/firewall/iptables.ts';
import { DEFAULT_IPTABLES_CHAIN, parseIptablesChain } from '../src/firewall/iptables-chain.ts';
import { grantOf } from './firewall-contract.ts';
import { testIptables } from './firewall-iptables-suite.ts';
import { rejection } from './firewall-rig.ts';

t.setTimeout(180_000);

testIptables(t, 'nft', false);

t.test('a missing iptables is a FirewallError', async (t) => {
  const firewall = createIptables({ iptables: ['/nowhere/iptables'], ip6tables: null, now: Date.now });
  t.match(await rejection(firewall.grant(grantOf())), {
    status: null,
    message: /iptables-save is not installed/,
  });
});

t.test('a chain line has five or six parts', async (t) => {
  t.same(parseIptablesChain('ACCEPT, filter, INPUT, 1, FWKNOP_INPUT, 1'), DEFAULT_IPTABLES_CHAIN);
  t.same(parseIptablesChain('ACCEPT,filter,INPUT,1,FWKNOP_INPUT'), DEFAULT_IPTABLES_CHAIN);
  for (const wrong of [
    '',
    'ACCEPT',
    'ACCEPT,filter,INPUT,x,FWKNOP_INPUT,1',
    'ACCEPT,filter,IN PUT,1,A,1',
    'A,b,-C,1,D,1',
  ]) {
    t.equal(parseIptablesChain(wrong), null, wrong);
  }
});
