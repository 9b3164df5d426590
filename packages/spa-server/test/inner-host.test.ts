import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { ForwardTerms } from '../src/decision/nat.ts';
import { createInnerHosts } from '../src/grants/inner-host.ts';
import { forwardingWarning } from '../src/system/ip-forwarding.ts';
import { addressOf } from './gate.ts';

const CLIENT = addressOf('192.0.2.7');
const TERMS: ForwardTerms = {
  ...{ kind: 'nat', target: { host: 'inner.example', port: 22 }, translates: true },
  ...{ sourceAs: null, all: false, targets: null },
};

t.test('a name leads to its address, if NAT may lead there', async (t) => {
  const hosts = createInnerHosts({ lookup: async () => '10.0.0.5' });
  const forward = await hosts.find(TERMS, CLIENT);
  t.same(forward, {
    ...{ kind: 'nat', target: { address: '10.0.0.5', port: 22 }, translates: true },
    ...{ sourceAs: null, all: false },
  });
  const network = { address: addressOf('10.0.0.0'), prefixLength: 24 };
  const only = (port: number): ForwardTerms => ({ ...TERMS, targets: [{ network, ports: [port] }] });
  t.match(await hosts.find(only(22), CLIENT), { target: { port: 22 } });
  t.equal(await hosts.find(only(23), CLIENT), 'nat-target');
  for (const nowhere of ['127.0.0.1', '169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255']) {
    const rebound = createInnerHosts({ lookup: async () => nowhere });
    t.equal(await rebound.find(TERMS, CLIENT), 'nat-target', nowhere);
  }
});

t.test('an address is not looked up, and has to be of the family of the client', async (t) => {
  const hosts = createInnerHosts({ lookup: async () => t.fail('looked up') as never });
  const to = (host: string): ForwardTerms => ({ ...TERMS, target: { host, port: 22 } });
  t.match(await hosts.find(to('10.0.0.5'), CLIENT), { target: { address: '10.0.0.5' } });
  await t.rejects(hosts.find(to('2001:db8::5'), CLIENT), {
    name: 'UnknownHostError',
    message: /another family/,
  });
  const anywhere: ForwardTerms = { ...TERMS, target: null, all: true };
  t.match(await hosts.find(anywhere, CLIENT), { target: null, all: true });
  const asIpv6: ForwardTerms = { ...anywhere, sourceAs: addressOf('2001:db8::1') };
  await t.rejects(hosts.find(asIpv6, CLIENT), { message: /2001:db8::1: NAT has no way there from 192/ });
});

t.test(
  'who waits for a resolver waits for no more than the limit, and no more than two ask it',
  async (t) => {
    let asked = 0;
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const hosts = createInnerHosts({
      timeLimitMs: 20,
      lookup: async () => {
        asked += 1;
        await answered;
        return '10.0.0.5';
      },
    });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => hosts.find(TERMS, CLIENT)));
    t.match(
      outcomes.map((one) => one.status === 'rejected' && one.reason),
      Array(4).fill({
        name: 'UnknownHostError',
        message: /^inner\.example: no IPv4 address found within 0\.02 s/,
      }),
    );
    t.equal(asked, 2);
    const crowd = await Promise.allSettled(Array.from({ length: 80 }, () => hosts.find(TERMS, CLIENT)));
    t.ok(crowd.every(({ status }) => status === 'rejected'));
    await sleep(20);
    answer();
    await sleep(1);
    await hosts.find(TERMS, CLIENT);
    t.equal(asked, 3, 'what nobody waits for any more is not looked up');
  },
);

t.test('local NAT leads to this host, by whatever name or address the client knows it', async (t) => {
  const hosts = createInnerHosts({
    lookup: async () => t.fail('looked up') as never,
    addressTowards: async () => '192.0.2.1',
    ownAddresses: () => ['127.0.0.1', '192.0.2.1', '10.0.0.1'],
  });
  const local = (host: string): ForwardTerms => ({ ...TERMS, kind: 'local', target: { host, port: 22 } });
  for (const [host, address] of [
    ['bastion.example', '192.0.2.1'],
    ['203.0.113.80', '192.0.2.1'],
    ['10.0.0.1', '10.0.0.1'],
  ] as const) {
    t.match(await hosts.find(local(host), CLIENT), { kind: 'local', target: { address, port: 22 } }, host);
  }
});

t.test("this host's address towards a client is what its routes say", async (t) => {
  const forward = await createInnerHosts().find(
    { ...TERMS, kind: 'local', target: { host: 'x', port: 22 } },
    addressOf('127.0.0.9'),
  );
  t.match(forward, { target: { address: '127.0.0.1' } });
});

t.test('a host that forwards no packets is told what to do', async (t) => {
  const off = { '/proc/sys/net/ipv4/ip_forward': '0\n', '/proc/sys/net/ipv6/conf/all/forwarding': '0\n' };
  const read = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? '';
  t.match(forwardingWarning(read(off)), 'sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
  t.equal(forwardingWarning(read({ ...off, '/proc/sys/net/ipv4/ip_forward': '1\n' })), null);
  t.equal(forwardingWarning(read({})), null);
});
