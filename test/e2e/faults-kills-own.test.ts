import { OWN } from './faults.ts';
import { testKills } from './faults-kills.ts';

testKills(OWN);
