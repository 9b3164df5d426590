import fc from 'fast-check';
import {
  BASTION_ROSTER_MAX_LENGTH,
  type Bastion,
  type BastionRoster,
  BastionRosterError,
  bastionRosterOf,
  type Fingerprint,
  formatBastionRoster,
  type Operator,
  parseBastionRoster,
  type Roster,
} from 'spa-core';
import t from 'tap';

const NOW = 1_767_225_600;
const DAY = 86_400;

function fingerprint(digit: string): Fingerprint {
  return digit.repeat(40) as Fingerprint;
}

const ROSTER: BastionRoster = {
  roster: 'example',
  version: 7,
  issuedAtSeconds: NOW,
  bastion: { name: 'us-east-1a', fingerprints: [fingerprint('B')] },
  operators: [
    {
      name: 'alice',
      keys: [
        { fingerprint: fingerprint('A'), notAfterSeconds: null },
        { fingerprint: fingerprint('C'), notAfterSeconds: NOW + DAY },
      ],
      notAfterSeconds: NOW + 30 * DAY,
      ports: [{ protocol: 'tcp', port: 22 }],
      timeoutSeconds: 30,
    },
  ],
};

const TEXT = `{
  "format": 1,
  "roster": "example",
  "version": 7,
  "issuedAt": "2026-01-01T00:00:00Z",
  "bastion": {
    "name": "us-east-1a",
    "fingerprints": [
      "${'B'.repeat(40)}"
    ]
  },
  "operators": [
    {
      "name": "alice",
      "keys": [
        {
          "fingerprint": "${'A'.repeat(40)}",
          "notAfter": null
        },
        {
          "fingerprint": "${'C'.repeat(40)}",
          "notAfter": "2026-01-02T00:00:00Z"
        }
      ],
      "notAfter": "2026-01-31T00:00:00Z",
      "ports": [
        "tcp/22"
      ],
      "timeoutSeconds": 30
    }
  ]
}
`;

t.test("a bastion's roster is a text that people can read, and reads back the same", async (t) => {
  t.equal(formatBastionRoster(ROSTER), TEXT);
  t.strictSame(parseBastionRoster(TEXT), ROSTER);
});

t.test('what is wrong with a text is said in one line that names the place', async (t) => {
  const [first] = (JSON.parse(TEXT) as { operators: readonly object[] }).operators;
  const changed = (change: (roster: Record<string, unknown>) => void): string => {
    const roster = JSON.parse(TEXT) as Record<string, unknown>;
    change(roster);
    return JSON.stringify(roster);
  };
  const operator = (fields: object): string =>
    changed((roster) => {
      roster.operators = [{ ...first, ...fields }];
    });
  const cases: readonly (readonly [string, string])[] = [
    ['', 'it is no JSON, or not all of it'],
    [TEXT.slice(0, -20), 'it is no JSON, or not all of it'],
    ['[]', 'this is no object'],
    ['null', 'this is no object'],
    ['{"__proto__":{"format":1}}', 'format: it is missing'],
    [`"${'x'.repeat(BASTION_ROSTER_MAX_LENGTH)}"`, 'it has more than 4194304 characters'],
    [changed((r) => Object.assign(r, { format: 2 })), 'format: 2 is not known here, 1 is; update spa-server'],
    [changed((r) => Object.assign(r, { version: 0 })), 'version: this is no whole number'],
    [changed((r) => Object.assign(r, { version: 1.5 })), 'version: this is no whole number'],
    [changed((r) => Object.assign(r, { version: '7' })), 'version: this is no whole number'],
    [changed((r) => Object.assign(r, { issuedAt: '2026-02-30T00:00:00Z' })), 'issuedAt: this is no time'],
    [changed((r) => Object.assign(r, { 'a\nb': 1 })), '"a?b" is not known here'],
    [
      changed((r) => Object.assign(r, { bastion: { name: 'b', fingerprints: [] } })),
      'bastion.fingerprints: there is none',
    ],
    [
      changed((r) => Object.assign(r, { operators: Array(10_001).fill(first) })),
      'operators: there are more than 10000',
    ],
    [changed((r) => Object.assign(r, { operators: [first, first] })), 'operators: alice is there twice'],
    [
      changed((r) => Object.assign(r, { operators: [first, { ...first, name: 'bob' }] })),
      `operators: ${'A'.repeat(40)} is there twice`,
    ],
    [operator({ name: 'a\u001b[31m' }), 'operators[0].name: this is no name'],
    [
      operator({ keys: [{ fingerprint: 'ABCD', notAfter: null }] }),
      'operators[0].keys[0].fingerprint: this is no',
    ],
    [
      operator({ keys: [{ fingerprint: 'a'.repeat(40), notAfter: null }] }),
      'operators[0].keys[0].fingerprint: this is no',
    ],
    [operator({ notAfter: undefined }), 'operators[0].notAfter: it is missing'],
    [operator({ ports: ['tcp/0'] }), 'operators[0].ports[0]: this is no port as in tcp/22'],
    [operator({ timeoutSeconds: 0 }), 'operators[0].timeoutSeconds: this is no whole number'],
  ];
  for (const [text, message] of cases) {
    let said: unknown = null;
    try {
      parseBastionRoster(text);
    } catch (error) {
      said = error;
    }
    t.ok(said instanceof BastionRosterError, message);
    const line = said instanceof Error ? said.message : '';
    t.ok(line.startsWith(message), `${line} / ${message}`);
    t.notMatch(line, /\n/);
  }
});

