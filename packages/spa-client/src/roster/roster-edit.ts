import { isDeepStrictEqual } from 'node:util';
import {
  type Document,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml';
import type { YamlPath } from './roster-yaml.ts';

/** A value that a roster's file can hold; absent settings are left out. */
export type RosterValue =
  | string
  | number
  | boolean
  | null
  | readonly RosterValue[]
  | { readonly [name: string]: RosterValue | undefined };

/** What is to stand at a place: undefined takes it away. Maps on the way there are made. */
export interface RosterEdit {
  readonly path: YamlPath;
  readonly value: RosterValue | undefined;
}

/**
 * A roster's text with changes, and all other lines as they were: comments, order, blanks.
 * @param text that `parseRoster` takes
 */
export function editRoster(text: string, edits: readonly RosterEdit[]): string {
  return edits.reduce(applyEdit, text);
}

function applyEdit(text: string, edit: RosterEdit): string {
  const expected = parse(text);
  if (edit.value === undefined) expected.deleteIn(edit.path);
  else setIn(expected, edit.path, withoutAbsent(edit.value));
  const spliced = splice(text, edit);
  // In a style that nobody writes by hand the library writes the whole text anew: the comments stay, the blanks may not.
  if (spliced === null || !means(spliced, expected)) return expected.toString(STYLE);
  return spliced;
}

/** A name without a value is no map yet for the library. */
function setIn(document: Document, path: YamlPath, value: RosterValue): void {
  const bare = path.findIndex((_, depth) => depth > 0 && document.getIn(path.slice(0, depth)) === null);
  const place = bare < 0 ? path : path.slice(0, bare);
  document.setIn(place, createNode(document, bare < 0 ? value : nest(path.slice(bare), value)));
}

const STYLE = { lineWidth: 0, flowCollectionPadding: true } as const;
const INDENT = 2;

function parse(text: string): Document {
  return parseDocument(text, { stringKeys: true, keepSourceTokens: false });
}

function means(text: string, expected: Document): boolean {
  const document = parse(text);
  return document.errors.length === 0 && isDeepStrictEqual(document.toJS(), expected.toJS());
}

/** The text with the change, found by the places of nodes in it; null if the text is in no style that this knows. */
function splice(text: string, { path, value }: RosterEdit): string | null {
  const lines = new LineCounter();
  const document = parseDocument(text, { stringKeys: true, lineCounter: lines });
  const { map, pair, depth } = deepest(document, path);
  if (map === null) return null;
  const last = path.length - 1;
  if (value === undefined) return pair !== null && depth === last ? withoutPair(text, map, pair) : text;
  if (pair !== null && depth === last && isScalar(pair.value) && !isCompound(value) && pair.value.range) {
    const [start, end] = pair.value.range;
    const space = start === end && !/\s/.test(text[start - 1] ?? '') ? ' ' : '';
    return `${text.slice(0, start)}${space}${inline(value)}${text.slice(end)}`;
  }
  const name = String(path[depth]);
  const nested = nest(path.slice(depth + 1), value);
  if (pair === null) return withPair(text, map, { [name]: nested });
  // A name without a value, as in "operators:" or "operators: {}".
  const isEmpty = isScalar(pair.value)
    ? pair.value.value === null
    : isCollection(pair.value) && pair.value.items.length === 0;
  if (pair.value !== null && !isEmpty && depth !== last) return null;
  const without = withoutPair(text, map, pair);
  if (without === null) return null;
  return insertLines(without, startOf(pair), render({ [name]: nested }, columnOf(text, startOf(pair))));
}

interface Deepest {
  readonly map: YAMLMap | null;
  /** The pair of `map` that the path names at `depth`; null: there is none. */
  readonly pair: Pair | null;
  readonly depth: number;
}

/** As far along the path as there are maps with something in them. */
function deepest(document: Document, path: YamlPath): Deepest {
  let node: unknown = document.contents;
  let found: Deepest = { map: null, pair: null, depth: 0 };
  for (const [depth, step] of path.entries()) {
    if (!isMap(node) || node.items.length === 0) return found;
    const pair = node.items.find(
      ({ key }) => isScalar(key) && String(key.source ?? key.value) === String(step),
    );
    found = { map: node, pair: pair ?? null, depth };
    if (pair === undefined) return found;
    node = pair.value;
  }
  return found;
}

function withPair(text: string, map: YAMLMap, added: Record<string, RosterValue>): string | null {
  const lastPair = map.items.at(-1);
  const first = map.items[0];
  if (map.flow || lastPair === undefined || first === undefined) return null;
  const start = startOf(first);
  return insertLines(text, endOfLine(text, endOf(lastPair)), render(added, columnOf(text, start)));
}

function withoutPair(text: string, map: YAMLMap, pair: Pair): string | null {
  if (map.flow || map.items.length < 1) return null;
  const start = lineStart(text, startOf(pair));
  if (text.slice(start, startOf(pair)).trim() !== '') return null;
  return text.slice(0, start) + text.slice(endOfLine(text, endOf(pair)));
}

function insertLines(text: string, at: number, block: string): string {
  const start = lineStart(text, at);
  const isWhole = start === at || at === text.length;
  const offset = isWhole ? at : start;
  const before = text.slice(0, offset);
  return `${before}${before === '' || before.endsWith('\n') ? '' : '\n'}${block}${text.slice(offset)}`;
}

function startOf({ key }: Pair): number {
  return (key as Node).range?.[0] ?? 0;
}

/** Where the pair's value ends, or its name if it has none. */
function endOf({ key, value }: Pair): number {
  let end = (key as Node).range?.[1] ?? 0;
  const reach = (node: unknown): void => {
    if (isMap(node) && !node.flow) {
      const last = node.items.at(-1);
      if (last !== undefined) end = Math.max(end, endOf(last));
    } else if (isSeq(node) && !node.flow) {
      const last = node.items.at(-1);
      if (last !== undefined) reach(last);
    } else {
      end = Math.max(end, (node as Node | null)?.range?.[1] ?? 0);
    }
  };
  reach(value);
  return end;
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

/** After the line break, if there is one. A block scalar ends with its own. */
function endOfLine(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const end = text.indexOf('\n', offset);
  return end < 0 ? text.length : end + 1;
}

function columnOf(text: string, offset: number): number {
  return offset - lineStart(text, offset);
}

function isCompound(value: RosterValue): boolean {
  return typeof value === 'object' && value !== null;
}

function nest(path: YamlPath, value: RosterValue): RosterValue {
  return path.reduceRight<RosterValue>((inner, step) => ({ [String(step)]: inner }), value);
}

function withoutAbsent(value: RosterValue): RosterValue {
  if (Array.isArray(value)) return value.map(withoutAbsent);
  if (typeof value !== 'object' || value === null) return value;
  const present = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(present.map(([name, item]) => [name, withoutAbsent(item as RosterValue)]));
}

/** Lists of words in one line, as people write them. */
function createNode(document: Document, value: RosterValue): Node {
  const node = document.createNode(value) as Node;
  visit(node, {
    Seq: (_, list) => {
      list.flow = list.items.every(isScalar);
    },
  });
  return node;
}

function render(value: Record<string, RosterValue>, column: number): string {
  const document = parse('');
  document.contents = createNode(document, withoutAbsent(value)) as typeof document.contents;
  const lines = document
    .toString({ ...STYLE, indent: INDENT, flowCollectionPadding: false })
    .trimEnd()
    .split('\n');
  return lines.map((line) => `${' '.repeat(column)}${line}\n`).join('');
}

function inline(value: RosterValue): string {
  return render({ x: value }, 0).slice('x: '.length).trimEnd();
}
