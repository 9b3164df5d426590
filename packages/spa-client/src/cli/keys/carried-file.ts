import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { ConfigError } from 'spa-host';

/** A file that somebody carried here by hand. @throws ConfigError if it cannot be read, or is larger than any of ours */
export function readCarried(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > FILE_MAX_BYTES)
      throw new ConfigError({ file }, 'is too large to be a signing request or an answer');
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError({ file }, `cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** Writes a file that is carried elsewhere; nothing in it is secret. @throws ConfigError if that cannot be done */
export function writeCarried(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new ConfigError({ file }, `cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** As much as 200,000 certifications. */
const FILE_MAX_BYTES = 32 << 20;
