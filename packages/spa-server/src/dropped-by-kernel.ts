import { type Firewall, type FirewallCounter, FirewallError } from './firewall/firewall.ts';
import type { Report } from './report.ts';
import type { Reception } from './transport/reception.ts';

/** Tells `report`, at each call, what the kernel has dropped since the one before. */
export function createDropTeller(
  reception: Pick<Reception, 'lost'>,
  firewall: Pick<Firewall, 'counters'>,
  report: Pick<Report, 'lost'>,
): () => Promise<void> {
  const seen = new Map<string, number>();
  const tell = (reason: 'receive-buffer' | FirewallCounter['reason'], packets: number): void => {
    report.lost(reason, packets - (seen.get(reason) ?? 0));
    seen.set(reason, packets);
  };
  return async () => {
    const lost = reception.lost();
    if (lost !== null) tell('receive-buffer', lost);
    try {
      for (const { reason, packets } of await firewall.counters()) tell(reason, packets);
    } catch (error) {
      // Whoever opens a door, or looks whether the rules stand, says what is wrong.
      if (!(error instanceof FirewallError)) throw error;
    }
  };
}
