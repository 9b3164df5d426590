import { OWN } from './faults.ts';
import { testHangs } from './faults-programs.ts';

testHangs(OWN);
