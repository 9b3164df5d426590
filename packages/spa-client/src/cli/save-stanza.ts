import { existsSync } from 'node:fs';
import { UsageError, writePrivateFile } from 'spa-host';
import { readRcFile, sameStanza } from '../rc-file.ts';
import { withRcLock } from '../rc-lock.ts';
import { type RcLine, replaceStanza } from '../rc-stanza.ts';
import { ValueError } from '../settings.ts';
import type { ClientCommand } from './client-options.ts';
import { defaultRcFile, say } from './program.ts';

/**
 * `--save-rc-stanza`: writes what the command line says, and `more`, to the stanza that `-n` names, or else to that of the server's
 * name. The file, which is made if there is none, is replaced in one step; only its owner can read it then.
 * Resolves to the file; null if the person wants to keep the stanza that is there.
 * @throws UsageError, ConfigError
 */
export async function saveStanza(
  { orders, settings, rcLines, withoutKeyword }: ClientCommand,
  more: readonly RcLine[],
): Promise<string | null> {
  const name = mustBeStanzaName(orders['named-config'] ?? settings.server);
  const file = orders['rc-file'] ?? defaultRcFile();
  const rcFile = existsSync(file) ? readRcFile(file) : null;
  const isThere = rcFile?.stanzas.some((stanza) => sameStanza(stanza.name, name)) ?? false;
  if (isThere && !orders['force-stanza'] && !(await mayReplace(file, name))) {
    say(`spa-client: ${file}: [${name}] stays as it is`);
    return null;
  }
  await withRcLock(file, () => {
    // Others may have saved theirs meanwhile.
    const text = existsSync(file) ? readRcFile(file).text : '';
    writePrivateFile(file, withStanza(text, name, [...rcLines, ...more]));
  });
  say(`spa-client: ${file}: [${name}] is saved`);
  for (const option of withoutKeyword)
    say(`spa-client: ${option} is not saved: an rc file has no keyword for it`);
  return file;
}

/** @throws UsageError if there is nobody to ask. */
async function mayReplace(file: string, name: string): Promise<boolean> {
  const { confirmOnTerminal, openTerminal } = await import('./terminal.ts');
  const terminal = openTerminal();
  if (terminal !== null) return confirmOnTerminal(terminal, `${file} has [${name}] already. Replace it?`);
  throw new UsageError(
    `${file} has [${name}] already, and nobody can be asked here: give --force-stanza, or another name with -n`,
  );
}

function mustBeStanzaName(name: string | undefined): string {
  if (name === undefined) throw new UsageError('which stanza? give -n NAME, or -D HOST, whose name it gets');
  if (/^[^\s\][\p{C}]([^\][\p{C}]*[^\s\][\p{C}])?$/u.test(name)) return name;
  throw new UsageError(`-n: "${name}" is no name of a stanza; give one without brackets`);
}

function withStanza(text: string, name: string, lines: readonly RcLine[]): string {
  try {
    return replaceStanza(text, name, lines);
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(error.message);
    throw error;
  }
}
