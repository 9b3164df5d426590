import { OWN } from './faults.ts';
import { testSteps } from './faults-steps.ts';

testSteps(OWN);
