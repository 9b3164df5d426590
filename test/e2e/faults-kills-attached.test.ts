import { ATTACHED } from './faults.ts';
import { testKills } from './faults-kills.ts';

testKills(ATTACHED);