t.test(
  'a bastion learns of those who may open something there, and of keys that are on their way out',
  async (t) => {
    const operator = (name: string, digit: string, more: Partial<Operator> = {}): Operator => ({
      kind: 'operator',
      name,
      fullName: null,
      email: null,
      key: { fingerprint: fingerprint(digit), certificateFile: `${name}.asc` },
      retiring: null,
      roles: [],
      regions: null,
      notAfterSeconds: null,
      revoked: null,
      ...more,
    });
    const bastion: Bastion = {
      kind: 'bastion',
      name: 'us-east-1a',
      region: 'us-east-1',
      host: 'bastion.example.org',
      sshPort: 22,
      spaPort: 62_201,
      key: { fingerprint: fingerprint('B'), certificateFile: 'b.asc' },
      retiring: { fingerprint: fingerprint('D'), certificateFile: 'd.asc', untilSeconds: NOW + DAY },
      hmac: { kind: 'env', variable: 'HMAC' },
      capabilities: ['spa-server'],
    };
    const roster: Roster = {
      name: 'example',
      version: 7,
      topology: 'mutual',
      certifications: { isExportable: true, days: 365, renewDays: 30 },
      authority: null,
      operators: [
        operator('alice', 'A', {
          retiring: { fingerprint: fingerprint('C'), certificateFile: 'c.asc', untilSeconds: NOW + DAY },
          notAfterSeconds: NOW + 30 * DAY,
        }),
        operator('bob', 'E', { revoked: { atSeconds: NOW - 1, reason: 'left' } }),
        operator('carol', 'F', { regions: ['eu-west-1'] }),
        operator('dave', '1', { notAfterSeconds: NOW }),
      ],
      bastions: [bastion],
      groups: new Map(),
      access: [
        {
          who: ['everybody'],
          where: ['everywhere'],
          ports: [{ protocol: 'tcp', port: 22 }],
          timeoutSeconds: 30,
        },
      ],
    };
    t.strictSame(bastionRosterOf(roster, bastion, NOW), {
      ...ROSTER,
      bastion: { name: 'us-east-1a', fingerprints: [fingerprint('B'), fingerprint('D')] },
    });
  },
);

t.test('any text gives a roster or one line that says what is wrong', async (t) => {
  const isTold = (text: string): boolean => {
    try {
      parseBastionRoster(text);
      return true;
    } catch (error) {
      return error instanceof BastionRosterError && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(error.message);
    }
  };
  const damaged = fc
    .tuple(fc.nat(TEXT.length), fc.nat(20), fc.string({ maxLength: 20 }))
    .map(([at, gone, put]) => TEXT.slice(0, at) + put + TEXT.slice(at + gone));
  t.doesNotThrow(() => fc.assert(fc.property(damaged, isTold), { numRuns: 2000 }));
  t.doesNotThrow(() => fc.assert(fc.property(fc.json(), isTold), { numRuns: 500 }));
  t.ok(isTold('['.repeat(1_000_000)), 'also of lists in lists');
});
