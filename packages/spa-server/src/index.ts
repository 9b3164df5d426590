export type { Statement } from './config/keywords.ts';
export { type ConfigSource, type Configuration, loadConfiguration } from './config/load.ts';
export type { FirewallConfig, ServerConfig, SyslogTarget } from './config/server-config.ts';
export { type Configured, type Daemon, type DaemonParts, startDaemon } from './daemon.ts';
export type { DaemonPorts } from './daemon-ports.ts';
export type { Clock } from './decision/authorize.ts';
export { decide } from './decision/decide.ts';
export type { SignerTerms } from './decision/signers.ts';
export type { Stanza } from './decision/stanza.ts';
export type { Authentic, Datagram, DenyReason, IgnoreCode, Verdict } from './decision/verdict.ts';
export { describeFailure, type Failure } from './failure.ts';
export {
  type Door,
  type DoorChange,
  type Firewall,
  type FirewallCounter,
  FirewallError,
  type GatePolicy,
  type Grant,
  type InstallOptions,
  type PreFilter,
} from './firewall/firewall.ts';
export { firewallFromConfig } from './firewall/from-config.ts';
export { createIptables, type IptablesOptions } from './firewall/iptables.ts';
export type { IptablesChain } from './firewall/iptables-chain.ts';
export {
  createMemoryFirewall,
  createMemoryKernel,
  type MemoryKernel,
  wipeMemoryKernel,
} from './firewall/memory.ts';
export type { NftChain, NftPlacement } from './firewall/nft-place.ts';
export { createNftables, type NftablesOptions } from './firewall/nftables.ts';
export { createLedger, type Ledger, type LiveGrant } from './grants/ledger.ts';
export { openLedgerFile, readLedgerFile } from './grants/ledger-file.ts';
export type { LogEvent } from './log/event.ts';
export { openReplayStore } from './replay/lmdb.ts';
export { createMemoryReplayStore } from './replay/memory.ts';
export { type Claim, type ClaimedMessage, ReplayError, type ReplayStore } from './replay/replay-store.ts';
export type { AcceptedRoster } from './roster/accepted.ts';
export type { LoadedRoster, RosterConfig } from './roster/load-roster.ts';
export { createLog, createStderrLog, type Log, type LogOptions } from './system/log.ts';
