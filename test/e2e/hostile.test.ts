import { randomBytes } from 'node:crypto';
import { readCertificates, readSecretKeys, type Sealing } from 'spa-core';
import {
  addresses,
  createGnupgHome,
  createLab,
  doorCloses,
  doorOpens,
  type Lab,
  lacking,
  reach,
  sendDatagram,
  startSpaServer,
} from 'spa-lab';
import t, { type Test } from 'tap';
import { FIREWALLS } from './firewalls.ts';
import { createSecrets, seal } from './packets.ts';

t.setTimeout(120_000);

const [firewall] = FIREWALLS;
const skip = lacking('sshd', 'gpg', 'nft');

t.test('hostile packets meet silence, a line for the operator, and a closed door', { skip }, async (t) => {
  const lab = await createLab('nftables');
  t.teardown(lab.dispose);
  const [secrets, strangers] = [createSecrets(), createSecrets()];
  const access = [
    'SOURCE 10.77.0.0/24',
    secrets.access.key,
    secrets.access.hmac,
    'OPEN_PORTS tcp/22',
    'REQUIRE_USERNAME alice',
  ];
  // The kernel would throw some of it away unseen.
  const server = [...(firewall?.server ?? []), 'SPA_PREFILTER N'];
  const daemon = await startSpaServer(lab.bastion, lab.scratch, { server, access });
  const alice = { username: 'alice', address: addresses.client4 };
  const good = await seal(secrets, alice);
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['too short', 'abc', /packet-length/],
    ['too long', 'A'.repeat(1501), /packet-length/],
    ['not base64', `${good}\n`, /packet-alphabet/],
    ['with its prefix', `U2FsdGVkX1${good}`, /packet-prefix/],
    ['random', `+${randomBytes(300).toString('hex')}`, /hmac/],
    ['random, as if OpenPGP', `A${randomBytes(300).toString('hex')}`, /packet-kind/],
    ['of a stranger', await seal(strangers, alice), /hmac/],
    ['of a stranger with our HMAC', await seal({ ...strangers, hmac: secrets.hmac }, alice), /decrypt/],
    ['without HMAC', await seal({ ...secrets, hmac: null }, alice), /hmac/],
    ['with a wrong HMAC', good.slice(0, -4) + (good.endsWith('AAAA') ? 'BBBB' : 'AAAA'), /hmac/],
    [
      'stale',
      await seal(secrets, { ...alice, offsetSeconds: -500 }),
      /denied .*\d+ s old, check both clocks/,
    ],
    ['of the future', await seal(secrets, { ...alice, offsetSeconds: 500 }), /denied .*\d+ s ahead/],
    ['of another user', await seal(secrets, { ...alice, username: 'mallory' }), /denied .*REQUIRE_USERNAME/],
    ['for another port', await seal(secrets, { ...alice, port: 23 }), /denied .*OPEN_PORTS/],
  ];
  const before = await sentByBastion(lab);
  await sendDatagram(lab.operator, addresses.server6, good);
  await daemon.logged('No access data found for source IP');
  for (const [name, packet, line] of cases) {
    const since = daemon.log().length;
    await sendDatagram(lab.operator, addresses.server4, packet);
    await daemon.logged(line, since);
    const lines = daemon.log().slice(since).trim().split('\n').length;
    t.equal(lines, /denied/.test(line.source) ? 3 : 1, `${name}: one line, or fwknopd's two and ours`);
  }
  t.equal(await reach(lab.operator, addresses.server4), 'silent', 'the door is closed');
  t.strictSame(await sentByBastion(lab), before, 'the bastion answered nothing');
  t.notMatch(daemon.log(), /KEY_BASE64 |[A-Za-z0-9+/]{43}=/, 'no key in the log');
  await sendDatagram(lab.operator, addresses.server4, good);
  await doorOpens(lab);
  t.pass('and the operator still gets in');

  for (let i = 0; i < 40; i++) {
    await sendDatagram(lab.operator, addresses.server4, await seal(strangers, alice));
  }
  t.equal(await daemon.stop(), 0);
  t.match(daemon.log(), /ignored \d+ more packets: .*hmac \d+/, 'the rest of a flood is summed up');
});

