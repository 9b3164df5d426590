import { plainProgramsWork } from './plain-programs.ts';

plainProgramsWork({ style: 'match', region: 'eu-west-1', privateHost: '10.78.0.5' });
