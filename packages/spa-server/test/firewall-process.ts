/** A daemon with no other work: installs, grants, says `granted`, and waits to be killed. Its task is argument 1. */
import type { GatePolicy, Grant } from '../src/firewall/firewall.ts';
import { type FirewallPlan, makeFirewall } from './firewall-plan.ts';

const task = JSON.parse(process.argv[2] ?? '') as {
  readonly plan: FirewallPlan;
  readonly policy: GatePolicy;
  readonly grant: Grant;
};
const firewall = makeFirewall(task.plan, []);
await firewall.install(task.policy, { flush: false, doors: [] });
await firewall.grant(task.grant);
process.stdout.write('granted\n');
// Keeps the process alive; ends it with the test.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
