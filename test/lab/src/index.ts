export { type Browser, openBrowser, type Tab, type View } from './browser.ts';
export { type Cable, type CableEnd, joinByCable, joinByLongCable } from './cable.ts';
export {
  type Daemon,
  type DaemonConfig,
  PROGRAMS,
  startDaemon,
  startFwknopd,
  startSpaServer,
} from './daemons.ts';
export {
  type DocumentedOptions,
  isRefused,
  matchesDocTable,
  matchesPeersHelp,
  type OptionNames,
} from './doc-options.ts';
export { type DocEntry, readDocTable } from './doc-table.ts';
export { createFleet, type Fleet, type FleetBastion, type FleetPerson } from './fleet-lab.ts';
export { createGnupgHome, type GnupgHome } from './gnupg-home.ts';
export { type CommandResult, createHosts, type HostOptions, type Hosts, type Namespace } from './hosts.ts';
export { inhabitants, networkOf } from './inhabitants.ts';
export { createInnerNetwork, type InnerNetwork, innerAddresses } from './inner-network.ts';
export { createLab, doorCloses, doorOpens, type Lab } from './lab.ts';
export { addresses, type CableOptions, createNamespacePair, type NamespacePair } from './namespace-pair.ts';
export type { OperatorHost } from './operator-host.ts';
export { environment, lacking, lackingPerlModule, lackingPrograms } from './programs.ts';
export { answeringPorts, type Reach, reach, sendDatagram } from './reach.ts';
export { createRegionLab, type RegionLab, regionAddresses } from './region-lab.ts';
export { createLabRoster, type LabRoster, type RosterBastion } from './roster-folder.ts';
export { dropEverything, IPTABLES_DEFAULT_DROP, NFT_DEFAULT_DROP } from './rulesets.ts';
export { createScratch, folderIn, type Scratch } from './scratch.ts';
export { newKey, outsideIdentity, type Sshd, type SshdOptions, startSshd } from './sshd.ts';
export { openTerminal, type Terminal } from './terminal.ts';
export { until } from './until.ts';
export { type Arrivals, arrivals, loseArrivals, watchWire } from './wire.ts';
