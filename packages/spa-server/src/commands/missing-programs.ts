import type { Stanza } from '../decision/stanza.ts';
import { findProgram } from '../firewall/programs.ts';
import { COMMAND_DIRECTORIES } from './execute.ts';

/** The programs of this host that stanzas name and that are not there now, one line each: only packets would show it. */
export function warnOfMissingPrograms(stanzas: readonly Stanza[], sudo: string): readonly string[] {
  return stanzas.flatMap(({ place, commands, cycle }) =>
    [
      { keyword: 'SUDO_EXE', program: commands?.sudo ? sudo : undefined },
      { keyword: 'CMD_CYCLE_OPEN', program: cycle?.open[0] },
      { keyword: 'CMD_CYCLE_CLOSE', program: cycle?.close?.[0] },
    ].flatMap(({ keyword, program }) =>
      program === undefined || findProgram(program, COMMAND_DIRECTORIES) !== null
        ? []
        : [
            `${place}: ${keyword}: there is no program ${program} on this host; install it, or write its whole path`,
          ],
    ),
  );
}
