import type { Verb } from '../verbs.ts';

/** All verbs of `spa-keys`, in the order in which a fleet needs them. */
export const KEYS_VERBS: readonly Verb[] = [
  {
    name: 'init',
    usage: '[options]',
    help: 'start a roster: an empty one, or from a GnuPG home or a host with fwknop',
    run: async (argv) => (await import('./init.ts')).initVerb(argv),
  },
  {
    name: 'add',
    usage: 'operator|bastion NAME [options]',
    help: 'enter somebody, or a bastion, with a key that is made or imported',
    run: async (argv) => (await import('./add.ts')).addVerb(argv),
  },
  {
    name: 'challenge',
    usage: 'NAME [options]',
    help: 'a text to be signed by whoever says that a key is his',
    run: async (argv) => (await import('./challenge.ts')).challengeVerb(argv),
  },
  {
    name: 'prove',
    usage: 'FILE [options]',
    help: 'sign such a text with your key',
    run: async (argv) => (await import('./prove.ts')).proveVerb(argv),
  },
  {
    name: 'plan',
    usage: '[options]',
    help: 'what is missing, expired, revoked or weak',
    run: async (argv) => (await import('./plan.ts')).planVerb(argv),
  },
  {
    name: 'sign',
    usage: '[options]',
    help: 'make the certifications that are missing, and sign the roster',
    run: async (argv) => (await import('./sign.ts')).signVerb(argv),
  },
  {
    name: 'verify',
    usage: '[options]',
    help: 'for CI: everything needed is there and valid',
    run: async (argv) => (await import('./verify.ts')).verifyVerb(argv),
  },
  {
    name: 'bundle',
    usage: '[options] [NAME...]',
    help: 'the files of each bastion and each operator',
    run: async (argv) => (await import('./bundle.ts')).bundleVerb(argv),
  },
  {
    name: 'push',
    usage: '[options] [BASTION...]',
    help: 'bring the bastions their files, all at once or not at all',
    run: async (argv) => (await import('./push.ts')).pushVerb(argv),
  },
  {
    name: 'revoke',
    usage: 'OPERATOR --reason WHY [options]',
    help: 'shut somebody out, now',
    run: async (argv) => (await import('./revoke.ts')).revokeVerb(argv),
  },
  {
    name: 'rotate',
    usage: 'NAME|authority [options]',
    help: 'a new key, while the old one still counts for a while',
    run: async (argv) => (await import('./rotate.ts')).rotateVerb(argv),
  },
  {
    name: 'audit',
    usage: '[options]',
    help: 'who certified whom, when, and until when',
    run: async (argv) => (await import('./audit.ts')).auditVerb(argv),
  },
];
