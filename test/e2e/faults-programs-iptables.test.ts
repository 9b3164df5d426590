import { IPTABLES } from './faults.ts';
import { testPrograms } from './faults-programs.ts';

testPrograms(IPTABLES);
