import type { Bastion, Fingerprint } from 'spa-core';
import { type AccessChanges, accessChanges, entrantsOf } from './access-changes.ts';
import type { BastionBundle } from './bastion-bundle.ts';
import { type Ending, type Orders, runInstaller, type Transport } from './far-host.ts';
import { tarOf } from './tar.ts';

/** Where things are on bastions. */
export interface FarPlaces {
  readonly folder: string;
  readonly config: string;
  /** The path of spa-server, where it is; null: it is on PATH. */
  readonly program: string | null;
}

/** How it went with one bastion. */
export type PushResult =
  | { readonly state: 'installed' | 'unchanged'; readonly release: string; readonly notes: readonly string[] }
  /** `--dry-run`. `before` null: there is no release yet. */
  | {
      readonly state: 'would-change';
      readonly release: string;
      readonly before: string | null;
      readonly changes: AccessChanges;
    }
  | { readonly state: 'failed' | 'unreachable'; readonly reason: string };

/** How a push is done. */
export interface PushOptions {
  readonly transport: Transport;
  readonly places: FarPlaces;
  /** The daemon's configuration there is to name our folder from now on. */
  readonly first: boolean;
  /** Whose signature of a roster a bastion is to believe; empty: it gets no roster. */
  readonly authority: readonly Fingerprint[];
}

/** Brings a bastion its release, which is in force when this says so. `secretKeys`: its own, armored, if they are to travel. */
export async function pushBundle(
  bundle: BastionBundle,
  version: number,
  { transport, places, first, authority }: PushOptions,
  secretKeys: string | null = null,
): Promise<PushResult> {
  const { bastion, release, files } = bundle;
  const orders: Orders = {
    ...ordersFor('install', bastion, places),
    ...{ release, version, first },
    ...(authority.length === 0 ? {} : { authority }),
  };
  const entries = secretKeys === null ? files : [...files, { path: 'secret-key.asc', content: secretKeys }];
  return resultOf(await runInstaller(transport, bastion, orders, tarOf(entries)));
}

/** Puts the release before into force again. */
export async function rollBack(
  bastion: Bastion,
  { transport, places }: Pick<PushOptions, 'transport' | 'places'>,
): Promise<PushResult> {
  return resultOf(await runInstaller(transport, bastion, ordersFor('rollback', bastion, places)));
}

/** What {@link pushBundle} would change; nothing is changed. */
export async function comparePush(
  { bastion, release, files }: BastionBundle,
  { transport, places }: Pick<PushOptions, 'transport' | 'places'>,
): Promise<PushResult> {
  const ending = await runInstaller(transport, bastion, ordersFor('show', bastion, places));
  if (ending.kind !== 'done') return failureOf(ending);
  const before = factOf(ending.lines, 'release');
  if (before === release) return { state: 'unchanged', release, notes: [] };
  const text = files.find(({ path }) => path === 'access.conf')?.content ?? '';
  const changes = accessChanges(entrantsOf(ending.lines), entrantsOf(text.split('\n')));
  return { state: 'would-change', release, before: before === '' ? null : before, changes };
}

/** Takes away the doors that `operators` hold open at a bastion; on stock fwknopd, which does not know whose a door is, all doors. */
export async function cutDoors(
  bastion: Bastion,
  operators: readonly Fingerprint[],
  { transport, places }: Pick<PushOptions, 'transport' | 'places'>,
): Promise<{ readonly state: 'cut' | 'failed' | 'unreachable'; readonly notes: readonly string[] }> {
  const ending = await runInstaller(transport, bastion, { ...ordersFor('cut', bastion, places), operators });
  if (ending.kind === 'done') return { state: 'cut', notes: ending.lines.filter((line) => line !== '') };
  return { state: ending.kind, notes: [ending.reason] };
}

/** Does `work` for all `items`, `limit` at a time. */
export async function inParallel<Item>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}

/** The orders that go with every task. */
export function ordersFor(
  task: Orders['task'],
  { capabilities }: Pick<Bastion, 'capabilities'>,
  { folder, config, program }: FarPlaces,
): Orders {
  const daemon = capabilities.includes('spa-server') ? 'spa-server' : 'fwknopd';
  return { task, folder, config, daemon, ...(program === null || daemon === 'fwknopd' ? {} : { program }) };
}

function resultOf(ending: Ending): PushResult {
  if (ending.kind !== 'done') return failureOf(ending);
  const installed = factOf(ending.lines, 'installed');
  const notes = ending.lines.flatMap(noteOf);
  if (installed !== '') return { state: 'installed', release: installed, notes };
  return { state: 'unchanged', release: factOf(ending.lines, 'unchanged'), notes };
}

function failureOf(ending: Exclude<Ending, { readonly kind: 'done' }>): PushResult {
  return { state: ending.kind, reason: ending.reason };
}

function factOf(lines: readonly string[], word: string): string {
  const line = lines.find((one) => one === word || one.startsWith(`${word} `));
  return line === undefined ? '' : line.slice(word.length).trim();
}

function noteOf(line: string): readonly string[] {
  if (line.startsWith('unused ')) return [`not in use yet: ${line.slice('unused '.length)}`];
  if (line.startsWith('stopped '))
    return [`${line.slice('stopped '.length)} does not run; it reads this when it starts`];
  return [];
}
