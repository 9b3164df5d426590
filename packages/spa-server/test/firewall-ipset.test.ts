import t from 'tap';
import { testIptables } from './firewall-iptables-suite.ts';

t.setTimeout(180_000);

testIptables(t, 'nft', true);
