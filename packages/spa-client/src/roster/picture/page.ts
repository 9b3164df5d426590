import { createHash } from 'node:crypto';
import { FILTER_SCRIPT } from './filter-script.ts';
import type { Fleet } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { STYLE } from './style.ts';
import { minuteOf } from './times.ts';
import { verdict } from './verdict.ts';

/** One part of a page. */
export interface Section {
  /** In a page's address: `#access`. */
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

/**
 * A whole page: text of HTML that asks nobody for anything. Only the style and the script that are in it are allowed to count,
 * by their digests; all else it says is text.
 */
export function pageOf(title: string, fleet: Fleet, sections: readonly Section[]): string {
  const { roster, plan } = fleet;
  const made = minuteOf(plan.nowSeconds);
  const page = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>${roster.name}: ${title}</title>
<style>${{ markup: STYLE }}</style>
</head>
<body>
<header>
<p class="kind">${title}</p>
<h1><bdi>${roster.name}</bdi> <span class="version">version ${roster.version}</span></h1>
<p class="made">${TOPOLOGIES[roster.topology]} As of <time datetime="${made.replace(' ', 'T')}Z">${made} UTC</time>.</p>
${verdict(fleet)}
<nav aria-label="Parts of this page">${sections.map(({ id, title: name }) => html`<a href="#${id}">${name}</a>`)}
<label id="filter" hidden>Show only <input type="search" name="filter" placeholder="name" autocomplete="off" spellcheck="false"></label>
<span id="filtered" role="status"></span></nav>
</header>
<main>
${sections.map(
  ({ id, title: name, body }) => html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${name}</h2>
${body}
</section>
`,
)}</main>
<footer><p>Who can open what is nobody else's business: keep this file as private as the roster.</p></footer>
<script>${{ markup: FILTER_SCRIPT }}</script>
</body>
</html>
`;
  return page.markup;
}

const TOPOLOGIES = {
  mutual: 'Operators and bastions certify each other.',
  authority: 'One authority certifies all.',
} as const;

const POLICY = [
  "default-src 'none'",
  `style-src '${digestOf(STYLE)}'`,
  `script-src '${digestOf(FILTER_SCRIPT)}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

function digestOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
