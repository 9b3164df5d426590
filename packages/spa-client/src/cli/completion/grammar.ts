import type { Option } from 'spa-host';
import { sshbhOptions } from '../sshbh-options.ts';
import { VERBS } from '../verbs.ts';

/** What a completion script knows of sshbh's command line. */
export interface Grammar {
  readonly verbs: readonly { readonly name: string; readonly help: string }[];
  /** Verbs whose first word is a region. */
  readonly regionVerbs: readonly string[];
  /** Options of sshbh without a verb: `--long`, and `-s` where there is one. */
  readonly options: readonly { readonly name: string; readonly help: string }[];
  /** Options, of verbs too, whose value is the next word. */
  readonly valueOptions: readonly string[];
}

/** The grammar, from the tables of verbs and options. */
export function describeGrammar(): Grammar {
  const options: readonly Option[] = sshbhOptions();
  const withValue = options.filter((row) => row.argument !== undefined).map((row) => `--${row.long}`);
  return {
    verbs: VERBS.map(({ name, help }) => ({ name, help })),
    regionVerbs: VERBS.filter(({ usage }) => /\bREGION\b/.test(usage)).map(({ name }) => name),
    options: options.flatMap(({ long, short, help }) => [
      { name: `--${long}`, help },
      ...(short === undefined ? [] : [{ name: `-${short}`, help }]),
    ]),
    valueOptions: [...withValue, ...VALUE_OPTIONS_OF_VERBS],
  };
}

/** They are loaded with their verbs only. */
// biome-ignore format: a row per verb
const VALUE_OPTIONS_OF_VERBS: readonly string[] = [
  '--control',
  '--local', '--socks', '--remote', '--alive',
  '--control-persist', '--style', '--command', '--ssh-config',
];

/** As one word of bash and zsh. */
export function quoteForSh(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** As one word of fish. */
export function quoteForFish(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
}
