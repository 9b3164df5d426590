/** Why bytes are no acceptable packet. Closed: a new reason is a new row here. */
export type SpaErrorCode =
  | 'packet-length'
  | 'packet-alphabet'
  | 'packet-prefix'
  | 'packet-base64'
  | 'packet-kind'
  | 'hmac'
  | 'decrypt'
  | 'signature'
  | 'digest'
  | 'message-malformed'
  | 'packet-too-long'
  | 'packet-too-short';

/**
 * Bytes of the remote that are no acceptable packet, or (codes `packet-too-…`) a packet that could be made
 * but that no receiver would take.
 *
 * All failures of decryption share the code `decrypt`, whatever went wrong inside, so that no log becomes an oracle.
 */
export class SpaError extends Error {
  override readonly name = 'SpaError';
  readonly code: SpaErrorCode;

  constructor(code: SpaErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
