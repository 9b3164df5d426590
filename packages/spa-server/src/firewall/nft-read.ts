import { type CommandOptions, runCommand } from './command.ts';
import { FirewallError } from './firewall.ts';
import { parseRuleset, type Ruleset } from './nft-ruleset.ts';

/** While somebody's table goes, nft may list nothing at all or half of it, and call it success: then it is asked again. */
const TRIES = 3;

/** All rules of the host; `command` is nft's, with what has to stand before it. @throws FirewallError */
export async function readRuleset(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<Ruleset> {
  for (let tries = 0; tries < TRIES; tries++) {
    const listing = await runCommand([...command, '-j', '-t', 'list', 'ruleset'], options);
    try {
      return parseRuleset(listing);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  throw new FirewallError(command.join(' '), null, 'lists nothing, or half of the rules');
}
