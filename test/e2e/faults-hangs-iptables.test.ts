import { IPTABLES } from './faults.ts';
import { testHangs } from './faults-programs.ts';

testHangs(IPTABLES);
