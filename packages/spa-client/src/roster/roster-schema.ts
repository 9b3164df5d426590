/**
 * What a roster's file may hold, as a JSON schema (draft 7, which editors know best): the only source for the check of
 * {@link parseRoster} and for `roster.schema.json`. `x-fault` is ours: what is wrong with a value that does not fit, and
 * what to write instead.
 */
export interface RosterSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: SchemaType | readonly SchemaType[];
  readonly properties?: Readonly<Record<string, RosterSchema>>;
  readonly propertyNames?: RosterSchema;
  readonly additionalProperties?: RosterSchema | false;
  readonly required?: readonly string[];
  readonly items?: RosterSchema;
  readonly minItems?: number;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  /** What stands there by mistake may be a secret: it is not repeated. */
  readonly writeOnly?: true;
  readonly 'x-fault'?: string;
}

/** What a value is. */
export type SchemaType = 'object' | 'array' | 'string' | 'integer' | 'boolean' | 'null';

/** The file for editors, beside the roster. */
export const SCHEMA_FILE = 'roster.schema.json';

/** Content of {@link SCHEMA_FILE}. */
export function formatRosterSchema(): string {
  return `${JSON.stringify(ROSTER_SCHEMA, null, 2)}\n`;
}

const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]*$';
const NAME_FAULT =
  'is no name; write letters, digits, dots, hyphens and underscores, and a letter or digit first';

/** True for what can name a roster, an operator, a bastion, a group, a role or a region. */
export function isRosterName(text: string): boolean {
  return new RegExp(NAME_PATTERN).test(text) && text.length <= NAME_MAX_LENGTH;
}

const NAME_MAX_LENGTH = 64;
const NAME: RosterSchema = {
  type: 'string',
  pattern: NAME_PATTERN,
  maxLength: NAME_MAX_LENGTH,
  'x-fault': NAME_FAULT,
};

const FINGERPRINT: RosterSchema = {
  type: 'string',
  description: 'The full fingerprint of the primary key',
  pattern: '^(0[xX])?([0-9A-Fa-f] *){39}[0-9A-Fa-f]$',
  'x-fault': 'is no full fingerprint; write the 40 hexadecimal digits',
};

const CERTIFICATE: RosterSchema = {
  type: 'string',
  description: "The certificate's file, relative to the roster's folder",
  pattern: '^(?!/)(?!(.*/)?\\.\\.?(/|$))[^\\\\\\x00-\\x1f\\x7f-\\x9f]+$',
  'x-fault': "is no file in the roster's folder; write it as in certificates/operators/alice.asc",
};

const WHEN_PATTERN = '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2})?Z)?$';
const WHEN_FAULT = 'is no date; write it as in 2027-01-31 (its end in UTC), or 2027-01-31T12:00:00Z';

const WHEN: RosterSchema = { type: 'string', pattern: WHEN_PATTERN, 'x-fault': WHEN_FAULT };

const RETIRING: RosterSchema = {
  type: 'object',
  description: 'The key before this one, which counts until then; spa-keys rotate writes it',
  properties: { fingerprint: FINGERPRINT, certificate: CERTIFICATE, until: WHEN },
  required: ['fingerprint', 'certificate', 'until'],
  additionalProperties: false,
};

/** For texts that go into user IDs and onto terminals. */
const PRINTABLE = '^[^\\x00-\\x1f\\x7f-\\x9f<>]+$';

const PORT: Pick<RosterSchema, 'type' | 'minimum' | 'maximum' | 'x-fault'> = {
  type: 'integer',
  minimum: 1,
  maximum: 65_535,
  'x-fault': 'is no port; write a number from 1 to 65535',
};

const OPERATOR: RosterSchema = {
  type: 'object',
  properties: {
    name: {
      type: 'string',
      description: 'The name in full',
      pattern: PRINTABLE,
      'x-fault': 'is no name; write it without < > and control characters',
    },
    email: {
      type: 'string',
      pattern: '^[^\\s<>@\\x00-\\x1f\\x7f-\\x9f]+@[^\\s<>@\\x00-\\x1f\\x7f-\\x9f]+$',
      'x-fault': 'is no e-mail address; write it as in alice@example.org',
    },
    fingerprint: FINGERPRINT,
    certificate: CERTIFICATE,
    roles: {
      type: 'array',
      description: 'Named as role:NAME in groups and access',
      items: NAME,
      'x-fault': 'is no list of roles; write it as in [oncall]',
    },
    regions: {
      type: 'array',
      description: 'Nothing outside of them, whatever access says; absent: all',
      items: NAME,
      'x-fault': 'is no list of regions; write it as in [us-east-1]',
    },
    'not-after': { ...WHEN, description: 'Nothing after that day' },
    revoked: {
      type: 'object',
      description: 'Out for good; spa-keys revoke writes it',
      properties: {
        at: WHEN,
        reason: { type: 'string', pattern: PRINTABLE, 'x-fault': 'is no reason; write a line of text' },
      },
      required: ['at', 'reason'],
      additionalProperties: false,
    },
    retiring: RETIRING,
  },
  required: ['fingerprint'],
  additionalProperties: false,
  'x-fault': 'is no operator; write at least fingerprint: and the 40 hexadecimal digits',
};

