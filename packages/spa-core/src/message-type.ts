/** A row of the wire format's message types. `timeout`: the message ends with the client's timeout. */
export interface MessageTypeRow {
  readonly number: AccessType;
  readonly name: string;
  readonly timeout: boolean;
}

/** Number of an access request's type on the wire: fwknop's types 1 and 3. */
export type AccessType = 1 | 3;

/** The types that are supported. */
export const ACCESS_TYPES: Readonly<Record<AccessType, MessageTypeRow>> = {
  1: { number: 1, name: 'access', timeout: false },
  3: { number: 3, name: 'client timeout access', timeout: true },
};

/** Types that fwknop knows and that are refused here, by name for the log. */
export const REFUSED_TYPES: Readonly<Record<number, string>> = {
  0: 'command',
  2: 'NAT access',
  4: 'client timeout NAT access',
  5: 'local NAT access',
  6: 'client timeout local NAT access',
};

/** The row of an access request's type; null if `text` is no such number. */
export function parseAccessType(text: string): MessageTypeRow | null {
  return text === '1' || text === '3' ? ACCESS_TYPES[text] : null;
}
