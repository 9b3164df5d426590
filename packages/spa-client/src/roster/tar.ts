/** A file for a tape archive. */
export interface TarEntry {
  /** Relative, at most 100 octets. */
  readonly path: string;
  readonly content: string;
}

/** The files as a tape archive (POSIX ustar), each with mode 0600. @throws RangeError for a path that does not fit. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(({ path, content }) => {
    const octets = Buffer.from(content);
    return [header(path, octets.length), octets, Buffer.alloc(-octets.length & (BLOCK - 1))];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

const BLOCK = 512;

function header(path: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  if (Buffer.byteLength(path) > 100) throw new RangeError(`${path} is too long for a tape archive`);
  block.write(path, 0);
  block.write('0000600\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('00000000000\0', 136);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  // The checksum counts its own field as blanks.
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, octet) => total + octet, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
