import { plainProgramsWork } from './plain-programs.ts';

plainProgramsWork({ style: 'proxy', region: 'us-east-1', privateHost: 'db-3' });
