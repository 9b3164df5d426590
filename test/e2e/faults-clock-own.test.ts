import { OWN } from './faults.ts';
import { testClock } from './faults-clock.ts';

testClock(OWN);
