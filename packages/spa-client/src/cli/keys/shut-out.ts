import { accessOf, type Bastion, type Fingerprint, type Operator, type Roster } from 'spa-core';
import { cutDoors, inParallel, type PushResult } from '../../roster/push.ts';
import { say } from '../program.ts';
import type { PlaceValues } from './common-options.ts';
import { type FarValues, farPlacesOf, readLimit, transportOf } from './far-options.ts';
import { readFleet } from './fleet.ts';
import { pushTo } from './push.ts';

/** How it went at one bastion: the new files, and the doors that were open. */
export interface ShutOut {
  readonly push: PushResult;
  readonly doors: Awaited<ReturnType<typeof cutDoors>>;
}

/**
 * Takes from an operator who is revoked in the roster what he has at bastions: the doors that he holds open go, then the bastion gets
 * files without him, so that no packet of his opens one any more, and then what he opened meanwhile goes. With spa-server his
 * connections end too, which it knows by their doors: that is why these go first. Stock fwknopd does not know whose a door is, and
 * closes all.
 */
export async function shutOut(
  name: string,
  values: PlaceValues & FarValues & { readonly json?: true },
): Promise<ReadonlyMap<string, ShutOut>> {
  const limit = readLimit(values.parallel);
  const fleet = await readFleet(values, Math.floor(Date.now() / 1000));
  const { roster, plan } = fleet.source;
  const operator = roster.operators.find((one) => one.name === name);
  if (operator === undefined) return new Map();
  const bastions = bastionsOf(operator, roster, plan.nowSeconds);
  const options = { transport: transportOf(values), places: farPlacesOf(values) };
  const cut = new Map<string, readonly string[]>();
  const ours = bastions.filter(({ capabilities }) => capabilities.includes('spa-server'));
  await inParallel(ours, limit, async (bastion) => {
    const { state, notes } = await cutDoors(bastion, keysOfAll(operator), options);
    if (state === 'cut') cut.set(bastion.name, notes);
  });
  const { results } = await pushTo(fleet, bastions, values, limit);
  const shut = new Map<string, ShutOut>();
  await inParallel(bastions, limit, async (bastion) => {
    const push = results.get(bastion.name);
    if (push === undefined) return;
    const after: ShutOut['doors'] =
      push.state === 'unreachable'
        ? { state: 'unreachable', notes: [push.reason] }
        : await cutDoors(bastion, keysOfAll(operator), options);
    const before = after.state === 'cut' ? (cut.get(bastion.name) ?? []) : [];
    const hasNews = before.length === 0 || !after.notes.some((note) => NOTHING.test(note));
    const doors = { ...after, notes: hasNews ? [...before, ...after.notes] : before };
    shut.set(bastion.name, { push, doors });
    if (!values.json) say(lineOf(bastion.name, doors));
  });
  return shut;
}

/** What spa-server says if there is nothing to revoke. */
const NOTHING = /^cut There is no live grant/;

/** True if no bastion is left at which he may still have something. */
export function isShutOut(shut: ReadonlyMap<string, ShutOut>): boolean {
  return [...shut.values()].every(
    ({ push, doors }) => (push.state === 'installed' || push.state === 'unchanged') && doors.state === 'cut',
  );
}

/** Those that he could open if he were not revoked. */
function bastionsOf({ name }: Operator, roster: Roster, nowSeconds: number): readonly Bastion[] {
  const before: Roster = {
    ...roster,
    operators: roster.operators.map((one) =>
      one.name === name ? { ...one, revoked: null, notAfterSeconds: null } : one,
    ),
  };
  return accessOf(before, nowSeconds)
    .filter(({ operator }) => operator.name === name)
    .map(({ bastion }) => bastion);
}

function keysOfAll({ key, retiring }: Operator): readonly Fingerprint[] {
  return [key.fingerprint, ...(retiring === null ? [] : [retiring.fingerprint])];
}

function lineOf(bastion: string, { state, notes }: ShutOut['doors']): string {
  switch (state) {
    case 'cut': {
      if (notes.includes('flushed'))
        return `${bastion}: all doors are closed; connections that were made stay (fwknopd)`;
      const said = notes.flatMap((note) => (note.startsWith('cut ') ? [note.slice('cut '.length)] : []));
      return `${bastion}: ${said.length === 0 ? 'no daemon runs there' : said.join(' ')}`;
    }
    case 'failed':
      return `${bastion}: HIS DOORS MAY BE OPEN: ${notes.join('; ')}`;
    case 'unreachable':
      return `${bastion}: CANNOT BE REACHED, he may still get in: ${notes.join('; ')}`;
  }
}
