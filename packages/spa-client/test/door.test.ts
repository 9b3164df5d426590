import { once } from 'node:events';
import { type AddressInfo, createServer, type Server as TcpServer } from 'node:net';
import t, { type Test } from 'tap';
import { type DoorEvent, openDoor } from '../src/door.ts';
import type { Doorway } from '../src/doorway.ts';
import { SendError } from '../src/send.ts';

const PATIENCE = { waitMs: 5_000, graceMs: 0 };

interface Knocks {
  readonly doorway: Doorway;
  readonly packets: readonly string[];
}

/** A doorway to `port` on 127.0.0.1 that remembers its packets, each with a number; `onPacket` hears how many there were. */
function doorwayTo(port: number, onPacket: (count: number) => void = () => {}): Knocks {
  const packets: string[] = [];
  let sealed = 0;
  const doorway: Doorway = {
    server: { address: '127.0.0.1', family: 4 },
    port,
    seal: async () => {
      sealed++;
      return `packet ${sealed}`;
    },
    send: async (packet) => {
      packets.push(packet);
      onPacket(packets.length);
      return '127.0.0.1';
    },
  };
  return { doorway, packets };
}

/** A port where nothing listens, and a way to change that. */
async function closedPort(t: Test): Promise<{ readonly port: number; readonly open: () => void }> {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  holder.close();
  await once(holder, 'close');
  let server: TcpServer | null = null;
  t.teardown(() => server?.close());
  const open = (): void => {
    server ??= createServer((socket) => socket.end()).listen(port, '127.0.0.1');
  };
  return { port, open };
}

const ignore = (): void => {};

t.test('a door that is open gets no packet, and no packet is made', async (t) => {
  const { port, open } = await closedPort(t);
  open();
  const { doorway, packets } = doorwayTo(port);
  const sealed: string[] = [];
  const watched = { ...doorway, seal: async () => `${sealed.push('one')}` };
  const result = await openDoor([async () => [watched]], { waitMs: 5_000, graceMs: 4_000 }, ignore);
  t.match(result, { state: 'open', packets: 0, localAddress: '127.0.0.1' });
  if (result.state === 'open') result.connection.destroy();
  t.same([packets, sealed], [[], []]);
});

t.test('a lost packet is followed by a fresh one', async (t) => {
  const { port, open } = await closedPort(t);
  const { doorway, packets } = doorwayTo(port, (count) => count === 3 && open());
  const result = await openDoor([async () => [doorway]], PATIENCE, ignore);
  t.match(result, { state: 'open', packets: 3 });
  if (result.state === 'open') result.connection.destroy();
  t.same(packets, ['packet 1', 'packet 2', 'packet 3']);
});

t.test('making the packet may take longer than waiting for the door', async (t) => {
  const { port, open } = await closedPort(t);
  const { doorway } = doorwayTo(port, open);
  const slow = {
    ...doorway,
    seal: () => new Promise<string>((resolve) => setTimeout(resolve, 400, 'typed')),
  };
  const result = await openDoor([async () => [slow]], { waitMs: 300, graceMs: 0 }, ignore);
  t.equal(result.state, 'open');
  if (result.state === 'open') result.connection.destroy();
});

t.test('an address to which no packet can be sent makes way for the next one', async (t) => {
  const { port, open } = await closedPort(t);
  const dead = {
    ...doorwayTo(1).doorway,
    send: async (): Promise<string> => {
      throw new SendError('2001:db8::1 port 62201/udp: the packet was not sent (ENETUNREACH)');
    },
  };
  const { doorway } = doorwayTo(port, open);
  const events: DoorEvent[] = [];
  const result = await openDoor([async () => [dead, doorway]], PATIENCE, (event) => events.push(event));
  t.match(result, { state: 'open', doorway: { port }, packets: 1 });
  if (result.state === 'open') result.connection.destroy();
  t.same(
    events.map((event) => event.kind),
    ['failed', 'sent'],
  );
});

t.test('a second address joins while the first is silent, and the first to open ends both', async (t) => {
  const [silent, other] = [await closedPort(t), await closedPort(t)];
  const first = doorwayTo(silent.port);
  const second = doorwayTo(other.port, other.open);
  const result = await openDoor([async () => [first.doorway, second.doorway]], PATIENCE, ignore);
  t.match(result, { state: 'open', doorway: { port: other.port } });
  if (result.state === 'open') result.connection.destroy();
  const sent = first.packets.length;
  t.ok(sent > 0);
  await new Promise((resolve) => setTimeout(resolve, 700));
  t.equal(first.packets.length, sent, 'nothing is sent any more');
});

t.test('the next host is looked up only when the one before has had its time', async (t) => {
  const [silent, other] = [await closedPort(t), await closedPort(t)];
  const first = doorwayTo(silent.port);
  const second = doorwayTo(other.port, other.open);
  const lookUps: number[] = [];
  const next = async (): Promise<readonly Doorway[]> => {
    lookUps.push(first.packets.length);
    return [second.doorway];
  };
  const result = await openDoor([async () => [first.doorway], next], { waitMs: 1_600, graceMs: 0 }, ignore);
  t.match(result, { state: 'open', doorway: { port: other.port } });
  if (result.state === 'open') result.connection.destroy();
  t.same(lookUps, [2], 'after half of the time, and two packets');
});

t.test('a host without an address makes way at once', async (t) => {
  const { port, open } = await closedPort(t);
  const nowhere = async (): Promise<readonly Doorway[]> => {
    throw new SendError('nowhere.test: no address found (ENOTFOUND)');
  };
  const { doorway } = doorwayTo(port, open);
  const result = await openDoor([nowhere, async () => [doorway]], PATIENCE, ignore);
  t.equal(result.state, 'open');
  if (result.state === 'open') result.connection.destroy();
  const none = await openDoor([nowhere], PATIENCE, ignore);
  t.match(none, { state: 'unsent', doorway: null, errors: [{ message: /nowhere.test/ }] });
});

t.test('a door that stays closed is given up after its time', async (t) => {
  const { port } = await closedPort(t);
  const { doorway, packets } = doorwayTo(port);
  const result = await openDoor([async () => [doorway]], { waitMs: 700, graceMs: 0 }, ignore);
  t.match(result, { state: 'refused', packets: 2, doorway: { port }, errors: [] });
  t.equal(packets.length, 2);
});

t.test('a key that cannot be used is no reason to go on', async (t) => {
  const { port } = await closedPort(t);
  const { doorway } = doorwayTo(port);
  const broken = {
    ...doorway,
    seal: async (): Promise<string> => {
      throw new TypeError('no key');
    },
  };
  await t.rejects(openDoor([async () => [broken]], PATIENCE, ignore), new TypeError('no key'));
});

t.test('when the network changes, a packet goes from the new address, and not a flood of them', async (t) => {
  const { port } = await closedPort(t);
  const { doorway, packets } = doorwayTo(port);
  // The packet says it left from elsewhere than the attempts to connect now come from.
  const moved = { ...doorway, send: (packet: string) => doorway.send(packet).then(() => '192.0.2.1') };
  await openDoor([async () => [moved]], { waitMs: 1_200, graceMs: 0 }, ignore);
  t.equal(packets.length, 3, 'after 0.25 s and 0.5 s more; the next would come after 0.75 s');
  const { doorway: still, packets: fewer } = doorwayTo(port);
  await openDoor([async () => [still]], { waitMs: 1_200, graceMs: 0 }, ignore);
  t.equal(fewer.length, 2, 'one at once, one after 0.5 s, the next after 1.5 s');
});
