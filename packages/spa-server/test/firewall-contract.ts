import { type IpAddress, type ProtoPort, parseIpAddress, parseProtoPort } from 'spa-core';
import { addresses } from 'spa-lab';
import type { Test } from 'tap';
import type { Door, DoorChange, Firewall, GatePolicy, Grant } from '../src/firewall/firewall.ts';
import type { Forward } from '../src/firewall/forward.ts';

/** One kernel with a firewall in it, and a client that tries its doors. */
export interface FirewallRig {
  /** A firewall object of a daemon that starts; several may work on the same kernel, one after the other. */
  open(): Firewall;
  /** Another daemon installs `policy`, keeping doors, gives `grant`, and is killed with SIGKILL. */
  grantAndDie(policy: GatePolicy, grant: Grant): Promise<void>;
  /** True as soon as a TCP connection from one of the client's addresses succeeds; false if none does for a while. */
  reaches(from: IpAddress, port: ProtoPort, patienceMs?: number): Promise<boolean>;
  /** Lets time pass until {@link reaches} is false. */
  waitUntilShut(from: IpAddress, port: ProtoPort): Promise<void>;
  /** Opens a connection that stays and resolves to a function that tells whether data still passes; null in a twin without packets. */
  connect(from: IpAddress, port: ProtoPort): Promise<(() => Promise<boolean>) | null>;
  /** True if a UDP packet to that port is answered; null in a twin without packets. */
  answersUdp(from: IpAddress, port: number): Promise<boolean | null>;
  /** What somebody else's flush or reload does: nothing of ours stays, and protected ports are as they were before us. */
  wipe(): Promise<void>;
  dispose(): Promise<void>;
}

export const client4: IpAddress = address(addresses.client4);
export const other4: IpAddress = address(addresses.other4);
export const client6: IpAddress = address(addresses.client6);
export const other6: IpAddress = address(addresses.other6);
export const ssh: ProtoPort = port('tcp/22');
/** A second protected port, on which the rig's host listens too. */
export const web: ProtoPort = port('tcp/8443');
export const policy: GatePolicy = {
  spaPorts: [{ protocol: 'udp', port: 62201 }],
  protectedPorts: [ssh, web],
  preFilter: null,
};

/** To a host behind the one with the firewall. */
const inside: Forward = {
  kind: 'nat',
  target: { address: other4, port: 22 },
  translates: true,
  sourceAs: null,
  all: false,
};

/** A grant of `tcp/22` for a minute to the client's first address, but for `changes`. */
export function grantOf(changes: Partial<Grant> = {}): Grant {
  return { id: 'a1'.repeat(32), address: client4, ports: [ssh], timeoutSeconds: 60, ...changes };
}

