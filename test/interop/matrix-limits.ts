import { randomBytes } from 'node:crypto';
import type { MatrixCase, Outcome } from './matrix-run.ts';

/** Cases about one thing that a packet or a stanza may have more or less of. */
export interface LimitRow {
  readonly name: string;
  readonly cases: readonly MatrixCase[];
}

/** Shared keys as both files and command lines have them. */
interface Keys {
  readonly access: readonly string[];
  readonly options: readonly string[];
}

/**
 * What is at a limit, or beyond; each case with keys and a port of its own. `startsFresh`: the daemon takes nothing that was made
 * before its replay store, which is new.
 */
export function limitRows({ startsFresh }: { readonly startsFresh: boolean }): readonly LimitRow[] {
  let port = FIRST_PORT;
  const caseOf = (name: string, keys: Keys, changes: Partial<Changes> = {}): MatrixCase => {
    const { expected = 'open', access = [], options = [], ports = (own: string) => own } = changes;
    port++;
    return {
      name,
      expected,
      access: [...keys.access, ...access],
      options: ['-A', ports(`tcp/${port}`), ...keys.options, ...options],
      effect: { port, says: 'refused' },
    };
  };
  return [
    {
      name: 'pass phrases of 1 and 32 bytes, for AES and HMAC',
      cases: [1, 32].map((length) => caseOf(`pass phrases of ${length}`, passPhrases(length))),
    },
    {
      name: 'keys in base64: AES 1 and 32 bytes, HMAC 1 and 128',
      cases: [caseOf('keys of 1', base64Keys(1, 1)), caseOf('keys of 32 and 128', base64Keys(32, 128))],
    },
    {
      name: 'a user name of 29 bytes that `REQUIRE_USERNAME` asks for; another one',
      cases: [USERNAME, 'mallory'].map((username) =>
        caseOf(`user ${username}`, base64Keys(32, 64), {
          expected: username === USERNAME ? 'open' : 'shut',
          access: [`REQUIRE_USERNAME ${USERNAME}`],
          options: ['-U', username],
        }),
      ),
    },
    {
      name: 'the time 100 seconds ahead, 100 behind, ten minutes ahead, ten behind',
      cases: ['plus 100', 'minus 100', 'plus 600', 'minus 600'].map((text) => {
        const [direction, seconds = ''] = text.split(' ');
        return caseOf(text, base64Keys(32, 64), {
          expected: seconds === '100' && (direction === 'plus' || !startsFresh) ? 'open' : 'shut',
          options: [`--time-offset-${direction}`, seconds],
        });
      }),
    },
    {
      name: 'eleven ports of TCP and UDP; two, of which `OPEN_PORTS` has one',
      cases: [
        caseOf('eleven ports', base64Keys(32, 64), { ports: (own) => `${TEN_PORTS},${own}` }),
        caseOf('a port too many', base64Keys(32, 64), {
          expected: 'shut',
          access: ['OPEN_PORTS tcp/22'],
          ports: (own) => `tcp/22,${own}`,
        }),
      ],
    },
  ];
}

/** How a case differs from a plain request. `ports`: the list that it asks for, by its own port. */
interface Changes {
  readonly expected: Outcome;
  readonly access: readonly string[];
  readonly options: readonly string[];
  readonly ports: (own: string) => string;
}

const FIRST_PORT = 21_000;

/** fwknop's client cuts a longer one. */
const USERNAME = `Alice.B_C-D@example ${'x'.repeat(9)}`;

const TEN_PORTS = Array.from({ length: 5 }, (_, index) => `udp/${index + 1},tcp/${index + 1}`).join(',');

function passPhrases(length: number): Keys {
  const [key, hmac] = [1, 2].map(() => randomBytes(length).toString('hex').slice(0, length));
  // Two digits alike would be one key for both, which nobody takes.
  const [aes, mac] = [`k${key}`.slice(0, length), `h${hmac}`.slice(0, length)];
  return {
    access: [`KEY ${aes}`, `HMAC_KEY ${mac}`],
    options: ['--key-rijndael', aes, '--use-hmac', '--key-hmac', mac],
  };
}

function base64Keys(length: number, hmacLength: number): Keys {
  const [key, hmac] = [length, hmacLength].map((bytes) => randomBytes(bytes).toString('base64'));
  return {
    access: [`KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmac}`],
    options: ['--key-base64-rijndael', key ?? '', '--use-hmac', '--key-base64-hmac', hmac ?? ''],
  };
}
