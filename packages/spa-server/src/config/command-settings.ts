import { ConfigError, type ConfigPlace } from 'spa-host';
import { splitWords, unknownVariable, VARIABLE_NAMES } from '../commands/words.ts';
import type { CommandCycle, SudoTarget } from '../decision/commands.ts';
import type { ReadValue, Settings, Stated } from './keywords.ts';
import { integerBetween, quote, readBoolean, readName } from './values.ts';

/** What a stanza says of the commands of messages. The account is still names. */
export interface CommandText {
  /** `CMD_EXEC_USER` and `CMD_EXEC_GROUP`. */
  readonly user: Stated<string> | null;
  readonly group: Stated<string> | null;
  /** `ENABLE_CMD_SUDO_EXEC`; null: without sudo. */
  readonly sudo: SudoTarget | null;
}

type CommandKeywords = Readonly<
  Record<'ENABLE_CMD_EXEC' | 'ENABLE_CMD_SUDO_EXEC', ReadValue<boolean>> &
    Record<'CMD_EXEC_USER' | 'CMD_EXEC_GROUP', ReadValue<string>> &
    Record<'CMD_SUDO_EXEC_USER' | 'CMD_SUDO_EXEC_GROUP', ReadValue<string>> & {
      CMD_CYCLE_OPEN: ReadValue<readonly string[]>;
      /** Null: `NONE`. */
      CMD_CYCLE_CLOSE: ReadValue<readonly string[] | null>;
      CMD_CYCLE_TIMER: ReadValue<number>;
    }
>;

/** The keywords of a stanza that are about commands (sections 5.5 and 5.6). */
export const COMMAND_KEYWORDS: CommandKeywords = {
  ENABLE_CMD_EXEC: readBoolean,
  CMD_EXEC_USER: readName,
  CMD_EXEC_GROUP: readName,
  ENABLE_CMD_SUDO_EXEC: readBoolean,
  CMD_SUDO_EXEC_USER: readName,
  CMD_SUDO_EXEC_GROUP: readName,
  CMD_CYCLE_OPEN: readCycleCommand,
  CMD_CYCLE_CLOSE: (value, place) => (/^none$/i.test(value) ? null : readCycleCommand(value, place)),
  CMD_CYCLE_TIMER: integerBetween(1, 8_388_608, 'seconds'),
};

type CommandSettings = Settings<typeof COMMAND_KEYWORDS>;

/** Null: commands of messages are not run. */
export function readCommands(settings: CommandSettings): CommandText | null {
  if (settings.ENABLE_CMD_EXEC?.value !== true) return null;
  const throughSudo = settings.ENABLE_CMD_SUDO_EXEC?.value === true;
  return {
    user: settings.CMD_EXEC_USER ?? null,
    group: settings.CMD_EXEC_GROUP ?? null,
    sudo: throughSudo
      ? {
          user: settings.CMD_SUDO_EXEC_USER?.value ?? null,
          group: settings.CMD_SUDO_EXEC_GROUP?.value ?? null,
        }
      : null,
  };
}

/**
 * Null: doors are opened in the firewall. What closes by itself needs no timer: then `accessTimeoutSeconds` is what its
 * command is told.
 * @throws ConfigError if a part is missing.
 */
export function readCycle(
  { CMD_CYCLE_OPEN: open, CMD_CYCLE_CLOSE: close, CMD_CYCLE_TIMER: timer }: CommandSettings,
  accessTimeoutSeconds: number,
): CommandCycle | null {
  if (open === undefined) {
    const stray = close ?? timer;
    if (stray === undefined) return null;
    throw new ConfigError(
      stray.place,
      'there is no command that opens; write CMD_CYCLE_OPEN too, or remove the line',
    );
  }
  if (close === undefined) {
    throw new ConfigError(
      open.place,
      'what closes it again? write CMD_CYCLE_CLOSE too; NONE if it closes by itself',
    );
  }
  if (timer === undefined && close.value !== null) {
    throw new ConfigError(
      open.place,
      'for how long? write CMD_CYCLE_TIMER too, the seconds until it is closed',
    );
  }
  return { open: open.value, close: close.value, timerSeconds: timer?.value ?? accessTimeoutSeconds };
}

/** What is allowed and unwise, or has no effect, one line each. */
export function warnOfCommands(settings: CommandSettings): readonly string[] {
  const { ENABLE_CMD_EXEC: enable, ENABLE_CMD_SUDO_EXEC: sudo, CMD_CYCLE_OPEN: open } = settings;
  if (enable?.value !== true) {
    return sudo?.value === true
      ? [warning(sudo, 'it has no effect; write ENABLE_CMD_EXEC Y too, or remove it')]
      : [];
  }
  if (open !== undefined) {
    return [
      warning(enable, 'it has no effect: a stanza with CMD_CYCLE_OPEN runs no other commands; remove it'),
    ];
  }
  if (settings.CMD_EXEC_USER !== undefined) return [];
  const who =
    sudo?.value === true
      ? 'sudo is run by the daemon, to which it allows everything; write CMD_EXEC_USER, whom sudoers has rules for'
      : "commands from packets have the daemon's rights, which are root's; write CMD_EXEC_USER with a user who has few";
  return [warning(enable, `${who} (CMD_EXEC_USER root if that is meant)`)];
}

function warning({ place }: Stated<unknown>, text: string): string {
  return `${place.file}:${place.line}: ${place.keyword}: ${text}`;
}

function readCycleCommand(value: string, place: ConfigPlace): readonly string[] {
  const unknown = unknownVariable(value);
  if (unknown === null) return splitWords(value);
  const known = VARIABLE_NAMES.map((name) => `$${name}`).join(', ');
  throw new ConfigError(
    place,
    `${quote(unknown)} is no variable, and no shell reads this; write ${known}, or a script that does the rest`,
  );
}
