export { type Daemon, type DaemonConfig, PROGRAMS, startFwknopd, startSpaServer } from './daemons.ts';
export { createGnupgHome, type GnupgHome } from './gnupg-home.ts';
export { inhabitants, networkOf } from './inhabitants.ts';
export { createLab, doorCloses, doorOpens, type Lab } from './lab.ts';
export {
  addresses,
  type CommandResult,
  createNamespacePair,
  type Namespace,
  type NamespacePair,
} from './namespace.ts';
export { lacking, lackingPrograms } from './programs.ts';
export { type Reach, reach, sendDatagram } from './reach.ts';
export { dropEverything } from './rulesets.ts';
export { createScratch, type Scratch } from './scratch.ts';
export { outsideIdentity, type Sshd, startSshd } from './sshd.ts';
export { until } from './until.ts';
