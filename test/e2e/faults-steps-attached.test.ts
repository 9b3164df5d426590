import { ATTACHED } from './faults.ts';
import { testSteps } from './faults-steps.ts';

testSteps(ATTACHED);
