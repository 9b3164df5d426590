import { join } from 'node:path';
import { ConfigError, UsageError } from 'spa-host';
import { homeDirectory } from '../home.ts';
import { formatWords, readSavedArguments, writeSavedArguments } from '../saved-arguments.ts';
import { type ClientCommand, parseClientCommand, withoutSecrets } from './client-options.ts';
import { print } from './program.ts';

/**
 * `-l`: the command line that was saved, with what is given beside it. fwknop's own file will do.
 * @throws UsageError, ConfigError if it holds a key and others can read it.
 */
export function lastCommand(given: ClientCommand): ClientCommand {
  const file = mustHaveFile(given);
  const { words, exposure } = readSavedArguments(file);
  const saved = parseClientCommand(words);
  if (exposure !== null && saved.exposedSecrets.length > 0) throw new ConfigError({ file }, exposure);
  if (saved.orders['last-cmd'] || saved.orders['show-last'])
    throw new UsageError(
      `${file}: what is saved there is itself an order to repeat; write the options again`,
    );
  if (given.settings.verbose)
    print(`Executing: ${formatWords(['spa-client', ...withoutSecrets(words)])}\n\n`);
  return { ...parseClientCommand([...saved.words, ...given.words]), exposedSecrets: given.exposedSecrets };
}

/** `--show-last`, in fwknop's words but without keys. @throws UsageError, ConfigError */
export function showLast(given: ClientCommand): number {
  const words = withoutSecrets(readSavedArguments(mustHaveFile(given)).words);
  return print(`Last fwknop client command line: ${formatWords(['spa-client', ...words])}\n\n`);
}

/** Saves a command line for {@link lastCommand}, without its keys. @throws UsageError, ConfigError */
export function saveCommand(command: ClientCommand): void {
  writeSavedArguments(mustHaveFile(command), command.wordsToSave);
}

function mustHaveFile({ orders }: ClientCommand): string {
  const named = orders['save-args-file'];
  if (named !== undefined) return named;
  if (!orders['no-home-dir']) return join(homeDirectory(), '.fwknop.run');
  throw new UsageError(
    'the last command line is in the home directory; give -E FILE, or leave --no-home-dir out',
  );
}
