import type { OpenDoor } from './door.ts';
import type { Region } from './region.ts';
import type { BastionDoorway } from './region-door.ts';
import { readRegionState, writeRegionState } from './region-state.ts';

/** How long an open door may take to answer before a packet is sent: longer if it was opened a moment ago. */
export function graceMs(region: Region, minGraceMs: number): number {
  const state = readRegionState(region.name);
  if (state === null || Date.now() - state.openedAt > doorMs(region)) return minGraceMs;
  return Math.max(minGraceMs, Math.min(2 * state.roundTripMs + 20, MAX_GRACE_MS));
}

/** ssh has yet to start and connect: a door in its last seconds would close before that. */
export function isAboutToClose(region: Region): boolean {
  const leftMs = (readRegionState(region.name)?.openedAt ?? 0) + doorMs(region) - Date.now();
  return Math.abs(leftMs) < LAST_SECONDS_MS;
}

/** Remembers that somebody went through; `isFresh`: a packet of this run opened the door. */
export function rememberDoor(
  { name }: Region,
  { doorway, roundTripMs }: OpenDoor<BastionDoorway>,
  isFresh: boolean,
): void {
  const now = Date.now();
  writeRegionState(name, {
    lastUsedAt: now,
    address: doorway.server.address,
    openedAt: isFresh ? now : (readRegionState(name)?.openedAt ?? 0),
    roundTripMs: Math.round(roundTripMs * 10) / 10,
  });
}

/** What a server gives unless the packet says otherwise. */
const DOOR_SECONDS = 30;
const LAST_SECONDS_MS = 2_000;
const MAX_GRACE_MS = 500;

function doorMs({ bastions: [{ settings }] }: Region): number {
  return (settings.clientTimeoutSeconds ?? DOOR_SECONDS) * 1000;
}
