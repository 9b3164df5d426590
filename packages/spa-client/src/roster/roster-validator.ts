import { Ajv, type Options, type ValidateFunction } from 'ajv';
import { ROSTER_SCHEMA } from './roster-schema.ts';

/** What says whether a value is a roster, and if not, in its `errors` why. In a program it is there as code: see scripts/bundle.mjs. */
export function rosterValidator(): ValidateFunction {
  return rosterAjv().compile(ROSTER_SCHEMA);
}

/** What makes it. */
export function rosterAjv(options: Options = {}): Ajv {
  const ajv = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true, ...options });
  ajv.addVocabulary(['x-fault']);
  return ajv;
}
