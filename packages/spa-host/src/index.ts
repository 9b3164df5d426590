export { ConfigError, type ConfigPlace, readAll } from './config-error.ts';
export { type ConfigLine, parseConfigLine, parseConfigLines } from './config-lines.ts';
export { ExitCode } from './exit-code.ts';
export {
  decryptSessionKey,
  exportCertificates,
  exportOneCertificate,
  exportOneWithLocalCertifications,
  exportSecretKey,
  findKey,
  type GnupgHome,
  type GnupgKeySize,
  type GnupgSealing,
  listFingerprints,
  listKeySizes,
  listValidKeys,
  signAndEncrypt,
} from './gnupg.ts';
export {
  type AgentHash,
  type AgentKey,
  connectGpgAgent,
  type GnupgSecretKey,
  type GnupgSigner,
  GpgAgent,
  listSecretKeys,
  listSigningKeys,
} from './gpg-agent.ts';
export { readKeyLengths } from './key-lengths.ts';
export { nearest, probablyMeant } from './nearest.ts';
export {
  type CommandLine,
  formatOptions,
  type Option,
  type OptionValues,
  parseCommandLine,
  UsageError,
} from './options.ts';
export {
  type GuardedFile,
  readGuardedFile,
  readPrivateFile,
  readTrustedFile,
  writePrivateFile,
} from './secret-file.ts';
