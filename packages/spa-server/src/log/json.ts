import type { Level, LogEvent } from './event.ts';
import { LEVELS } from './event.ts';
import { linesOf } from './text.ts';

/** The event as one JSON object in one line: `time` (ISO 8601, UTC), `level`, `event`, and its fields. */
export function jsonOf(event: LogEvent, time: Date): string {
  const { event: name, ...fields } = event;
  const object = { time: time.toISOString(), level: levelOf(event), event: name, ...fields };
  return JSON.stringify(object).replaceAll(UNPRINTABLE, escapeCharacter);
}

/** How much the event matters: as much as the gravest of its lines. */
export function levelOf(event: LogEvent): Level {
  const levels = linesOf(event).map(({ level }) => LEVELS.indexOf(level));
  return LEVELS[Math.max(...levels)] ?? 'info';
}

/** What a terminal or a log viewer would obey, also where JSON would let it stand. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function escapeCharacter(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }).join('');
}
