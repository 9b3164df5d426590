import {
  createHosts,
  createScratch,
  dropEverything,
  joinByCable,
  type Namespace,
  type Scratch,
  until,
} from 'spa-lab';

/**
 * Three hosts. The bastion drops what comes in and what passes through; port 9000 of it and of the inside host have a listener
 * that says whose it is.
 *
 *     operator 10.77.0.1 ─── 10.77.0.2 bastion 10.88.0.1 ─── 10.88.0.2 inside
 */
export interface MatrixLab {
  readonly operator: Namespace;
  readonly bastion: Namespace;
  readonly scratch: Scratch;
  dispose(): Promise<void>;
}

export const ADDRESSES = { operator: '10.77.0.1', bastion: '10.77.0.2', inside: '10.88.0.2' } as const;

/** The port of the listeners. */
export const SERVICE = 9000;

/** Makes them; the bastion's own rules are written for `firewall`. */
export async function createMatrixLab(firewall: 'nftables' | 'iptables'): Promise<MatrixLab> {
  const scratch = createScratch();
  const hosts = createHosts();
  const dispose = async (): Promise<void> => {
    await hosts.dispose();
    scratch.remove();
  };
  try {
    const operator = await hosts.add({ device: 'veth1' });
    const bastion = await hosts.add({ device: 'veth0' });
    const inside = await hosts.add({ device: 'veth2' });
    await joinByCable(
      { host: bastion, device: bastion.device, addresses: [ADDRESSES.bastion] },
      { host: operator, device: operator.device, addresses: [ADDRESSES.operator] },
    );
    await joinByCable(
      { host: bastion, device: 'inner', addresses: ['10.88.0.1'] },
      { host: inside, device: inside.device, addresses: [ADDRESSES.inside] },
    );
    await inside.must(['ip', 'route', 'add', 'default', 'via', '10.88.0.1']);
    await bastion.must(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1']);
    await dropEverything(bastion, firewall);
    if (firewall === 'nftables') await bastion.must(['nft', '-f', '-'], FORWARD_DROP);
    else
      await bastion.must([
        'iptables',
        '-A',
        'FORWARD',
        '-m',
        'conntrack',
        '--ctstate',
        'ESTABLISHED',
        '-j',
        'ACCEPT',
      ]);
    await listen(bastion, 'bastion');
    await listen(inside, 'inside');
    return { operator, bastion, scratch, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/**
 * What answers at ports of the bastion, all tried at once: a listener's name; `refused`, the firewall let the connection through
 * and nobody listens; `silent`, it did not.
 */
export async function doorsOf(
  operator: Namespace,
  ports: readonly number[],
  limitMs = 500,
): Promise<ReadonlyMap<number, string>> {
  const command = [process.execPath, '-e', KNOCK, ADDRESSES.bastion, String(limitMs)];
  const answer = await operator.must(command, JSON.stringify(ports));
  return new Map(JSON.parse(answer) as [number, string][]);
}

const FORWARD_DROP = `
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
  }
}
`;

/** Listens until the host ends, and says `name` to whoever connects. */
async function listen(host: Namespace, name: string): Promise<void> {
  const child = host.spawn([process.execPath, '-e', LISTEN, name, String(SERVICE)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let isUp = false;
  child.stdout?.once('data', () => {
    isUp = true;
  });
  await until(`${name} listens`, () => isUp);
}

const LISTEN = `
  const [name, port] = process.argv.slice(1);
  require('node:net').createServer((socket) => socket.on('error', () => {}).end(name)).listen(Number(port), () => console.log('up'));`;

const KNOCK = `
  const ports = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
  const doors = ports.map((port) => new Promise((resolve) => {
    let said = '';
    const socket = require('node:net').connect({ host: process.argv[1], port });
    const end = (text) => { clearTimeout(timer); socket.destroy(); resolve([port, text]); };
    socket.on('data', (chunk) => { said += chunk; });
    socket.on('end', () => end(said));
    socket.on('error', (error) => end(error.code === 'ECONNREFUSED' ? 'refused' : 'error ' + error.code));
    const timer = setTimeout(() => end('silent'), Number(process.argv[2]));
  }));
  Promise.all(doors).then((answers) => process.stdout.write(JSON.stringify(answers)));`;
