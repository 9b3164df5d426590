import type { RequestKind } from './request.ts';

/** Number of a message's type on the wire. */
export type MessageType = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** A row of the wire format's message types. `timeout`: the message ends with the client's timeout. */
export interface MessageTypeRow {
  readonly number: MessageType;
  readonly name: string;
  readonly request: RequestKind;
  readonly timeout: boolean;
}

/** All types, by number. */
export const MESSAGE_TYPES: Readonly<Record<MessageType, MessageTypeRow>> = {
  0: { number: 0, name: 'command', request: 'command', timeout: false },
  1: { number: 1, name: 'access', request: 'access', timeout: false },
  2: { number: 2, name: 'NAT access', request: 'nat-access', timeout: false },
  3: { number: 3, name: 'client timeout access', request: 'access', timeout: true },
  4: { number: 4, name: 'client timeout NAT access', request: 'nat-access', timeout: true },
  5: { number: 5, name: 'local NAT access', request: 'local-nat-access', timeout: false },
  6: { number: 6, name: 'client timeout local NAT access', request: 'local-nat-access', timeout: true },
};

/** The row of the type with that number; null if `text` is none. */
export function parseMessageType(text: string): MessageTypeRow | null {
  return /^[0-6]$/.test(text) ? MESSAGE_TYPES[Number(text) as MessageType] : null;
}

/** The type of a message with such a request, with a client's timeout or without; null if there is none: a command has no timeout. */
export function messageTypeFor(request: RequestKind, timeout: boolean): MessageTypeRow | null {
  const rows = Object.values(MESSAGE_TYPES);
  return rows.find((row) => row.request === request && row.timeout === timeout) ?? null;
}
