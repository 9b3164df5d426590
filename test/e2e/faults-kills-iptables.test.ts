import { IPTABLES } from './faults.ts';
import { testKills } from './faults-kills.ts';

testKills(IPTABLES);
