import { OWN } from './faults.ts';
import { testPrograms } from './faults-programs.ts';

testPrograms(OWN);