/** The contract of {@link Firewall}, as tests of `t`, each on a rig of its own that `makeRig` makes. */
export function testFirewall(t: Test, makeRig: () => Promise<FirewallRig>): void {
  const test = withRig(t, makeRig);

  test('a grant opens its ports to its address and to nobody else, and the list says so', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    t.equal(await rig.reaches(client4, ssh), false, 'shut before');
    const before = Date.now();
    const { expiresAt } = await firewall.grant(grantOf());
    t.ok(expiresAt > before + 50_000 && expiresAt <= Date.now() + 60_000 + rigSlackMs, 'says until when');
    t.equal(await rig.reaches(client4, ssh, 5_000), true, 'open after');
    t.equal(await rig.reaches(other4, ssh), false, 'another address stays out');
    t.equal(await rig.reaches(client4, web), false, 'another port stays shut');
    const doors = await firewall.list();
    t.match(doors, [{ address: client4, port: ssh, grantId: grantOf().id }]);
    t.ok(doors.every(({ remainingSeconds }) => remainingSeconds > 50 && remainingSeconds <= 60));
    await firewall.flush();
    t.same(await firewall.list(), [], 'flushed');
    t.equal(await rig.reaches(client4, ssh), false, 'shut after a flush');
    await firewall.close({ flush: true });
  });

  test('an IPv6 address gets its door as an IPv4 address does', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    t.equal(await rig.reaches(client6, ssh), false);
    await firewall.grant(grantOf({ address: client6 }));
    t.equal(await rig.reaches(client6, ssh, 5_000), true);
    t.equal(await rig.reaches(other6, ssh), false);
    t.match(await firewall.list(), [{ address: client6, port: ssh, grantId: grantOf().id }]);
    await firewall.close({ flush: true });
  });

  test('a door shuts by itself after a daemon that was killed, and a session through it lives on', async (t, rig) => {
    await rig.grantAndDie(policy, grantOf({ timeoutSeconds: 4 }));
    const isAlive = await rig.connect(client4, ssh);
    await rig.waitUntilShut(client4, ssh);
    if (isAlive !== null) t.equal(await isAlive(), true, 'data still passes');
    const next = rig.open();
    t.same(await next.list(), []);
    await next.close({ flush: true });
  });

  test('doors survive a crash and a new start without flush, and none survives one with flush', async (t, rig) => {
    await rig.grantAndDie(policy, grantOf());
    const second = rig.open();
    await second.install(policy, { flush: false, doors: [] });
    t.equal(await rig.reaches(client4, ssh, 5_000), true, 'still open');
    await second.grant(grantOf({ timeoutSeconds: 5 }));
    t.ok(isOpenFor(await second.list(), 40), 'not shortened by the next daemon');
    await second.close({ flush: false });
    const third = rig.open();
    t.match(await third.list(), [{ address: client4 }], 'open after an orderly end without flush');
    await third.install(policy, { flush: true, doors: [] });
    t.same(await third.list(), []);
    t.equal(await rig.reaches(client4, ssh), false, 'shut');
    await third.close({ flush: true });
  });

  test('the same grant again extends its door, and never doubles or shortens it', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf({ timeoutSeconds: 5 }));
    await firewall.grant(grantOf({ timeoutSeconds: 60, id: 'b2' }));
    const extended = await firewall.list();
    t.equal(extended.length, 1);
    t.ok(isOpenFor(extended, 50), 'extended');
    await firewall.grant(grantOf({ timeoutSeconds: 5, id: 'c3' }));
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf({ timeoutSeconds: 5, id: 'd4', ports: [ssh, web] }));
    const after = await firewall.list();
    t.equal(after.length, 2, 'the other port of the grant was opened');
    t.match(
      after.find((door) => door.port.port === ssh.port),
      { grantId: 'b2' },
      'left as it was',
    );
    t.ok(isOpenFor(after, 40));
    await firewall.close({ flush: true });
  });

  test('many grants at once are each confirmed', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const wanted = Array.from({ length: 200 }, (_, index) =>
      grantOf({ id: `e${index}`, address: address(`10.9.${index >> 4}.${index & 15}`), ports: [ssh, web] }),
    );
    await Promise.all(wanted.map((grant) => firewall.grant(grant)));
    const ids = new Set((await firewall.list()).map((door) => door.grantId));
    t.equal(ids.size, 200);
    t.equal((await firewall.list()).length, 400);
    await firewall.close({ flush: true });
  });

  test('a change brings doors to exactly what it says, and others stay', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf({ ports: [ssh, web] }));
    await firewall.grant(grantOf({ address: client6 }));
    const base = { address: client4, port: ssh, grantId: 'b2' };
    await firewall.adjust([
      { ...base, timeoutSeconds: 20 },
      { ...base, port: web, timeoutSeconds: null },
      { ...base, address: other6, timeoutSeconds: 30 },
      { ...base, address: other4, timeoutSeconds: null },
    ]);
    const doors = await firewall.list();
    t.equal(doors.length, 3);
    const [shortened, unchanged, opened] = [client4, client6, other6].map((address) =>
      doors.find((door) => door.address === address),
    );
    t.match(shortened, { port: ssh, grantId: 'b2' });
    t.ok(within(shortened, 10, 20), 'shortened');
    t.ok(within(unchanged, 40, 60), 'left as it was');
    t.ok(within(opened, 20, 30), 'opened');
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await rig.reaches(client4, web), false, 'shut');
    await firewall.grant(grantOf({ timeoutSeconds: 40 }));
    t.ok(isOpenFor(await firewall.list(), 30), 'a grant extends what was shortened');
    await firewall.adjust([{ ...base, timeoutSeconds: null }]);
    t.equal(await rig.reaches(client4, ssh), false);
    await firewall.adjust([]);
    await firewall.close({ flush: true });
  });

  test('a change that no rule can hold is a fault of the program', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const right: DoorChange = { address: client4, port: ssh, timeoutSeconds: 30, grantId: null };
    const wrong: readonly Partial<DoorChange>[] = [
      { grantId: 'x" drop' },
      { timeoutSeconds: 0 },
      { timeoutSeconds: Number.NaN },
      { timeoutSeconds: 1e9 },
      { port: { protocol: 'tcp', port: 0 } },
      { address: 'localhost; drop' as IpAddress },
    ];
    for (const changes of wrong) {
      await t.rejects(firewall.adjust([right, { ...right, ...changes }]), RangeError);
      await t.rejects(
        firewall.install(policy, { flush: true, doors: [{ ...right, ...changes }] }),
        RangeError,
      );
    }
    t.same(await firewall.list(), []);
    await firewall.close({ flush: true });
  });

  test("somebody else's flush is noticed, and all comes back in one change with the doors", async (t, rig) => {
    const firewall = rig.open();
    t.equal(await firewall.isIntact(), false, 'nothing was put in place yet');
    await firewall.install(policy, { flush: false, doors: [] });
    t.equal(await firewall.isIntact(), true);
    await firewall.grant(grantOf());
    await firewall.grant(grantOf({ address: client6 }));
    t.equal(await firewall.isIntact(), true, 'doors make no difference');
    await rig.wipe();
    t.equal(await firewall.isIntact(), false);
    const doors: readonly DoorChange[] = [client4, client6].map((address) => {
      return { address, port: ssh, timeoutSeconds: 25.5, grantId: 'b2' };
    });
    await firewall.install(policy, { flush: false, doors });
    t.equal(await firewall.isIntact(), true);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await rig.reaches(client6, ssh, 5_000), true);
    t.equal(await rig.reaches(other4, ssh), false);
    const back = await firewall.list();
    t.equal(back.length, 2);
    t.ok(back.every((door) => door.grantId === 'b2' && within(door, 15, 25)));
    await firewall.install({ ...policy, protectedPorts: [ssh] }, { flush: false, doors: [] });
    t.equal(await firewall.isIntact(), true, 'after a reload');
    await firewall.close({ flush: true });
  });

  test('doors that an install brings shorten none, and with flush they are all there is', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf({ ports: [ssh, web] }));
    const doors = [{ address: client4, port: ssh, timeoutSeconds: 10, grantId: 'b2' }];
    await firewall.install(policy, { flush: false, doors });
    t.match(
      (await firewall.list()).find((door) => door.port.port === ssh.port),
      { grantId: grantOf().id },
    );
    t.ok(isOpenFor(await firewall.list(), 40));
    await firewall.install(policy, { flush: true, doors });
    const left = await firewall.list();
    t.match(left, [{ address: client4, port: ssh, grantId: 'b2' }]);
    t.ok(within(left[0], 1, 10));
    t.equal(await rig.reaches(client4, web), false);
    await firewall.close({ flush: true });
  });

  test('SPA packets arrive, before and after a reload with another port', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const isTwin = (await rig.answersUdp(client4, 62201)) === null;
    if (isTwin) {
      t.pass('a twin has no packets');
      return;
    }
    await firewall.grant(grantOf());
    t.equal(await rig.answersUdp(client4, 62201), true);
    t.equal(await rig.answersUdp(client6, 62201), true);
    const other = port('tcp/8080');
    const spaPorts = [port('udp/62202'), other];
    await firewall.install({ ...policy, spaPorts }, { flush: false, doors: [] });
    t.equal(await rig.answersUdp(client4, 62202), true, 'the new port');
    t.equal(await rig.reaches(client4, other), true, 'and one of TCP');
    t.match(await firewall.list(), [{ address: client4 }], 'the door is still open');
    await firewall.close({ flush: true });
  });

  test('a door that leads elsewhere is listed with where it leads, and goes as doors go', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install({ ...policy, forwards: true }, { flush: false, doors: [] });
    await firewall.grant(grantOf({ ports: [web], forward: inside }));
    await firewall.grant(grantOf());
    t.match(byPort(await firewall.list()), [{ port: ssh }, { port: web, forward: inside }]);
    const elsewhere = { ...inside, target: { address: other4, port: 23 } };
    await firewall.grant(grantOf({ ports: [web], forward: elsewhere, id: 'b2', timeoutSeconds: 30 }));
    t.match(byPort(await firewall.list()), [{ port: ssh }, { forward: elsewhere, grantId: 'b2' }]);
    await firewall.close({ flush: false });
    const next = rig.open();
    await next.install({ ...policy, forwards: true }, { flush: false, doors: [] });
    t.match(byPort(await next.list()), [{ port: ssh }, { port: web, forward: elsewhere }], 'kept');
    const shut = { address: client4, port: web, timeoutSeconds: null, grantId: null };
    await next.adjust([{ ...shut, forward: elsewhere }]);
    t.match(await next.list(), [{ port: ssh }]);
    await next.grant(grantOf({ ports: [web], forward: inside }));
    await next.flush();
    t.same(await next.list(), []);
    await next.close({ flush: true });
  });

  test('without NAT in the policy no door leads elsewhere', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const grant = grantOf({ ports: [web], forward: inside });
    await t.rejects(firewall.grant(grant), { name: 'FirewallError', message: /no stanza allows NAT/ });
    t.same(await firewall.list(), []);
    await firewall.close({ flush: true });
  });

  test('a grant that no rule can hold is a fault of the program', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const wrong: readonly Partial<Grant>[] = [
      { id: 'x" drop' },
      { id: '' },
      { timeoutSeconds: 0 },
      { timeoutSeconds: 1.5 },
      { ports: [] },
      { ports: [{ protocol: 'tcp', port: 65_536 }] },
      { address: 'localhost; drop' as IpAddress },
    ];
    for (const changes of wrong) await t.rejects(firewall.grant(grantOf(changes)), RangeError);
    t.same(await firewall.list(), []);
    await firewall.close({ flush: true });
  });
}

