/** Signals that end a program which has something to end first. */
export interface UntilSignal {
  /** Aborted when the first comes. */
  readonly signal: AbortSignal;
  /** Ends this process by the signal that came, if one did: whoever waits for us sees what ended us. Else does nothing. */
  readonly passOn: () => void;
}

/** From now on a signal that would end this process only says so. */
export function untilSignal(): UntilSignal {
  const end = new AbortController();
  let received: NodeJS.Signals | null = null;
  const note = (name: NodeJS.Signals): void => {
    received ??= name;
    end.abort();
  };
  for (const name of FATAL) process.on(name, note);
  return {
    signal: end.signal,
    passOn: () => {
      for (const name of FATAL) process.removeListener(name, note);
      if (received !== null) process.kill(process.pid, received);
    },
  };
}

const FATAL = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
