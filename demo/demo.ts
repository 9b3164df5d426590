/**
 * The whole product in a quarter of a minute, on hosts of its own: a bastion that nobody can see, a packet, a login.
 * Exit code: 0 every claim was seen to hold, 1 one was not, 69 and 77 it cannot run here, 130 and others after a signal.
 */
import { fileURLToPath } from 'node:url';
import { ExitCode } from 'spa-host';
import { createNarrator } from './narrator.ts';
import { ENDING_SIGNALS, exitCodeOf, mayMakeHosts } from './private-hosts.ts';
import { createStage, type Stage } from './stage.ts';
import { tellStory } from './story.ts';

const LOG_LINES = 10;

process.exitCode = (await mayMakeHosts(fileURLToPath(import.meta.url))) ?? (await perform());

async function perform(): Promise<number> {
  const started = performance.now();
  const narrator = createNarrator(process.stdout, () => performance.now());
  const stage = createStage(narrator);
  const interruption = interruptOnSignals(stage);
  narrator.title('A bastion that nobody can see: real nftables, sshd, GnuPG and daemon');
  try {
    await tellStory(stage);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    narrator.end('good', `All of it was seen to hold, in ${seconds} s.`);
    return ExitCode.ok;
  } catch (error) {
    await stage.clear();
    const signal = interruption();
    if (signal !== null) {
      narrator.end('bad', 'Interrupted. Hosts, processes and files are gone.');
      return exitCodeOf(signal);
    }
    narrator.end('bad', `Failed in step ${narrator.current()}: ${(error as Error).message}`);
    const log = stage.daemon?.log().trimEnd().split('\n').slice(-LOG_LINES) ?? [];
    if (log.length > 0) narrator.quote(`the daemon's log ends with\n${log.join('\n')}`);
    return ExitCode.failure;
  }
}

/** Which signal has interrupted the stage; null: none. A reader of our output who goes away counts as SIGPIPE. */
function interruptOnSignals(stage: Stage): () => NodeJS.Signals | null {
  let first: NodeJS.Signals | null = null;
  const interrupt = (signal: NodeJS.Signals): void => {
    if (first !== null) return;
    first = signal;
    void stage.interrupt();
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, interrupt);
  process.stdout.on('error', () => interrupt('SIGPIPE'));
  return () => first;
}