/** Makes tests of `t` that each get a rig of their own, and take it away also when they fail. A few run at once. */
export function withRig<Rig extends FirewallRig>(
  t: Test,
  makeRig: () => Promise<Rig>,
): (title: string, body: (t: Test, rig: Rig) => Promise<void>) => void {
  t.jobs = 4;
  return (title, body) => {
    t.test(title, { buffered: true }, async (t) => {
      const rig = await makeRig();
      t.teardown(() => rig.dispose());
      await body(t, rig);
    });
  };
}

/** A twin's clock may run ahead of ours by what its tests let pass. */
const rigSlackMs = 1_000;

function isOpenFor(doors: readonly Door[], seconds: number): boolean {
  return doors.some(
    (door) => door.address === client4 && door.port.port === ssh.port && door.remainingSeconds >= seconds,
  );
}

function byPort(doors: readonly Door[]): readonly Door[] {
  return [...doors].sort((a, b) => a.port.port - b.port.port);
}

function within(door: Door | undefined, atLeast: number, atMost: number): boolean {
  return door !== undefined && door.remainingSeconds >= atLeast && door.remainingSeconds <= atMost;
}

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (parsed === null) throw new TypeError(text);
  return parsed;
}

function port(text: string): ProtoPort {
  const parsed = parseProtoPort(text);
  if (parsed === null) throw new TypeError(text);
  return parsed;
}
