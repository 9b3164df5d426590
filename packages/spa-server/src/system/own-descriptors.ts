import type { StdioOptions } from 'node:child_process';
import { openSync, readdirSync, readFileSync } from 'node:fs';

/** What a child's standard streams are. */
type Streams = readonly ['pipe' | 'ignore', 'pipe' | 'ignore', 'pipe' | 'ignore'];

/**
 * The `stdio` of a child that is to have these streams and nothing that the daemon has open: LMDB opens its data so that
 * children inherit it, writable, and so may whatever started the daemon have done. Each such descriptor leads to /dev/null there.
 */
export function ownDescriptors(streams: Streams): StdioOptions {
  const inherited = inheritedDescriptors();
  if (inherited.length === 0) return [...streams];
  nothing ??= openSync('/dev/null', 'r+');
  const stdio: (Streams[number] | number)[] = [...streams];
  for (const descriptor of inherited) {
    while (stdio.length < descriptor) stdio.push('ignore');
    stdio[descriptor] = nothing;
  }
  return stdio;
}

/** /dev/null, from when it is first needed on. */
let nothing: number | null = null;

const O_CLOEXEC = 0o2000000;

/** Beyond the standard streams, in ascending order. */
function inheritedDescriptors(): readonly number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((descriptor) => descriptor > 2 && isInherited(descriptor))
    .sort((a, b) => a - b);
}

function isInherited(descriptor: number): boolean {
  try {
    const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
  } catch (error) {
    // It was that of the folder itself.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
