import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CIPHER_MODES, type CipherMode, DIGEST_NAMES, type DigestName } from 'spa-core';

/** What both ends of a packet share. */
export interface Secrets {
  readonly key: Uint8Array;
  readonly mode: CipherMode;
  readonly hmac: { readonly key: Uint8Array; readonly digest: DigestName } | null;
}

/** The fields of a message as they are in the wire text, base64 taken off; one byte per character. `''`: no such field. */
export interface Fields {
  readonly randomValue: string;
  readonly username: string;
  readonly timestampSeconds: number;
  readonly type: number;
  readonly message: string;
  readonly nat: string;
  readonly serverAuth: string;
  /** 0 also if there is none. */
  readonly timeoutSeconds: number;
  readonly digest: DigestName;
}

/** What libfko read from a packet. `encoded` is the text that was decrypted, without its digest. */
export type Opened = (Fields & { readonly version: string; readonly encoded: string }) | Refusal;

/** What libfko made of the fields. */
export type Sealed = { readonly packet: string; readonly encoded: string } | Refusal;

/** libfko's error. */
export interface Refusal {
  readonly refused: string;
}

/** fwknop's own library, Debian's libfko-perl, in a process of its own that answers one question after the other. */
export interface Libfko {
  open(packet: string, secrets: Secrets): Promise<Opened>;
  /** `offsetSeconds`: the message's time, from now; its own time is not looked at. */
  seal(
    fields: Omit<Fields, 'timestampSeconds'> & { readonly offsetSeconds: number },
    secrets: Secrets,
  ): Promise<Sealed>;
  /** Resolves when it has ended. */
  close(): Promise<void>;
}

/** Starts it. A question rejects if it dies. */
export function startLibfko(): Libfko {
  const script = fileURLToPath(new URL('../../interop/libfko.pl', import.meta.url));
  const child = spawn('perl', [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ask = async (question: readonly (string | number)[]): Promise<readonly string[]> => {
    child.stdin.write(`${question.join('\t')}\n`);
    const line = await lines.next();
    if (line.done === true) throw new Error(`libfko died of: ${question.join(' ')}`);
    return line.value.split('\t');
  };
  return {
    open: async (packet, secrets) => {
      const [answer, ...fields] = await ask(['open', hexOf(packet), ...wordsOf(secrets)]);
      return answer === 'yes' ? readFields(fields) : { refused: textOf(fields[0]) };
    },
    seal: async (fields, secrets) => {
      const [answer, first, second] = await ask([
        'seal',
        ...wordsOf(secrets),
        numberOf(fields.digest),
        hexOf(fields.randomValue),
        hexOf(fields.username),
        fields.offsetSeconds,
        fields.type,
        hexOf(fields.message),
        hexOf(fields.nat),
        hexOf(fields.serverAuth),
        fields.timeoutSeconds === 0 ? '' : fields.timeoutSeconds,
      ]);
      return answer === 'yes'
        ? { packet: textOf(first), encoded: textOf(second) }
        : { refused: textOf(first) };
    },
    close: () => {
      child.stdin.end();
      return ended;
    },
  };
}

function readFields(answer: readonly string[]): Opened {
  const [randomValue, username, version, message, nat, serverAuth, encoded] = answer.slice(0, 7).map(textOf);
  const [timestamp, type, timeout, digest] = answer.slice(7).map(Number);
  return {
    randomValue: randomValue ?? '',
    username: username ?? '',
    version: version ?? '',
    message: message ?? '',
    nat: nat ?? '',
    serverAuth: serverAuth ?? '',
    encoded: encoded ?? '',
    timestampSeconds: timestamp ?? 0,
    type: type ?? 0,
    timeoutSeconds: timeout ?? 0,
    digest: DIGEST_NAMES[(digest ?? 0) - 1] ?? 'md5',
  };
}

function wordsOf({ key, mode, hmac }: Secrets): readonly (string | number)[] {
  return [
    Buffer.from(key).toString('hex'),
    CIPHER_MODES[mode].number,
    hmac === null ? '' : Buffer.from(hmac.key).toString('hex'),
    hmac === null ? 0 : numberOf(hmac.digest),
  ];
}

/** libfko's number of a digest; those of HMAC types are the same. */
function numberOf(digest: DigestName): number {
  return DIGEST_NAMES.indexOf(digest) + 1;
}

function hexOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex');
}

function textOf(hex: string | undefined): string {
  return Buffer.from(hex ?? '', 'hex').toString('latin1');
}
