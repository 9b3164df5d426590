import { execFile } from 'node:child_process';
import { ConfigError } from 'spa-host';
import type { CommandText } from '../config/command-settings.ts';
import type { Stated } from '../config/keywords.ts';
import type { Account, CommandPolicy } from '../decision/commands.ts';
import { searchPath } from '../firewall/programs.ts';

/** With whose rights this host runs the commands of a stanza; null if it runs none. @throws ConfigError as {@link findAccount} */
export async function findPolicy(text: CommandText | null): Promise<CommandPolicy | null> {
  return text === null ? null : { account: await findAccount(text), sudo: text.sudo };
}

/**
 * The account that a stanza names, as this host knows it now; null if it names none. Without a group it is the user's primary
 * one, and without a user the daemon's stays.
 * @throws ConfigError for a name that the host does not know.
 */
export async function findAccount({
  user,
  group,
}: Pick<CommandText, 'user' | 'group'>): Promise<Account | null> {
  const gid = group === null ? null : await askFor('group', group, ['getent', '--', 'group', group.value]);
  if (user === null) {
    if (group === null || gid === null) return null;
    return { name: `:${group.value}`, uid: process.getuid?.() ?? 0, gid };
  }
  const uid = await askFor('user', user, ['id', '-u', '--', user.value]);
  const ownGid = await askFor('user', user, ['id', '-g', '--', user.value]);
  // Of a group that nobody has named fwknopd's log has the user's name.
  return { name: `${user.value}:${group?.value ?? user.value}`, uid, gid: gid ?? ownGid };
}

/** Accounts may lie in a directory on the network, which answers within seconds or not at all. */
const TIME_LIMIT_MS = 10_000;

/** The number of a user or group: what `id` answers, or the third field of `getent`. @throws ConfigError */
async function askFor(
  kind: 'user' | 'group',
  { value, place }: Stated<string>,
  [program, ...args]: readonly [string, ...string[]],
): Promise<number> {
  const answer = await new Promise<string>((resolve, reject) => {
    const env = { ...process.env, LC_ALL: 'C', PATH: searchPath().join(':') };
    execFile(program, args, { env, timeout: TIME_LIMIT_MS }, (error, stdout) => {
      if (error === null || typeof error.code === 'number') return resolve(stdout);
      reject(new ConfigError(place, `who ${value} is cannot be asked: ${error.message}`));
    });
  });
  const number = /^(?:[^:]*:[^:]*:)?(\d+)\s*(?::|$)/.exec(answer)?.[1];
  if (number !== undefined) return Number(number);
  throw new ConfigError(
    place,
    `this host knows no ${kind} "${value}"; write one that "getent ${kind === 'user' ? 'passwd' : 'group'}" shows`,
  );
}
