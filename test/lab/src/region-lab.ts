import { mkdirSync, writeFileSync } from 'node:fs';
import { joinByCable, joinByLongCable } from './cable.ts';
import { createHosts, type Namespace } from './hosts.ts';
import { addresses, type CableOptions } from './namespace-pair.ts';
import { addOperatorHost, hostsFile } from './operator-host.ts';
import { dropEverything } from './rulesets.ts';
import { createScratch, folderIn, type Scratch } from './scratch.ts';
import { newKey, type Sshd, startSshd } from './sshd.ts';
import { watchWire } from './wire.ts';

/**
 * The addresses of {@link createRegionLab} besides {@link addresses}.
 *
 *                ┌── 10.77.0.2, fd77::2  bastion  10.78.0.1 ──── 10.78.0.5  db-3
 *     operator ──┤   10.77.0.9, fd77::9  (nobody)
 *                └── 10.79.0.2           second
 */
export const regionAddresses = {
  /** Of the first bastion's network: nobody answers there, nothing comes back. */
  nobody4: '10.77.0.9',
  nobody6: 'fd77::9',
  inside4: '10.78.0.1',
  private4: '10.78.0.5',
  operatorToSecond4: '10.79.0.1',
  second4: '10.79.0.2',
} as const;

/** Names that the operator's host knows; the private host's name `db-3` is known to the bastion only. */
const OPERATOR_NAMES: Readonly<Record<string, readonly string[]>> = {
  'bastion.test': [addresses.server4, addresses.server6],
  'four.test': [addresses.server4],
  'six.test': [addresses.server6],
  'v6dead.test': [regionAddresses.nobody6, addresses.server4],
  'v4dead.test': [regionAddresses.nobody4, addresses.server6],
  'two.test': [regionAddresses.nobody4, addresses.server4],
  'dead.test': [regionAddresses.nobody4],
  'second.test': [regionAddresses.second4],
};
const BASTION_NAMES = { 'db-3': [regionAddresses.private4] };

/**
 * What daily work needs: an operator's host with a home of its own, two bastions that drop everything, and a private host
 * behind the first, reached from there only. sshd runs on all three; no daemon runs yet.
 */
export interface RegionLab {
  /** Here `~` is {@link RegionLab.home} for every program, and `sshbh` is on PATH. Its ssh knows all host keys. */
  readonly operator: Namespace;
  readonly bastion: Namespace;
  readonly second: Namespace;
  readonly privateHost: Namespace;
  /** Who logs in where. */
  readonly user: string;
  readonly home: Pick<Scratch, 'path'>;
  readonly scratch: Scratch;
  /** Writes the operator's `~/.fwknoprc`. */
  writeRegions(text: string): void;
  /** Ends all processes and takes hosts and files away. Never rejects; may be called twice. */
  dispose(): Promise<void>;
}

/** Makes all four hosts; the bastions' own rules are written for `firewall`. `options` are of the cable to the first bastion. */
export async function createRegionLab(
  firewall: 'nftables' | 'iptables',
  { delayMs, lossPercent }: CableOptions = {},
): Promise<RegionLab> {
  const scratch = createScratch();
  const hosts = createHosts();
  const dispose = async (): Promise<void> => {
    await hosts.dispose();
    scratch.remove();
  };
  try {
    const { host: operator, home } = await addOperatorHost(hosts, scratch, {
      device: 'veth1',
      names: OPERATOR_NAMES,
    });
    const bastion = await hosts.add({
      device: 'veth0',
      files: { '/etc/hosts': hostsFile(scratch.path('bastion-hosts'), BASTION_NAMES) },
    });
    const second = await hosts.add({ device: 'veth2' });
    const privateHost = await hosts.add({ device: 'veth5' });

    const { client4, other4, server4, client6, other6, server6 } = addresses;
    const { nobody4, nobody6, inside4, private4, operatorToSecond4, second4 } = regionAddresses;
    const ends = [
      { host: bastion, device: 'veth0', addresses: [server4, nobody4, server6, nobody6] },
      { host: operator, device: 'veth1', addresses: [client4, other4, client6, other6] },
    ] as const;
    await (delayMs === undefined ? joinByCable(...ends) : joinByLongCable(hosts, ends, delayMs, lossPercent));
    await joinByCable(
      { host: second, device: 'veth2', addresses: [second4] },
      { host: operator, device: 'veth3', addresses: [operatorToSecond4] },
    );
    await joinByCable(
      { host: bastion, device: 'veth4', addresses: [inside4] },
      { host: privateHost, device: 'veth5', addresses: [private4] },
    );

    mkdirSync(home.path('.ssh'), { mode: 0o700 });
    const clientKey = newKey(home.path('.ssh', 'id_ed25519'));
    for (const host of [bastion, second]) {
      await dropEverything(host, firewall);
      await watchWire(host, [nobody4, nobody6]);
    }
    const start = (host: Namespace, folder: string): Promise<Sshd> =>
      startSshd(host, folderIn(scratch, folder), { clientKey });
    const sshds = {
      bastion: await start(bastion, 'sshd-bastion'),
      second: await start(second, 'sshd-second'),
      privateHost: await start(privateHost, 'sshd-private'),
    };
    const known = [
      [Object.keys(OPERATOR_NAMES).filter((name) => name !== 'second.test'), sshds.bastion],
      [[server4, server6], sshds.bastion],
      [['second.test', second4], sshds.second],
      [['db-3', private4], sshds.privateHost],
    ] as const;
    const knownHosts = known.map(([names, sshd]) => `${names.join(',')} ${sshd.hostKey}\n`);
    writeFileSync(home.path('.ssh', 'known_hosts'), knownHosts.join(''));
    return {
      ...{ operator, bastion, second, privateHost, home, scratch, dispose },
      user: sshds.bastion.user,
      writeRegions: (text) => writeFileSync(home.path('.fwknoprc'), text, { mode: 0o600 }),
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
