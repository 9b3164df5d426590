import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { RosterSchema } from './roster-schema.ts';

/** Steps into a document: keys of maps, and positions in lists from 0. */
export type YamlPath = readonly (string | number)[];

/** Something that is wrong with a roster's text. `line` counts from 1. */
export interface RosterFault {
  readonly line: number;
  readonly path: YamlPath;
  /** What is wrong, and what to write instead: one line. */
  readonly problem: string;
}

/** A roster's text as data, with the lines it came from. */
export interface RosterYaml {
  /** Maps are objects without a prototype. Where the schema wants a text, it is as it was written: `0123` and `1e5`, too. */
  readonly value: unknown;
  readonly faults: readonly RosterFault[];
  /** The line of what `path` leads to, or of the nearest above it that is there; of a setting, that of its name. */
  readonly lineOf: (path: YamlPath) => number;
}

/** Reads YAML by a schema: what that does not know is not looked into. Time and memory are bounded by the text's length. */
export function readRosterYaml(text: string, schema: RosterSchema): RosterYaml {
  if (text.length > MAX_LENGTH) return hopeless(1, `is longer than ${MAX_LENGTH} characters: no roster is`);
  if (isTooDeep(text)) return hopeless(1, 'nests brackets too deep: no roster does');
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    merge: false,
    // The library compares each name with all others of its map; see below.
    uniqueKeys: false,
  });
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const lineOf = (path: YamlPath): number => lineAt(offsetOf(document, path));
  const said = [...document.errors, ...document.warnings].map(({ pos, message }) => ({
    line: lineAt(pos[0]),
    path: [],
    problem: `is no YAML that can be read: ${sentence(message)}`,
  }));
  if (said.length > 0) return { value: null, faults: said, lineOf };
  if (document.contents === null) return hopeless(1, 'is empty; spa-keys init starts a roster');
  const faults: RosterFault[] = [];
  const value = plain(document.contents, schema, [], ({ range }, path, problem) =>
    faults.push({ line: lineAt(range?.[0] ?? 0), path, problem }),
  );
  return { value, faults, lineOf };
}

const MAX_LENGTH = 4 * 1024 * 1024;
/** The library works through brackets, and through indentation, by recursion. */
const MAX_DEPTH = 200;

function hopeless(line: number, problem: string): RosterYaml {
  return { value: null, faults: [{ line, path: [], problem }], lineOf: () => line };
}

function isTooDeep(text: string): boolean {
  const brackets = text.match(/[[{]/g)?.length ?? 0;
  const marks = text.matchAll(/^(?: *[-?:] )+ */gm);
  if (brackets > MAX_DEPTH && deepest(text) > MAX_DEPTH) return true;
  const indentation = text.matchAll(/^ +/gm);
  return [...marks, ...indentation].some(([{ length }]) => length > 2 * MAX_DEPTH);
}

/** More than it is if there are brackets in comments and texts. */
function deepest(text: string): number {
  let depth = 0;
  let most = 0;
  for (const [mark] of text.matchAll(/[[\]{}]/g)) {
    depth = mark === '[' || mark === '{' ? depth + 1 : Math.max(0, depth - 1);
    most = Math.max(most, depth);
  }
  return most;
}

type Complain = (node: Node, path: YamlPath, problem: string) => void;

function plain(node: unknown, schema: RosterSchema | undefined, path: YamlPath, complain: Complain): unknown {
  if (isAlias(node)) {
    complain(node, path, `*${node.source} stands for another value; write the value itself here`);
    return null;
  }
  if (isScalar(node)) {
    const wantsText = schema?.type === 'string';
    return wantsText && node.value !== null ? (node.source ?? String(node.value)) : node.value;
  }
  if (isSeq(node)) {
    if (schema?.items === undefined) return [];
    return node.items.map((item, index) => plain(item, schema.items, [...path, index], complain));
  }
  if (!isMap(node)) return null;
  const value: Record<string, unknown> = Object.create(null);
  for (const { key, value: item } of node.items) {
    const name = nameOf(key);
    if (Object.hasOwn(value, name))
      complain(key as Node, [...path, name], 'this name stands here for the second time');
    const others = schema?.additionalProperties;
    const inner = schema?.properties?.[name] ?? (others === false ? undefined : others);
    value[name] = item === null ? null : plain(item, inner, [...path, name], complain);
  }
  return value;
}

/** A key as it was written. */
function nameOf(key: unknown): string {
  return isScalar(key) ? (key.source ?? String(key.value)) : String(key);
}

function offsetOf(document: Document, path: YamlPath): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => nameOf(key) === step);
      if (pair === undefined) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    } else return offset;
  }
  return offset;
}

function sentence(message: string): string {
  const [line = ''] = message.split('\n');
  return line.replace(/\.$/, '');
}
