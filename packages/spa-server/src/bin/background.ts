import { ExitCode } from 'spa-host';
import { DEFAULT_SYSLOG } from '../config/server-config.ts';
import { describeFailure } from '../failure.ts';
import { readOptions } from '../options.ts';
import { logOptionsOf, serve } from '../serve.ts';
import { findStarter } from '../system/background.ts';
import { teeLog } from '../system/log.ts';
import { createSystemLog, type SystemLog } from '../system/syslog.ts';

// The daemon in the background: `startInBackground` runs this file with the command line that it got itself.
const starter = findStarter();
let systemLog = null as SystemLog | null;

process.on('uncaughtExceptionMonitor', (error) => {
  systemLog?.error(`died of a mistake in the program: ${error.stack ?? error.message}`);
});

void runInBackground();

async function runInBackground(): Promise<void> {
  try {
    const options = readOptions(process.argv.slice(2));
    process.chdir('/');
    process.umask(0o077);
    await serve(options, {
      openLog: (config) => {
        systemLog = createSystemLog(config.syslog, logOptionsOf(config, options));
        return teeLog(systemLog, starter.log);
      },
      ready: starter.ready,
    });
    await systemLog?.close();
    process.exit(ExitCode.ok);
  } catch (error) {
    const failure = describeFailure(error);
    if (failure === null) throw error;
    systemLog ??= createSystemLog(DEFAULT_SYSLOG, { least: 'info', format: 'text' });
    systemLog.event({ event: 'failed-to-serve', problem: failure.line });
    starter.log.error(`spa-server: ${failure.line}`);
    await Promise.all([starter.failed(failure.exitCode), systemLog.close()]);
    process.exit(failure.exitCode);
  }
}
