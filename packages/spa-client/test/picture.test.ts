import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { CertificationStanding, Plan, Roster } from 'spa-core';
import t from 'tap';
import { auditPage } from '../src/roster/picture/audit-page.ts';
import { html, shortened, visible } from '../src/roster/picture/markup.ts';
import { planPage } from '../src/roster/picture/plan-page.ts';
import { DAY, madeOf, NOW, planOf, rosterOf } from './picture-support.ts';

const PAGES: Readonly<Record<string, (roster: Roster, plan: Plan) => string>> = {
  plan: (roster, plan) => planPage(roster, plan, 'good'),
  audit: (roster, plan) => auditPage(roster, plan, madeOf(plan), 'good'),
};

t.test('a page allows nothing but the style and the script that are in it, and names no address', (t) => {
  const roster = rosterOf({ operators: 30, bastions: 20 });
  for (const [name, page] of Object.entries(PAGES)) {
    const text = page(roster, planOf(roster));
    const style = digest(/<style>([\s\S]*?)<\/style>/.exec(text)?.[1] ?? '');
    const script = digest(/<script>([\s\S]*?)<\/script>/.exec(text)?.[1] ?? '');
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(text)?.[1]?.replaceAll('&#39;', "'");
    t.equal(
      policy,
      `default-src 'none'; style-src '${style}'; script-src '${script}'; base-uri 'none'; form-action 'none'`,
      name,
    );
    t.notMatch(
      text,
      /\b(?:src|srcset|action|data|poster|style|on\w+)=|url\(|@import|https?:/,
      `${name} asks nobody`,
    );
    t.match(text, /^<!DOCTYPE html>\n<html lang="en">/);
    const targets = [...text.matchAll(/href="([^"]*)"/g)].map(([, target = '']) => target);
    t.ok(
      targets.length > 0 && targets.every((target) => text.includes(`id="${target.slice(1)}"`)),
      'links lead to parts',
    );
  }
  t.end();
});

t.test('whatever anything is called, a page has the same elements with the same attributes', (t) => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc
      .array(
        fc.constantFrom(
          '<',
          '>',
          '"',
          "'",
          '&',
          '</td>',
          '<script>',
          '<!--',
          '-->',
          ']]>',
          '&lt',
          '\u202e',
          '\0',
          '\n',
          'א',
          '`',
          '=',
          '/',
          ' onload=',
          '</style>',
          '</title>',
          '\ud800',
        ),
        { maxLength: 8 },
      )
      .map((parts) => parts.join('')),
  );
  const names = fc.array(hostile, { minLength: 7, maxLength: 7 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(names, (words) => {
        const shape = { operators: 7, bastions: 6 };
        const kinds = ['roster', 'operator', 'bastion', 'region', 'reason', 'full', 'role'];
        // What they are called differs by its index: the same name twice would be another fleet.
        const nasty = dressed(
          rosterOf({ ...shape, nameOf: (kind, at) => `${words[kinds.indexOf(kind)] ?? ''}${at}` }),
          words[6] ?? '',
        );
        const plain = dressed(rosterOf({ ...shape, nameOf: (kind, at) => `${kind}${at}` }), 'x');
        for (const page of Object.values(PAGES)) {
          if (skeleton(page(nasty.roster, nasty.plan)) !== skeleton(page(plain.roster, plain.plan)))
            return false;
        }
        return true;
      }),
      { numRuns: 40 },
    ),
  );
  t.end();
});

t.test('a text in markup is neither an element nor the end of a value, and comes out as it was', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { markup } = html`<p title="${text}">${text}</p>`;
        const match = /^<p title="([^"<>]*)">([^"<>]*)<\/p>$/.exec(markup);
        return (
          match !== null && unescaped(match[1]) === visible(text) && unescaped(match[2]) === visible(text)
        );
      }),
    ),
  );
  t.end();
});

t.test('what could not be seen is made visible, and names in other scripts stay as they are', (t) => {
  t.equal(visible('a\u202eb\0c\u2028\ud800'), 'a⟦U+202E⟧b⟦U+0000⟧c⟦U+2028⟧⟦U+D800⟧');
  t.equal(visible('Ünal אבג 李 🦊'), 'Ünal אבג 李 🦊');
  t.equal(shortened('🦊🦊🦊🦊', 3), '🦊🦊…');
  t.equal(shortened('abc', 3), 'abc');
  t.end();
});

