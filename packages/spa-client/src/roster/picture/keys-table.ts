import type { Fleet } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { stateElement } from './state-element.ts';
import { badness, STATES } from './states.ts';
import { dayElement, distanceTo } from './times.ts';
import { windowOf } from './window.ts';

/** All keys of the fleet, those that need somebody first, then the one that ends soonest. */
export function keysTable({ plan }: Fleet): Markup {
  const end = (seconds: number | null): number => seconds ?? Number.MAX_SAFE_INTEGER;
  const keys = [...plan.keys].sort(
    (one, other) =>
      badness(other.state) - badness(one.state) || end(one.expiresAtSeconds) - end(other.expiresAtSeconds),
  );
  return windowOf(
    'Keys',
    keys.length,
    html`<table class="list filtered">
<caption>The keys of everybody and everything</caption>
<thead><tr><th scope="col">Of</th><th scope="col">Kind</th><th scope="col">State</th><th scope="col">Ends</th><th scope="col">Left</th><th scope="col">Fingerprint</th></tr></thead>
<tbody>
${keys.map(({ party, key, state, reason, expiresAtSeconds }) => {
  const left = expiresAtSeconds === null ? '–' : distanceTo(expiresAtSeconds, plan.nowSeconds);
  const retires = party.retiring !== null && party.retiring.fingerprint === key.fingerprint;
  return html`<tr><th scope="row"><bdi>${party.name}</bdi>${retires ? html` <small>retires</small>` : null}</th><td>${party.kind}</td>
<td>${stateElement(STATES[state])}${reason === '' ? null : html` <small>${reason}</small>`}</td><td>${dayElement(expiresAtSeconds)}</td><td>${left}</td><td><code>${spaced(key.fingerprint)}</code></td></tr>
`;
})}</tbody>
</table>`,
  );
}

/** In fours, as people compare them. */
function spaced(fingerprint: string): string {
  return fingerprint.replaceAll(/(.{4})(?=.)/g, '$1 ');
}
