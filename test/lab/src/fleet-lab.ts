import { mkdirSync, writeFileSync } from 'node:fs';
import { joinByCable } from './cable.ts';
import { createHosts, type Namespace } from './hosts.ts';
import { addOperatorHost, type OperatorHost } from './operator-host.ts';
import { createScratch, folderIn, type Scratch } from './scratch.ts';
import { newKey, type Sshd, startSshd } from './sshd.ts';

/** A bastion of the fleet: sshd runs there; no firewall and no daemon yet. */
export interface FleetBastion {
  /** `bastion-07`; the machines of all people know it as `bastion-07.test`. */
  readonly name: string;
  readonly address: string;
  /** It has an /etc/fwknop of its own: {@link FleetBastion.configuration}. */
  readonly host: Namespace;
  readonly configuration: Pick<Scratch, 'path'>;
  readonly scratch: Pick<Scratch, 'path'>;
  readonly sshd: Sshd;
}

/** A person with a machine at an address of their own, and an ssh key that all bastions let in. */
export interface FleetPerson extends OperatorHost {
  readonly name: string;
  readonly address: string;
}

/**
 * Many people, and many bastions that each of them can reach.
 *
 *     person 10.80.N.2 ──┐                 ┌── 10.81.N.2 bastion
 *     person …         ──┤ router (no one) ├── … bastion
 */
export interface Fleet {
  readonly people: readonly FleetPerson[];
  readonly bastions: readonly FleetBastion[];
  /** Between all; everybody reaches it at {@link Fleet.routerAddress}. */
  readonly router: Namespace;
  readonly routerAddress: string;
  readonly scratch: Scratch;
  /** Ends all processes and takes hosts and files away. Never rejects; may be called twice. */
  dispose(): Promise<void>;
}

/** Makes all hosts. Root only: people's ssh and the bastions' /etc/fwknop need mounts. */
export async function createFleet(
  peopleNames: readonly string[],
  bastionNames: readonly string[],
): Promise<Fleet> {
  const scratch = createScratch();
  const hosts = createHosts();
  const dispose = async (): Promise<void> => {
    await hosts.dispose();
    scratch.remove();
  };
  try {
    const router = await hosts.add({ device: 'lo' });
    await router.must(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    const join = async (host: Namespace, net: string, cable: string): Promise<string> => {
      const [gateway, address] = [`${net}.1`, `${net}.2`];
      await joinByCable(
        { host: router, device: cable, addresses: [gateway] },
        { host, device: host.device, addresses: [address] },
      );
      await host.must(['ip', 'route', 'add', 'default', 'via', gateway]);
      return address;
    };
    const clientKey = newKey(scratch.path('id_ed25519'));
    const bastions = await Promise.all(
      bastionNames.map(async (name, index): Promise<FleetBastion> => {
        const own = folderIn(scratch, name);
        const configuration = folderIn(own, 'etc');
        const host = await hosts.add({
          device: 'veth0',
          files: { '/etc/fwknop': configuration.path() },
        });
        const address = await join(host, `10.81.${index}`, `b${index}`);
        return {
          name,
          address,
          host,
          configuration,
          scratch: own,
          sshd: await startSshd(host, own, { clientKey }),
        };
      }),
    );
    const names = Object.fromEntries(bastions.map(({ name, address }) => [`${name}.test`, [address]]));
    const knownHosts = bastions.map(({ name, address, sshd }) => `${name}.test,${address} ${sshd.hostKey}\n`);
    const people = await Promise.all(
      peopleNames.map(async (name, index): Promise<FleetPerson> => {
        const machine = await addOperatorHost(hosts, folderIn(scratch, name), { device: 'veth0', names });
        const address = await join(machine.host, `10.80.${index}`, `p${index}`);
        mkdirSync(machine.home.path('.ssh'), { mode: 0o700 });
        writeFileSync(machine.home.path('.ssh', 'known_hosts'), knownHosts.join(''));
        const config = [
          'Host *',
          'User root',
          `IdentityFile ${clientKey}`,
          'IdentitiesOnly yes',
          'BatchMode yes',
          '',
        ];
        writeFileSync(machine.home.path('.ssh', 'config'), config.join('\n'), { mode: 0o600 });
        return { ...machine, name, address };
      }),
    );
    return { people, bastions, router, routerAddress: '10.80.0.1', scratch, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
