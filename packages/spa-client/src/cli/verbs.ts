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
    name: 'list',
    usage: '[options]',
    help: 'the regions, with host, key and when last used',
    run: async (argv) => (await import('./list.ts')).listVerb(argv),
  },
];
