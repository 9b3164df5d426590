import { HMAC_KEY_MAX_BYTES, type KeyLengths, SYMMETRIC_KEY_MAX_BYTES } from 'spa-core';
import { UsageError } from './options.ts';

/** The values of `--key-len` and `--hmac-key-len`, both in bytes. @throws UsageError for a key that nobody takes. */
export function readKeyLengths(given: {
  readonly 'key-len'?: string;
  readonly 'hmac-key-len'?: string;
}): KeyLengths {
  const { 'key-len': key, 'hmac-key-len': hmacKey } = given;
  return {
    ...(key === undefined ? {} : { key: lengthOf('key-len', key, SYMMETRIC_KEY_MAX_BYTES) }),
    ...(hmacKey === undefined ? {} : { hmacKey: lengthOf('hmac-key-len', hmacKey, HMAC_KEY_MAX_BYTES) }),
  };
}

function lengthOf(option: string, text: string, max: number): number {
  if (/^[1-9]\d{0,2}$/.test(text) && Number(text) <= max) return Number(text);
  throw new UsageError(`--${option}: "${text}" is no length; write 1 to ${max} bytes`);
}
