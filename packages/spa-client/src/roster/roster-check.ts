import type { ErrorObject, ValidateFunction } from 'ajv';
import { probablyMeant } from 'spa-host';
import type { RosterSchema } from './roster-schema.ts';
import { rosterValidator } from './roster-validator.ts';
import type { YamlPath } from './roster-yaml.ts';

/** What does not fit the schema, and what to write instead. */
export interface SchemaFault {
  readonly path: YamlPath;
  readonly problem: string;
}

/** Where `value` does not fit the schema of rosters: each place once. */
export function checkBySchema(value: unknown): readonly SchemaFault[] {
  validate ??= rosterValidator();
  if (validate(value)) return [];
  const faults = new Map<string, SchemaFault>();
  for (const error of validate.errors ?? []) {
    const fault = describe(error);
    if (fault === null) continue;
    const key = JSON.stringify(fault.path);
    if (!faults.has(key)) faults.set(key, fault);
  }
  return [...faults.values()];
}

/** Names as people write them: `operators.alice.roles[0]`. */
export function formatPath(path: YamlPath): string {
  return path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`))
    .join('');
}

let validate: ValidateFunction | null = null;

function describe({
  keyword,
  instancePath,
  params,
  data,
  parentSchema,
  propertyName,
}: ErrorObject): SchemaFault | null {
  const path = pathOf(instancePath);
  const schema = (parentSchema ?? {}) as RosterSchema;
  if (keyword === 'propertyNames') return null;
  if (propertyName !== undefined) {
    return {
      path: [...path, propertyName],
      problem: `${shown(propertyName, schema)} ${schema['x-fault'] ?? ''}`,
    };
  }
  if (keyword === 'additionalProperties') {
    const name = String(params.additionalProperty);
    const names = Object.keys(schema.properties ?? {});
    return { path: [...path, name], problem: `there is no such setting; ${suggest(name, names)}` };
  }
  if (keyword === 'required') {
    const name = String(params.missingProperty);
    return { path, problem: `lacks ${name}; write ${name}: ${exampleOf(schema.properties?.[name])}` };
  }
  if (keyword === 'enum') {
    return {
      path,
      problem: `${shown(data, schema)} is not known; ${suggest(String(data), schema.enum ?? [])}`,
    };
  }
  if (keyword === 'minItems') return { path, problem: `the list is empty; ${cure(schema)}` };
  if (keyword === 'maxLength')
    return { path, problem: `is longer than ${schema.maxLength} characters; write less` };
  return { path, problem: `${shown(data, schema)} ${schema['x-fault'] ?? `is no ${typeName(schema)}`}` };
}

function pathOf(pointer: string): YamlPath {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}

/** What to write, from a schema's `x-fault`. */
function cure(schema: RosterSchema): string {
  return (schema['x-fault'] ?? '').split('; ').slice(1).join('; ');
}

function exampleOf(schema: RosterSchema | undefined): string {
  if (schema?.enum !== undefined) return schema.enum.join(' or ');
  return cure(schema ?? {}).replace(/^write (it as in )?/, '') || 'its value';
}

function suggest(name: string, names: readonly string[]): string {
  const meant = probablyMeant(name, names);
  return meant === null ? `write one of ${names.join(', ')}` : `did you mean ${meant}?`;
}

const SHOWN_LENGTH = 60;

function shown(value: unknown, { writeOnly }: RosterSchema): string {
  if (writeOnly) return 'this';
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const text = JSON.stringify(value) ?? '';
  return text.length <= SHOWN_LENGTH ? text : `${text.slice(0, SHOWN_LENGTH)}…"`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'map of names; write NAME: and below it, indented, its settings',
  array: 'list; write it as in [one, two]',
  string: 'text',
  integer: 'whole number',
  boolean: 'true or false',
};

function typeName({ type }: RosterSchema): string {
  return TYPE_NAMES[String(typeof type === 'string' ? type : type?.[0])] ?? 'such value';
}