const BASTION: RosterSchema = {
  type: 'object',
  properties: {
    region: NAME,
    host: {
      type: 'string',
      description: 'Its name or address, for SPA packets and ssh',
      pattern: '^[A-Za-z0-9:][A-Za-z0-9.:%_-]*$',
      'x-fault': 'is no host; write a name or an address, as in bastion.example.org or 203.0.113.5',
    },
    'ssh-port': { ...PORT, default: 22 },
    'spa-port': { ...PORT, default: 62_201 },
    fingerprint: FINGERPRINT,
    certificate: CERTIFICATE,
    hmac: {
      type: 'string',
      writeOnly: true,
      description: "Where its HMAC master secret is: file:PATH in the secrets' folder, or env:SPA_NAME",
      pattern: '^(file:(?!/)(?!(.*/)?\\.\\.?(/|$))[^\\\\\\x00-\\x1f]+|env:SPA_[A-Za-z0-9_]+)$',
      'x-fault':
        "is no place of a secret; write file:PATH (in the secrets' folder) or env:SPA_NAME (a variable), never the secret",
    },
    capabilities: {
      type: 'array',
      description: 'spa-server: this daemon runs there, not stock fwknopd; ipv6: it has such an address',
      items: { type: 'string', enum: ['spa-server', 'ipv6'] },
      'x-fault': 'is no list of capabilities; write it as in [spa-server, ipv6]',
    },
    retiring: RETIRING,
  },
  required: ['region', 'host', 'fingerprint'],
  additionalProperties: false,
  'x-fault': 'is no bastion; write at least region:, host: and fingerprint:',
};

const WHO: RosterSchema = {
  type: 'array',
  items: {
    type: 'string',
    pattern: '^(role:)?[A-Za-z0-9][A-Za-z0-9._-]*$',
    'x-fault': 'is nobody; write an operator, a group, role:NAME or (in access) everybody',
  },
  'x-fault': 'is no list of people; write it as in [alice, role:oncall]',
};

/** The whole file. */
export const ROSTER_SCHEMA: RosterSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Roster of a fleet of bastions (spa-keys)',
  type: 'object',
  properties: {
    name: { ...NAME, description: 'Names the folder of its secrets, too' },
    version: {
      type: 'integer',
      description: 'Rises with each change: a bastion refuses an older roster',
      minimum: 1,
      maximum: 4_294_967_295,
      'x-fault': 'is no version; write a whole number, from 1',
    },
    topology: {
      type: 'string',
      description:
        'authority: one key certifies all others; mutual: bastions and operators certify each other',
      enum: ['authority', 'mutual'],
    },
    certifications: {
      type: 'object',
      description: 'How certifications are made',
      properties: {
        exportable: {
          type: 'boolean',
          description: "false: for their makers' own use, like gpg's --lsign-key",
          default: true,
          'x-fault': 'is neither true nor false',
        },
        days: {
          type: ['integer', 'null'],
          description: 'How long they last; null: as long as the key',
          minimum: 1,
          maximum: 36_500,
          default: 365,
          'x-fault': 'is no number of days; write 1 to 36500, or null for as long as the key',
        },
        renew: {
          type: 'integer',
          description: 'How many days before its end a key or certification is due',
          minimum: 0,
          maximum: 36_500,
          default: 30,
          'x-fault': 'is no number of days; write 0 to 36500',
        },
      },
      additionalProperties: false,
    },
    authority: {
      type: 'object',
      description:
        "The organisation's key: signs the roster, and in the topology authority certifies all others",
      properties: {
        name: {
          type: 'string',
          pattern: PRINTABLE,
          'x-fault': 'is no name; write it without < > and control characters',
        },
        fingerprint: FINGERPRINT,
        certificate: CERTIFICATE,
        retiring: RETIRING,
      },
      required: ['name', 'fingerprint'],
      additionalProperties: false,
      'x-fault': 'is no authority; write name: and fingerprint:',
    },
    operators: {
      type: ['object', 'null'],
      description: 'Who goes through bastions, by short name',
      propertyNames: NAME,
      additionalProperties: OPERATOR,
    },
    bastions: {
      type: ['object', 'null'],
      description: 'Where to, by name',
      propertyNames: NAME,
      additionalProperties: BASTION,
    },
    groups: {
      type: ['object', 'null'],
      description: 'Names for several operators: of operators, other groups, and role:NAME',
      propertyNames: NAME,
      additionalProperties: WHO,
    },
    access: {
      type: ['array', 'null'],
      description: 'Who may open what where',
      items: {
        type: 'object',
        properties: {
          who: { ...WHO, minItems: 1 },
          where: {
            type: 'array',
            description: 'Bastions, region:NAME, or everywhere',
            minItems: 1,
            items: {
              type: 'string',
              pattern: '^(region:)?[A-Za-z0-9][A-Za-z0-9._-]*$',
              'x-fault': 'is nowhere; write a bastion, region:NAME or everywhere',
            },
            'x-fault': 'is no list of places; write it as in [us-east-1a, region:eu-west-1]',
          },
          ports: {
            type: 'array',
            minItems: 1,
            items: {
              type: 'string',
              pattern:
                '^(tcp|udp)/([1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])$',
              'x-fault': 'is no port; write one protocol/port at a time, as in tcp/22',
            },
            default: ['tcp/22'],
            'x-fault': 'is no list of ports; write it as in [tcp/22]',
          },
          timeout: {
            type: 'integer',
            description: 'For how many seconds the door is open',
            minimum: 1,
            maximum: 86_400,
            default: 30,
            'x-fault': 'is no number of seconds; write 1 to 86400',
          },
        },
        required: ['who', 'where'],
        additionalProperties: false,
        'x-fault': 'is no rule; write who: [NAME...] and where: [NAME...]',
      },
      'x-fault': 'is no list of rules; write each as "- who: [NAME...]" and below it "where: [NAME...]"',
    },
  },
  required: ['name', 'version', 'topology'],
  additionalProperties: false,
};
