import { IPTABLES } from './faults.ts';
import { testSteps } from './faults-steps.ts';

testSteps(IPTABLES);
