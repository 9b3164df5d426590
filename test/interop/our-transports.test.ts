import { addresses, createLab, lacking, PROGRAMS, reach, startFwknopd, until } from 'spa-lab';
import t from 'tap';
import {
  isOpenFor,
  knockOptions,
  opensFor,
  spareAddresses,
  startProxy,
  TRANSPORT_ACCESS,
} from './transports.ts';

t.setTimeout(120_000);

t.test(
  'our client opens doors of stock fwknopd by every transport',
  { skip: lacking('fwknopd', 'iptables', 'nft', 'sshd', 'ssh') },
  async (t) => {
    const lab = await createLab('iptables');
    t.teardown(lab.dispose);
    const { bastion, operator, scratch } = lab;
    const nextAddress = await spareAddresses(lab);
    await bastion.must(['iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '80', '-j', 'ACCEPT']);
    const daemon = await startFwknopd(bastion, scratch, {
      server: [
        'PCAP_FILTER udp dst portrange 10000-65535 or tcp dst port 80',
        ...['ENABLE_TCP_SERVER Y', 'TCPSERV_PORT 80', 'ENABLE_SPA_OVER_HTTP Y'],
      ],
      access: TRANSPORT_ACCESS,
    });
    const listens = async (): Promise<boolean> =>
      (await reach(operator, addresses.server4, { port: 80 })) === 'open';
    await until('its TCP server listens', listens);
    const proxy = await startProxy(operator);

    const ways: readonly (readonly [how: string, ...options: readonly string[]])[] = [
      ['UDP', '-P', 'udp'],
      ['UDP, to a random port', '-r'],
      ['UDP, from a port', '-S', '20202'],
      ['TCP', '-P', 'tcp', '-p', '80'],
      ['TCP, from a port', '-P', 'tcp', '-p', '80', '-S', '20203'],
      ['HTTP', '-P', 'http', '-p', '80'],
      ['HTTP, with a name of its own', '-P', 'http', '-p', '80', '-u', 'Fwknop/ours'],
      ['HTTP, through a proxy', '-P', 'http', '-p', '80', '-H', proxy],
    ];
    for (const [how, ...options] of ways) {
      const address = nextAddress();
      t.equal(await isOpenFor(lab, address), false, `${how}: shut`);
      await operator.must([process.execPath, PROGRAMS.spaClient, ...knockOptions(address), ...options]);
      await opensFor(lab, daemon, address);
      t.pass(how);
    }
    await daemon.stop();
  },
);
