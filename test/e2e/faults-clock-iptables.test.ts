import { IPTABLES } from './faults.ts';
import { testClock } from './faults-clock.ts';

testClock(IPTABLES);
