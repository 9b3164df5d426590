import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FirewallError } from '../src/firewall/firewall.ts';
import { readRuleset } from '../src/firewall/nft-read.ts';

const WHOLE =
  '{"nftables": [{"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "policy": "drop"}}]}';

/** A stand-in for nft that lists each of `listings` in turn, and the last one from then on. */
function nftThatLists(t: Test, listings: readonly string[]): readonly string[] {
  const folder = t.testdir({ asked: '' });
  const program = join(folder, 'nft.mjs');
  writeFileSync(
    program,
    `import { appendFileSync, readFileSync } from 'node:fs';
const asked = ${JSON.stringify(join(folder, 'asked'))};
const listings = ${JSON.stringify(listings)};
process.stdout.write(listings[Math.min(readFileSync(asked).length, listings.length - 1)]);
appendFileSync(asked, '.');
`,
  );
  return [process.execPath, program];
}

t.test('a listing that is empty or torn is asked for again', async (t) => {
  const { chains } = await readRuleset(nftThatLists(t, ['', WHOLE.slice(0, 40), WHOLE]));
  t.match(chains, [{ table: 'filter', chain: 'INPUT', policy: 'drop' }]);
});

t.test('one that stays torn is a failure of the firewall', async (t) => {
  await t.rejects(readRuleset(nftThatLists(t, [WHOLE.slice(0, 40)])), FirewallError);
});
