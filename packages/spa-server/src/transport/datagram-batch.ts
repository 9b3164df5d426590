import { constants } from 'node:os';
import koffi from 'koffi';
import { type IpAddress, readIpAddress } from 'spa-core';
import { DATAGRAMS_PER_READ } from './udp-limits.ts';
import { SOCKET_ADDRESS } from './udp-socket.ts';

/** What is longer is cut off here: no packet is, and no request of HTTP of the stock client. */
const MAX_DATAGRAM_BYTES = 4096;

/** `bytes` are the datagram's until the call returns; then the memory is used again. */
export type OnDatagram = (bytes: Buffer, source: IpAddress) => void;

/** How a read ended: there may be `more`, it is `empty`, or it `failed`, which sets the socket's error back. */
export type ReadEnd = 'more' | 'empty' | 'failed';

/** Memory for the datagrams that one recvmmsg(2) brings, and what it has to be told of that memory. One for each socket. */
export class DatagramBatch {
  readonly #fd: number;
  readonly #family: 4 | 6;
  /** All of it in one block: the kernel writes to addresses, which do not keep memory from being collected. */
  readonly #block: Buffer;
  readonly #words: Uint32Array;

  constructor(fd: number, family: 4 | 6) {
    this.#fd = fd;
    this.#family = family;
    this.#block = Buffer.alloc(BLOCK_BYTES);
    this.#words = new Uint32Array(this.#block.buffer, this.#block.byteOffset, DATA_AT / 4);
    const begin = koffi.address(this.#block);
    const addressOf = (at: number): bigint => begin + BigInt(at);
    for (let index = 0; index < DATAGRAMS_PER_READ; index++) {
      const header = {
        name: addressOf(nameAt(index)),
        nameLength: SOCKET_ADDRESS[family].bytes,
        vectors: addressOf(vectorAt(index)),
        vectorCount: 1,
        control: 0,
        controlLength: 0,
        flags: 0,
      };
      koffi.encode(this.#block, index * MESSAGE_BYTES, MESSAGE, { header, length: 0 });
      const vector = { base: addressOf(dataAt(index)), length: MAX_DATAGRAM_BYTES };
      koffi.encode(this.#block, vectorAt(index), VECTOR, vector);
    }
  }

  /** Hands over what has come in, {@link DATAGRAMS_PER_READ} at most, in the order in which it came. The socket does not block. */
  read(onDatagram: OnDatagram): ReadEnd {
    const count = recvmmsg(this.#fd, this.#block, DATAGRAMS_PER_READ, 0, null);
    if (count < 0) return koffi.errno() === constants.errno.EAGAIN ? 'empty' : 'failed';
    const { addressAt } = SOCKET_ADDRESS[this.#family];
    for (let index = 0; index < count; index++) {
      const at = dataAt(index);
      const length = this.#words[(index * MESSAGE_BYTES + LENGTH_AT) / 4] ?? 0;
      const source = readIpAddress(this.#block, nameAt(index) + addressAt, this.#family);
      onDatagram(this.#block.subarray(at, at + length), source);
    }
    return 'more';
  }
}

/** `struct iovec`, `msghdr` (recvmsg(2)) and `mmsghdr` (recvmmsg(2)), as the kernel reads them. */
const VECTOR = koffi.struct({ base: 'uintptr_t', length: 'size_t' });
const HEADER = koffi.struct({
  name: 'uintptr_t',
  nameLength: 'uint32_t',
  vectors: 'uintptr_t',
  vectorCount: 'size_t',
  control: 'uintptr_t',
  controlLength: 'size_t',
  flags: 'int',
});
const MESSAGE = koffi.struct({ header: HEADER, length: 'uint32_t' });
const recvmmsg = koffi
  .load(null)
  .func('int recvmmsg(int fd, void *messages, uint32_t count, int flags, void *timeout)');

/** What is where in the block. */
const MESSAGE_BYTES = koffi.sizeof(MESSAGE);
const LENGTH_AT = koffi.offsetof(MESSAGE, 'length');
const VECTOR_BYTES = koffi.sizeof(VECTOR);
const NAME_BYTES = 32;
const VECTORS_AT = DATAGRAMS_PER_READ * MESSAGE_BYTES;
const NAMES_AT = VECTORS_AT + DATAGRAMS_PER_READ * VECTOR_BYTES;
const DATA_AT = NAMES_AT + DATAGRAMS_PER_READ * NAME_BYTES;
const BLOCK_BYTES = DATA_AT + DATAGRAMS_PER_READ * MAX_DATAGRAM_BYTES;

function vectorAt(index: number): number {
  return VECTORS_AT + index * VECTOR_BYTES;
}

function nameAt(index: number): number {
  return NAMES_AT + index * NAME_BYTES;
}

function dataAt(index: number): number {
  return DATA_AT + index * MAX_DATAGRAM_BYTES;
}