t.test('a caught packet that is spelled otherwise is the same packet', { skip }, async (t) => {
  const lab = await createLab('nftables');
  t.teardown(lab.dispose);
  const secrets = createSecrets();
  const [bastion, operator] = await Promise.all(
    ['bastion', 'operator'].map((name) => createGnupgHome(lab.scratch.path(name), `${name}@example`, 'ecc')),
  );
  if (bastion === undefined || operator === undefined) throw new Error('no homes');
  t.teardown(bastion.close);
  t.teardown(operator.close);
  await bastion.certify(operator);
  const access = [
    ...['SOURCE ANY', secrets.access.key, 'OPEN_PORTS tcp/22'],
    ...[
      'SOURCE ANY',
      `GPG_HOME_DIR ${bastion.path}`,
      `GPG_DECRYPT_ID ${bastion.fingerprint}`,
      'GPG_ALLOW_NO_PW Y',
    ],
    ...[`GPG_FINGERPRINT_ID ${operator.fingerprint}`, 'OPEN_PORTS tcp/22'],
  ];
  const daemon = await startSpaServer(lab.bastion, lab.scratch, { server: firewall?.server ?? [], access });

  const refuses = async (
    t: Test,
    packet: string,
    spellings: readonly string[],
    line: RegExp,
  ): Promise<void> => {
    await sendDatagram(lab.operator, addresses.server4, packet);
    await doorOpens(lab);
    await doorCloses(lab);
    for (const spelling of spellings) {
      t.not(spelling, packet);
      const since = daemon.log().length;
      await sendDatagram(lab.operator, addresses.server4, spelling);
      await daemon.logged(line, since);
      t.equal(await reach(lab.operator, addresses.server4), 'silent');
    }
  };

  await t.test('AES without HMAC: spare bits of the last character', async (t) => {
    const packet = await seal({ ...secrets, hmac: null }, { clientTimeoutSeconds: 2, username: 'o' });
    t.not(respellLastCharacter(packet).length, 0, 'this length leaves spare bits');
    await refuses(t, packet, respellLastCharacter(packet), /packet-base64/);
  });

  await t.test('OpenPGP without HMAC: other headers of its packets', async (t) => {
    const packet = await seal(
      { encryption: await openPgp(operator, bastion), hmac: null },
      { clientTimeoutSeconds: 2 },
    );
    await refuses(t, packet, [reframeSecondPacket(packet)], /denied .*replay/);
  });
  t.equal(await daemon.stop(), 0);
});

/** What a host has sent of its own accord: UDP datagrams and ICMP errors. */
async function sentByBastion(lab: Lab): Promise<readonly (string | undefined)[]> {
  const counters = await lab.bastion.must(['cat', '/proc/net/snmp', '/proc/net/snmp6']);
  const [header = [], values = []] = counters
    .split('\n')
    .filter((line) => line.startsWith('Udp: '))
    .map((line) => line.split(' '));
  const [icmpHeader = [], icmpValues = []] = counters
    .split('\n')
    .filter((line) => line.startsWith('Icmp: '))
    .map((line) => line.split(' '));
  return [
    values[header.indexOf('OutDatagrams')],
    icmpValues[icmpHeader.indexOf('OutDestUnreachs')],
    /^Udp6OutDatagrams\s+(\d+)/m.exec(counters)?.[1],
    /^Icmp6OutDestUnreachs\s+(\d+)/m.exec(counters)?.[1],
  ];
}

/** The other spellings of unpadded base64 that decode to the same bytes. */
function respellLastCharacter(packet: string): readonly string[] {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const spareBits = { 0: 0, 2: 4, 3: 2 }[(packet.length + 10) % 4] ?? 0;
  const last = alphabet.indexOf(packet.slice(-1)) & ~((1 << spareBits) - 1);
  return Array.from(
    { length: 1 << spareBits },
    (_, bits) => packet.slice(0, -1) + alphabet.charAt(last | bits),
  ).filter((spelling) => spelling !== packet);
}

/** The same message, the header of its second packet with a five-octet length (RFC 9580 section 4.2.1.3). */
function reframeSecondPacket(packet: string): string {
  const binary = Buffer.from(`hQ${packet}`, 'base64');
  const secondAt = 3 + binary.readUInt16BE(1);
  const body = binary.subarray(secondAt + ((binary[secondAt + 1] ?? 0) < 192 ? 2 : 3));
  const header = Buffer.of(0xd2, 0xff, 0, 0, body.length >> 8, body.length & 0xff);
  const reframed = Buffer.concat([binary.subarray(0, secondAt), header, body]);
  return reframed.toString('base64').replaceAll('=', '').slice(2);
}

async function openPgp(
  operator: { readonly path: string; readonly fingerprint: string; exportSecretKey(): Promise<string> },
  bastion: { exportCertificate(): Promise<string> },
): Promise<Sealing> {
  const [signer] = await readSecretKeys(Buffer.from(await operator.exportSecretKey()));
  const [recipient] = await readCertificates(Buffer.from(await bastion.exportCertificate()));
  if (signer === undefined || recipient === undefined) throw new Error('gpg exported nothing');
  return { kind: 'openpgp', signer, recipient };
}
