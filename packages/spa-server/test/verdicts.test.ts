import { readFileSync } from 'node:fs';
import { HmacKey, type MessageId, parseIpAddress, SymmetricKey } from 'spa-core';
import t from 'tap';
import { decide } from '../src/decision/decide.ts';
import { NO_NAT } from '../src/decision/nat.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import type { Verdict } from '../src/decision/verdict.ts';
import { addressOf, portsOf, stanzaOf } from './gate.ts';

/** Packets made by hand, with what fwknopd 2.6.10 made of them. */
interface Verdicts {
  readonly key_base64: string;
  readonly hmac_key_base64: string;
  readonly cases: readonly {
    readonly name: string;
    readonly access: 'hmac' | 'nohmac' | 'hmac+cmd' | 'hmac+nat' | 'hmac+openports';
    readonly packet: string;
    readonly fwknopd_2_6_10: 'accept' | 'reject';
  }[];
}

const FILE = readVerdicts();

const KEYS = {
  kind: 'aes' as const,
  key: new SymmetricKey(Buffer.from(FILE.key_base64, 'base64')),
  hmac: new HmacKey(Buffer.from(FILE.hmac_key_base64, 'base64'), 'sha256'),
};

/** What the stanzas of the file say. */
const STANZAS: Readonly<Record<Verdicts['cases'][number]['access'], Stanza>> = {
  hmac: stanzaWith({}),
  nohmac: stanzaWith({ keys: [{ ...KEYS, hmac: null }] }),
  'hmac+cmd': stanzaWith({ commands: { account: null, sudo: null } }),
  'hmac+nat': stanzaWith({ nat: { ...NO_NAT, forwarding: true, local: true } }),
  'hmac+openports': stanzaWith({ openPorts: portsOf('tcp/22,udp/53') }),
};

/** Rows of docs/PROTOCOL.md, by the cases that they are the reason of. What is refused here fwknopd accepts, and the other way. */
const DEVIATIONS: Readonly<Record<string, readonly string[]>> = {
  numbers: ["timestamp '01795300000'", "timestamp 'abc'", "type ' 1'", "type '1x'", 'type3 timeout 0000077'],
  'leading zeros': [
    "msg '10.1.2.3,tcp/022'",
    "msg '010.1.2.3,tcp/4022'",
    'OPEN_PORTS "tcp/22, udp/53" request \'10.1.2.3,tcp/022\'',
  ],
  'bytes of a field': ["msg '10.1.2.3,tcp/22\\x00,junk'", "user 'a\\x00b'"],
  'spelling of a field': ['msg trailing = junk'],
  'spelling of the packet': [
    'no HMAC replay with = appended (replay bypass)',
    'no HMAC replay with =junk appended (replay bypass)',
    'unused bits of last base64 char changed (replay bypass)',
  ],
  'the year 2038': ["timestamp '2147483648'", "timestamp '999999999999'"],
  '400 characters': ['plaintext 256 bytes, HMAC sha256', 'plaintext 272 bytes, HMAC sha256'],
};

t.test('hand-made packets get the verdict of fwknopd, but for the listed deviations', async (t) => {
  const here = addressOf('127.0.0.1');
  const claimed = new Set<MessageId>();
  const differing: string[] = [];
  for (const { name, access, packet, fwknopd_2_6_10 } of FILE.cases) {
    const arrival = { source: here, destination: null, forwardedFor: null };
    const verdict = await decide({ ...arrival, packet: Buffer.from(packet, 'latin1') }, [STANZAS[access]], {
      nowSeconds: 0,
      // As ENABLE_SPA_PACKET_AGING N.
      maxAgeSeconds: Number.POSITIVE_INFINITY,
    });
    const isAccepted = isPermitted(verdict) && !claimed.has(verdict.opened.id);
    if (isAccepted) claimed.add(verdict.opened.id);
    if (isAccepted !== (fwknopd_2_6_10 === 'accept')) differing.push(name);
  }
  t.strictSame(differing.sort(), Object.values(DEVIATIONS).flat().sort());
});

t.test('docs/PROTOCOL.md has the reason of each deviation', async (t) => {
  const text = readFileSync(new URL('../../../../docs/PROTOCOL.md', import.meta.url), 'utf8');
  for (const name of Object.keys(DEVIATIONS)) t.match(text, `| **${name}** |`);
});

/** Names of hosts are looked up later, and the one of these packets is nobody's. */
function isPermitted(verdict: Verdict): verdict is Extract<Verdict, { readonly kind: 'grant' | 'run' }> {
  if (verdict.kind === 'run') return true;
  if (verdict.kind !== 'grant') return false;
  const target = verdict.grant.forward?.target ?? null;
  return target === null || parseIpAddress(target.host) !== null;
}

function stanzaWith(changes: Partial<Stanza>): Stanza {
  return stanzaOf({ keys: [KEYS], openPorts: null, ...changes });
}

function readVerdicts(): Verdicts {
  const file = new URL('../../../../test/vectors/07-server-verdicts.json', import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as Verdicts;
}
