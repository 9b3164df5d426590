/** Something else that `sshbh` does: its first argument names it. */
export interface Verb {
  readonly name: string;
  /** What stands after the name. */
  readonly usage: string;
  /** What it does, for `sshbh --help`. */
  readonly help: string;
  /** Resolves to the exit code. Loads what it needs: a run pays for nothing else. */
  readonly run: (argv: readonly string[]) => Promise<number>;
}

/** All verbs. A region of the same name is reached by `sshbh ssh NAME`. */
export const VERBS: readonly Verb[] = [
  {
    name: 'ssh',
    usage: '[ssh options] REGION [command...]',
    help: "ssh's own command line, for programs that run ssh: rsync -e 'sshbh ssh'",
    run: async (argv) => (await import('./ssh.ts')).sshVerb(argv),
  },
  {
    name: 'open',
    usage: '[options] REGION',
    help: 'open the door, and end',
    run: async (argv) => (await import('./open.ts')).openVerb(argv),
  },
  {
    name: 'connect',
    usage: '[options] REGION',
    help: 'open the door and give ssh the connection: for ProxyCommand',
    run: async (argv) => (await import('./connect.ts')).connectVerb(argv),
  },
  {
    name: 'forward',
    usage: '[options] REGION PORT:HOST:PORT...',
    help: 'keep a tunnel up',
    run: async (argv) => (await import('./forward.ts')).forwardVerb(argv),
  },
  {
    name: 'config',
    usage: '[options]',
    help: 'teach plain ssh, scp, rsync, git and ansible to open the doors themselves',
    run: async (argv) => (await import('./config.ts')).configVerb(argv),
  },
  {
    name: 'doctor',
    usage: '[options] REGION',
    help: 'why the door does not open, and what to do',
    run: async (argv) => (await import('./doctor.ts')).doctorVerb(argv),
  },
  {
    name: 'list',
    usage: '[options]',
    help: 'the regions, with host, key and when last used',
    run: async (argv) => (await import('./list.ts')).listVerb(argv),
  },
  {
    name: 'completion',
    usage: 'bash|zsh|fish',
    help: 'the script that teaches a shell to complete regions',
    run: async (argv) => (await import('./completion.ts')).completionVerb(argv),
  },
];
