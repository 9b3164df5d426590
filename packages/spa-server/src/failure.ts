import { ConfigError, ExitCode, UsageError } from 'spa-host';
import { FirewallError } from './firewall/firewall.ts';
import { ReplayError } from './replay/replay-store.ts';

/** A failure that the operator can do something about. */
export interface Failure {
  /** One line. */
  readonly line: string;
  readonly exitCode: number;
}

/** What went wrong, for the operator; null for a programmer's error, which nobody is to catch. */
export function describeFailure(error: unknown): Failure | null {
  if (error instanceof UsageError) return { line: error.message, exitCode: ExitCode.usage };
  if (error instanceof ConfigError) return { line: error.message, exitCode: ExitCode.config };
  if (error instanceof UnavailableError || error instanceof ReplayError) {
    return { line: error.message, exitCode: ExitCode.unavailable };
  }
  if (error instanceof FirewallError) {
    return {
      line: error.message,
      exitCode: error.notPermitted ? ExitCode.noPermission : ExitCode.unavailable,
    };
  }
  return isSystemError(error) ? describeSystemError(error) : null;
}

/** Something that the daemon needs is not to be had now. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
}

type SystemError = Error & { readonly code: string; readonly syscall: string; readonly port?: number };

function isSystemError(error: unknown): error is SystemError {
  return (
    error instanceof Error &&
    'syscall' in error &&
    'code' in error &&
    typeof error.code === 'string' &&
    typeof error.syscall === 'string'
  );
}

function describeSystemError(error: SystemError): Failure {
  const isTcp = error.syscall === 'listen';
  const port = `${isTcp ? 'TCP' : 'UDP'} port ${error.port ?? ''}`.trim();
  if (error.code === 'EADDRINUSE') {
    return {
      line: `${port} is in use: another daemon may be running; stop it, or write another ${isTcp ? 'TCPSERV_PORT' : 'UDPSERV_PORT'}`,
      exitCode: ExitCode.unavailable,
    };
  }
  if (error.code === 'EADDRNOTAVAIL') {
    return {
      line: 'LISTEN_ADDRESS is no address of this host; write one that "ip address" shows, or remove the line',
      exitCode: ExitCode.config,
    };
  }
  const notPermitted = ['EACCES', 'EPERM', 'EROFS'].includes(error.code);
  return {
    line: notPermitted ? `not permitted, run this as root: ${error.message}` : error.message,
    exitCode: notPermitted ? ExitCode.noPermission : ExitCode.unavailable,
  };
}
