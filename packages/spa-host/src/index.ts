export { ConfigError, type ConfigPlace } from './config-error.ts';
export { type ConfigLine, parseConfigLine, parseConfigLines } from './config-lines.ts';
export { ExitCode } from './exit-code.ts';
export {
  type CommandLine,
  formatOptions,
  type Option,
  type OptionValues,
  parseCommandLine,
  UsageError,
} from './options.ts';