t.test('the line at the top says clean, or what is wrong first', (t) => {
  const roster = rosterOf({ operators: 6, bastions: 4 });
  const line = (plan: Plan): string =>
    /class="verdict[\s\S]*?<\/span> ([^<]*)</.exec(planPage(roster, plan, 'good'))?.[1] ?? '';
  t.equal(line(planOf(roster)), 'Clean: everything that the roster asks for is there and valid.');
  const soon = planOf(roster, { certification: (at) => (at === 0 ? 'expiring' : 'ok') });
  t.equal(line(soon), 'Not clean: 1 certification to be renewed now. All works.');
  const wrong = planOf(roster, {
    key: (_, at) => (at === 0 ? { state: 'weak', reason: 'RSA of 1024 bits' } : {}),
    certification: (at) => (at < 2 ? 'key' : 'ok'),
  });
  t.match(line(wrong), /^Not clean: 1 key and 2 certifications not in order\. 4 ways in do not work\.$/);
  t.match(planPage(roster, wrong, 'good'), 'RSA of 1024 bits');
  const unwanted = madeOf(soon).slice(0, 2);
  t.match(line({ ...planOf(roster), unwanted }), /^Clean: .* 2 certifications more that nobody asks for\.$/);
  t.match(planPage(roster, planOf(roster), 'missing'), 'Not clean. Nobody has signed the roster.');
  t.match(planPage(roster, planOf(roster), 'wrong'), 'Not clean. The signature is not that of this roster.');
  t.end();
});

t.test('every state of a key and of a certification has a sign of its own', (t) => {
  const roster = rosterOf({ operators: 6, bastions: 4 });
  const states: readonly CertificationStanding['state'][] = [
    'ok',
    'missing',
    'expired',
    'expiring',
    'revoked',
    'weak',
    'key',
  ];
  const page = planPage(
    roster,
    planOf(roster, { certification: (at) => states[at % states.length] ?? 'ok' }),
    'good',
  );
  const legend = /Certifications<\/h2>[\s\S]*?<ul class="legend"[^>]*>([\s\S]*?)<\/ul>/.exec(page)?.[1] ?? '';
  const signs = [...legend.matchAll(/<span class="sign \w+">([^<]+)</g)].map(([, sign]) => sign);
  t.equal(signs.length, states.length);
  t.equal(new Set(signs).size, states.length);
  t.end();
});

t.test('300 operators on 200 bastions are a page of less than ten megabytes, whatever is the matter', (t) => {
  const all = rosterOf({ operators: 300, bastions: 200 });
  // Everybody everywhere: 120,000 certifications.
  const [first] = all.access;
  if (first === undefined) throw new TypeError('a rule was expected');
  const roster: Roster = {
    ...all,
    operators: all.operators.map((operator) => ({ ...operator, regions: null })),
    access: [{ ...first, who: ['everybody'], where: ['everywhere'] }],
  };
  // The most there can be to tell: all is there, and all is wrong.
  const plan = planOf(roster, { certification: () => 'expired' });
  t.ok(plan.certifications.length > 119_000);
  for (const [name, page] of Object.entries(PAGES)) {
    const megabytes = Buffer.byteLength(page(roster, plan)) / 1e6;
    t.ok(megabytes < 10, `${name}: ${megabytes.toFixed(1)} MB`);
  }
  t.end();
});

/** A plan in which something is the matter, with a word in all texts that are no names. */
function dressed(roster: Roster, word: string): { readonly roster: Roster; readonly plan: Plan } {
  const plan = planOf(roster, {
    key: (_, at) => (at === 1 ? { state: 'expired', reason: `x${word}`, expiresAtSeconds: NOW - DAY } : {}),
    certification: (at) => (at % 7 === 0 ? 'missing' : 'ok'),
  });
  return { roster, plan };
}

/** The elements and their attributes' names, as strict as a parser can be: all else is text. */
function skeleton(page: string): string {
  const tags = page.match(/<[^>]*>|<|>/g) ?? [];
  return tags.map((tag) => tag.replaceAll(/="[^"]*"/g, '=')).join('\n');
}

function unescaped(text = ''): string {
  const characters: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' };
  return text.replaceAll(/&(lt|gt|quot|#39|amp);/g, (_, name: string) => characters[name] ?? '');
}

function digest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
