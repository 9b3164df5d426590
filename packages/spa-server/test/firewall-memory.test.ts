import t from 'tap';
import { doorKey } from '../src/firewall/doors.ts';
import { createMemoryFirewall, createMemoryKernel, wipeMemoryKernel } from '../src/firewall/memory.ts';
import { type FirewallRig, testFirewall } from './firewall-contract.ts';

testFirewall(t, async (): Promise<FirewallRig> => {
  const kernel = createMemoryKernel();
  let passedMs = 0;
  const now = (): number => Date.now() + passedMs;
  const reaches: FirewallRig['reaches'] = async (from, port) =>
    (kernel.doors.get(doorKey({ address: from, port }))?.expiresAt ?? 0) > now();
  const open = (): ReturnType<FirewallRig['open']> => createMemoryFirewall({ now, kernel });
  return {
    open,
    grantAndDie: async (policy, grant) => {
      const firewall = open();
      await firewall.install(policy, { flush: false, doors: [] });
      await firewall.grant(grant);
    },
    reaches,
    waitUntilShut: async (from, port) => {
      while (await reaches(from, port)) passedMs += 1_000;
    },
    connect: async () => null,
    answersUdp: async () => null,
    wipe: async () => wipeMemoryKernel(kernel),
    dispose: async () => {},
  };
});
