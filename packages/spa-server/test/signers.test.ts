import { type Fingerprint, identify, type ProtoPort } from 'spa-core';
import t from 'tap';
import { authorize } from '../src/decision/authorize.ts';
import { mayComeIn, refusalOf, type SignerTerms, signersOf, UNBOUND } from '../src/decision/signers.ts';
import type { Authentic, Verdict } from '../src/decision/verdict.ts';
import { addressOf, messageOf, portsOf, stanzaOf } from './gate.ts';

const ALICE = 'A'.repeat(40) as Fingerprint;
const NOW = 1_767_225_600;
const clock = { nowSeconds: NOW, maxAgeSeconds: 120 };

function termsOf(changes: Partial<SignerTerms>): SignerTerms {
  return { ...UNBOUND, name: 'alice', ...changes };
}

/** What alice, or whoever `signer` is, gets from a stanza that has these terms for her. */
function decide(
  changes: Partial<SignerTerms>,
  {
    signer = ALICE,
    ports = portsOf('tcp/22'),
  }: { signer?: Fingerprint | null; ports?: readonly ProtoPort[] } = {},
): Verdict {
  const opened: Authentic = {
    id: identify('a message'),
    message: messageOf({
      timestampSeconds: NOW,
      request: { kind: 'access', source: null, ports },
      clientTimeoutSeconds: 200,
    }),
    signer,
    signedAtSeconds: NOW,
    stanzaNumber: 1,
    operatorName: 'alice',
  };
  const signers = new Map([[String(ALICE), termsOf(changes)]]);
  const stanza = stanzaOf({ signers, openPorts: portsOf('tcp/22,tcp/443') });
  const arrival = { source: addressOf('192.0.2.7'), destination: null, forwardedFor: null };
  return authorize(opened, arrival, stanza, clock);
}

t.test('a signer gets what the stanza gives, and no more than his own terms', async (t) => {
  t.match(decide({}), { kind: 'grant', grant: { timeoutSeconds: 200 } });
  t.match(decide({ maxTimeoutSeconds: 60 }), { grant: { timeoutSeconds: 60 } });
  t.match(decide({ maxTimeoutSeconds: 900 }), { grant: { timeoutSeconds: 200 } });
  t.match(decide({ openPorts: portsOf('tcp/22') }), { kind: 'grant' });
  const both = { ports: portsOf('tcp/22,tcp/443') };
  t.match(decide({}, both), { kind: 'grant' });
  t.match(decide({ openPorts: portsOf('tcp/22') }, both), { kind: 'deny', reason: 'port-not-enrolled' });
  t.match(decide({ openPorts: [] }), { kind: 'deny', reason: 'port-not-enrolled' });
  t.match(decide({ openPorts: portsOf('tcp/80') }, { ports: portsOf('tcp/80') }), {
    kind: 'deny',
    reason: 'port-not-open',
  });
});

t.test('his terms end at their second, and his door with them', async (t) => {
  t.match(decide({ certifiedUntilSeconds: NOW }), { kind: 'deny', reason: 'signer-expired' });
  t.match(decide({ certifiedUntilSeconds: NOW + 1 }), { kind: 'grant', grant: { timeoutSeconds: 1 } });
  t.match(decide({ enrolledUntilSeconds: NOW }), { kind: 'deny', reason: 'not-enrolled' });
  t.match(decide({ enrolledUntilSeconds: NOW + 5 }), { kind: 'grant', grant: { timeoutSeconds: 5 } });
});

t.test('who is not certified, not on the roster or nobody is denied', async (t) => {
  t.match(decide({ isCertified: false }), { kind: 'deny', reason: 'not-certified' });
  t.match(decide({ isEnrolled: false }), { kind: 'deny', reason: 'not-enrolled' });
  t.match(decide({ isEnrolled: false, isCertified: false }), { reason: 'not-enrolled' });
  t.match(decide({}, { signer: 'B'.repeat(40) as Fingerprint }), { kind: 'deny', reason: 'not-enrolled' });
  t.match(decide({}, { signer: null }), { kind: 'deny', reason: 'not-enrolled' });
  t.equal(refusalOf(UNBOUND, Number.MAX_SAFE_INTEGER), null);
});

t.test('who may come in somewhere may come in', async (t) => {
  const certificates = [{ fingerprint: ALICE }] as never;
  const keys = [
    { kind: 'openpgp', secretKeys: [], certificates, requireSignature: true, hmac: null },
  ] as const;
  const open = stanzaOf({ keys });
  const shut = stanzaOf({
    keys,
    signers: new Map([[String(ALICE), termsOf({ enrolledUntilSeconds: NOW })]]),
  });
  t.equal(mayComeIn(signersOf([shut]).get(ALICE), NOW - 1), true);
  t.equal(mayComeIn(signersOf([shut]).get(ALICE), NOW), false);
  t.equal(mayComeIn(signersOf([shut, open]).get(ALICE), NOW), true);
  t.equal(mayComeIn(signersOf([stanzaOf({ keys, signers: new Map() })]).get(ALICE), NOW), false);
  t.equal(mayComeIn(signersOf([open]).get('B'.repeat(40)), NOW), false);
});
