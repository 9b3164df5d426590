import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan, Roster } from 'spa-core';
import {
  type Browser,
  createScratch,
  lacking,
  openBrowser,
  type Scratch,
  type Tab,
  type View,
} from 'spa-lab';
import t, { type Test } from 'tap';
import { auditPage as auditText } from '../src/roster/picture/audit-page.ts';
import { visible } from '../src/roster/picture/markup.ts';
import { planPage as planText } from '../src/roster/picture/plan-page.ts';
import { makeFleet } from './keys-fleet.ts';
import { DAY, madeOf, NOW, planOf, rosterOf } from './picture-support.ts';

/** What is asserted here is what the browser has drawn, on a host that reaches nothing. */
t.test('pages in a real browser', { skip: lacking('chromium') }, async (t) => {
  const scratch = createScratch();
  t.teardown(() => scratch.remove());
  const browser = await openBrowser(t);
  const roster = rosterOf({ operators: 30, bastions: 20 });
  const plan = planOf(roster, {
    key: (party, at) =>
      party.name === 'carol'
        ? { state: 'expired', reason: 'expired on 2026-11-01', expiresAtSeconds: NOW - 21 * DAY }
        : at === 6
          ? { state: 'expiring', reason: 'ends in 12 days', expiresAtSeconds: NOW + 12 * DAY }
          : {},
    certification: (at) => (at === 0 ? 'missing' : at === 41 ? 'expiring' : 'ok'),
  });
  const { open } = opener(browser, scratch);

  t.test('who can open which bastion is seen, sign by sign', async (t) => {
    const tab = await open(planPage(roster, plan));
    const cells = await tab.evaluate<readonly Seen[]>(`${SEEN}('#access')`);
    t.equal(cells.length, 30 * 20, 'a cell for each operator and bastion');
    const at = (operator: string, bastion: string): Seen | undefined =>
      cells.find((cell) => cell.row.startsWith(operator) && cell.column === bastion);
    t.match(at('frank', 'bastion-01'), { sign: '●', look: 'ok' });
    t.match(at('bob', 'bastion-05'), { sign: 'A', look: 'other', title: 'tcp/22, tcp/5432, 60 s' });
    t.match(at('carol', 'bastion-09'), { sign: '!', look: 'wrong', title: /key of carol: expired/ });
    t.match(at('alice', 'bastion-01'), { sign: '!', title: /bastion-01's certification of alice: missing/ });
    t.match(at('bob', 'bastion-20'), { sign: '' });
    t.match(at('dolores', 'bastion-01'), { row: /revoked/, sign: '' });
    t.ok(
      cells.every(({ width, height }) => width >= 16 && height >= 16),
      'each is large enough to be seen',
    );
    t.equal(new Set(cells.map(({ x, y }) => `${x} ${y}`)).size, cells.length, 'and none covers another');
    await isSound(tab, t);
  });

  t.test('lines lead from people to bastions, and what does not work is dashed', async (t) => {
    const tab = await open(planPage(roster, plan));
    const graph = await tab.evaluate<{
      boxes: readonly string[];
      lines: number;
      dashed: number;
      outside: number;
    }>(`(() => {
      const svg = document.querySelector('.graph svg');
      const frame = svg.getBoundingClientRect();
      const isOutside = (box) => box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
      const paths = [...svg.querySelectorAll('path')];
      return {
        boxes: [...svg.querySelectorAll('.box')].map((box) => [...box.querySelectorAll('text')].map((text) => text.lastChild.data).join(' ')),
        lines: paths.length,
        dashed: paths.filter((path) => getComputedStyle(path).strokeDasharray !== 'none').length,
        outside: [...svg.querySelectorAll('text, rect, path')].filter((part) => isOutside(part.getBoundingClientRect())).length,
      };
    })()`);
    t.equal(graph.boxes.length, 10, 'five groups of operators, five of bastions');
    t.match(graph.boxes[0], /^6 operators · admin alice frank karl peggy ursula zoe$/);
    t.equal(graph.lines, 5 + 2 + 2 + 2 + 2);
    t.equal(graph.dashed, 1 + 2, "alice's way to bastion-01, and carol's two regions");
    t.equal(graph.outside, 0, 'nothing is cut off');
  });

  t.test('the matrix of certifications tells both directions and their dates', async (t) => {
    const tab = await open(auditPage(roster, plan));
    const cells = await tab.evaluate<readonly Seen[]>(`${SEEN}('#certifications')`);
    const signs = new Map<string, number>();
    for (const { sign } of cells) signs.set(sign, (signs.get(sign) ?? 0) + 1);
    t.equal(signs.get('M✓'), 1);
    t.equal((signs.get('✓S') ?? 0) + (signs.get('S✓') ?? 0), 1);
    const fine = cells.find(({ sign }) => sign === '✓');
    t.match(
      fine?.title,
      /^bastion-\d+ → \w+: fine, made 2026-10-13 \d\d:00, until 2027-10-13; \w+ → bastion-\d+: fine/,
    );
    const record = await tab.evaluate<string>(`document.querySelector('#record tbody').innerText`);
    t.match(record, /alice\s+Somebody <somebody@example.org>/);
    await isSound(tab, t);
  });

  t.test('what is about to end is told first, with the days left', async (t) => {
    const tab = await open(planPage(roster, plan));
    const rows = await tab.evaluate<readonly string[]>(
      `[...document.querySelectorAll('#ends table.list tbody tr')].map((row) => row.innerText.replaceAll(/\\s+/g, ' '))`,
    );
    t.strictSame(rows, [
      '2026-11-01 21 days ago 1 key of carol',
      '2026-12-04 in 12 days 1 key of frank',
      '2027-01-01 in 40 days access of erin',
    ]);
    const top = await tab.evaluate<string>(`document.querySelector('.verdict').innerText.trim()`);
    t.match(top, /Not clean: 1 key and 1 certification not in order/);
  });

  t.test('by day, by night and on paper every sign and text stands out from what is behind it', async (t) => {
    const tab = await open(planPage(roster, plan));
    const grounds: string[] = [];
    for (const view of [
      { scheme: 'light' },
      { scheme: 'dark' },
      { scheme: 'light', media: 'print' },
    ] as const) {
      await tab.look(view);
      const { faint, ground } = await tab.evaluate<{ faint: readonly string[]; ground: string }>(CONTRAST);
      t.strictSame(faint, [], JSON.stringify(view));
      grounds.push(ground);
    }
    t.equal(new Set(grounds.slice(0, 2)).size, 2, 'the night is dark');
    t.equal((await tab.paper()).subarray(0, 5).toString(), '%PDF-');
    await isSound(tab, t);
  });

  t.test('on a narrow screen only the tables scroll sideways, not the page', async (t) => {
    for (const page of [planPage, auditPage]) {
      const tab = await open(page(roster, plan), { width: 400, height: 800 });
      await isSound(tab, t);
    }
  });

  t.test(
    'typing a name leaves its rows and columns; without scripts all is there and no field',
    async (t) => {
      const tab = await open(planPage(roster, plan));
      const shown = async (word: string): Promise<readonly Seen[]> => {
        await tab.evaluate(`new Promise((done) => {
        const field = document.querySelector('#filter input');
        field.value = ${JSON.stringify(word)};
        field.dispatchEvent(new Event('input'));
        setTimeout(done, 300);
      })`);
        return (await tab.evaluate<readonly Seen[]>(`${SEEN}('#access')`)).filter(({ width }) => width > 0);
      };
      const alice = await shown('ALICE');
      t.strictSame([...new Set(alice.map(({ row }) => row))], ['alice']);
      t.equal(alice.length, 20);
      const place = await shown('bastion-07');
      t.strictSame([...new Set(place.map(({ column }) => column))], ['bastion-07']);
      t.equal(place.length, 30);
      t.match(await shown('nobody at all'), []);
      t.match(await tab.evaluate(`document.getElementById('filtered').innerText`), 'nothing has that name');
      t.equal((await shown('')).length, 600);
      await isSound(tab, t);
      const still = await open(planPage(roster, plan), { hasScripts: false });
      const field = await still.evaluate<number>(
        `document.getElementById('filter').getBoundingClientRect().width`,
      );
      t.equal(field, 0);
      t.equal((await still.evaluate<readonly Seen[]>(`${SEEN}('#access')`)).length, 600);
      await isSound(still, t);
    },
  );

  t.test('names made to break out are shown as names', async (t) => {
    const word = `"><img src=x onerror=alert(1)></td></style><script>alert(1)</script><!-- '&lt;\u202e\0א`;
    const nasty = rosterOf({ operators: 8, bastions: 6, nameOf: (kind, at) => `${at}${kind}${word}` });
    for (const page of [planPage, auditPage]) {
      const tab = await open(page(nasty, planOf(nasty)));
      const seen = await tab.evaluate<{ title: string; heads: readonly string[]; foreign: number }>(`({
        title: document.title,
        heads: [...document.querySelectorAll('#keys tbody th bdi')].map((name) => name.textContent),
        foreign: document.querySelectorAll('img, iframe, object, embed, link, form, base, script:not(:last-child)').length,
      })`);
      t.match(seen.title, visible(`0roster${word}`));
      t.ok(seen.heads.includes(visible(`0operator${word}`)));
      t.equal(seen.foreign, 0);
      await isSound(tab, t);
    }
  });

  t.test(
    '300 operators on 200 bastions can be looked at: names stay in sight wherever one scrolls',
    async (t) => {
      const large = rosterOf({ operators: 300, bastions: 200 });
      const tab = await open(planPage(large, planOf(large)));
      const seen = await tab.evaluate<Readonly<Record<string, boolean | number>>>(`(async () => {
      document.documentElement.style.scrollBehavior = 'auto';
      const matrix = document.querySelector('#access .matrix');
      matrix.closest('details').open = true;
      const window_ = matrix.parentElement;
      const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      await drawn();
      window_.scrollIntoView();
      await drawn();
      window_.scrollTo(2000, 3000);
      await drawn();
      const frame = window_.getBoundingClientRect();
      const middle = document.elementFromPoint(frame.left + frame.width / 2, frame.top + frame.height / 2);
      const cell = middle.closest('td');
      const row = cell.parentElement.cells[0].getBoundingClientRect();
      const head = matrix.tHead.rows[1].cells[cell.cellIndex - 1].getBoundingClientRect();
      return {
        cells: matrix.tBodies[0].querySelectorAll('td').length,
        rowName: row.left >= frame.left - 1 && row.right < frame.right,
        columnName: head.top >= frame.top - 1 && head.bottom < frame.top + frame.height / 2,
        aligned: Math.abs(head.left - cell.getBoundingClientRect().left) < 2,
      };
    })()`);
      t.strictSame(seen, { cells: 60_000, rowName: true, columnName: true, aligned: true });
      await isSound(tab, t);
    },
  );

  t.test('where an authority certifies, its list stands in the place of the matrix', async (t) => {
    const central = rosterOf({ operators: 30, bastions: 20, topology: 'authority' });
    const tab = await open(auditPage(central, centralPlan(central)));
    const rows = await tab.evaluate<readonly string[]>(
      `[...document.querySelectorAll('#certifications tbody tr')].map((row) => row.innerText.replaceAll(/\\s+/g, ' '))`,
    );
    t.equal(rows.length, 29 + 20 + 1, 'one for each who is in, and one for a key that retires');
    t.match(rows[0], /^bob operator .*missing – – –$/);
    const [closed] = (await tab.evaluate<readonly Seen[]>(`${SEEN}('#access')`)).filter(
      ({ sign }) => sign === '!',
    );
    t.match(closed, { row: 'bob', title: /Example Org's certification of bob: missing/ });
    await isSound(tab, t);
  });
});

t.test('the pages that spa-keys writes', { skip: lacking('chromium') }, async (t) => {
  const fleet = await makeFleet(t, 'mutual', { operators: 3, bastions: 2 });
  const browser = await openBrowser(t);
  const file = join(fleet.secrets, 'page.html');
  const verdictOf = async (): Promise<string> => {
    const tab = await browser.open(file);
    await isSound(tab, t);
    return tab.evaluate<string>(
      `document.querySelector('.verdict').innerText.replaceAll(/\\s+/g, ' ').trim()`,
    );
  };

  t.test('plan says what it says without a picture, and writes one for nobody but its owner', async (t) => {
    const { code, stdout } = await fleet.run('plan');
    t.match(await fleet.run('plan', '--graph', file), { code, stdout, stderr: '' });
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.equal(await verdictOf(), '! Not clean: 12 certifications not in order. 6 ways in do not work.');
  });

  t.test('once all is signed the same file is replaced and says clean', async (t) => {
    await fleet.run('sign');
    t.match(await fleet.run('plan', '--graph', file), { code: 0 });
    t.equal(await verdictOf(), '✓ Clean: everything that the roster asks for is there and valid.');
  });

  t.test('audit tells who certified whom', async (t) => {
    t.match(await fleet.run('audit', '--html', file), { code: 0 });
    t.equal(await verdictOf(), '✓ Clean: everything that the roster asks for is there and valid.');
    const tab = await browser.open(file);
    const record = await tab.evaluate<readonly string[]>(
      `[...document.querySelectorAll('#record tbody tr')].map((row) => row.innerText.replaceAll(/\\s+/g, ' ').trim())`,
    );
    t.equal(record.length, 5, 'a row for each whom the others certified alike');
    t.match(
      record[0],
      /^op1 op1 <op1@example.org> b1, b2 ✓ fine \d{4}-\d\d-\d\d \d\d:\d\d \d{4}-\d\d-\d\d everybody$/,
    );
  });

  t.test('where it cannot be written, that is said in one line', async (t) => {
    const nowhere = join(fleet.secrets, 'no', 'page.html');
    t.match(await fleet.run('plan', '--graph', nowhere), { code: 78, stderr: /^[^\n]*page\.html[^\n]*\n$/ });
  });
});

function planPage(roster: Roster, plan: Plan): string {
  return planText(roster, plan, 'good');
}

function auditPage(roster: Roster, plan: Plan): string {
  return auditText(roster, plan, madeOf(plan), 'good');
}

function centralPlan(roster: Roster): Plan {
  return planOf(roster, { certification: (at) => (at === 1 ? 'missing' : 'ok') });
}

/** A cell of a matrix as it is drawn. */
interface Seen {
  readonly row: string;
  readonly column: string;
  readonly sign: string;
  readonly look: string;
  readonly title: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const SEEN = `((section) => {
  const matrix = document.querySelector(section + ' .matrix');
  const columns = [...matrix.tHead.rows[1].cells].map((cell) => cell.textContent);
  return [...matrix.tBodies[0].rows].flatMap((row) => [...row.cells].slice(1).map((cell, at) => {
    const { x, y, width, height } = cell.getBoundingClientRect();
    return { row: row.cells[0].innerText, column: columns[at], sign: cell.innerText.trim(), look: cell.className.split(' ')[0], title: cell.title, x, y, width, height };
  }));
})`;

/** Texts with less than 4.5 to 1 (WCAG 2, AA) between them and what is behind them, and the page's own ground. */
const CONTRAST = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgb(colour).slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgb(colour)[3] > 0) return colour;
    }
    return 'white';
  };
  const faint = new Set();
  for (const element of document.querySelectorAll('main *, header *')) {
    if (element.closest('svg') || ![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '')) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) faint.add(element.localName + '.' + element.className + ' ' + contrast.toFixed(2));
  }
  return { faint: [...faint], ground: getComputedStyle(document.body).backgroundColor };
})()`;

function opener(browser: Browser, scratch: Scratch): { open(page: string, view?: View): Promise<Tab> } {
  let count = 0;
  return {
    open: (page, view) => {
      const file = scratch.path(`page-${count++}.html`);
      writeFileSync(file, page);
      return browser.open(file, view);
    },
  };
}

/** Nothing was complained of, nobody was asked, and the page is not wider than the window. */
async function isSound(tab: Tab, t: Test): Promise<void> {
  t.strictSame(tab.complaints, []);
  t.match(tab.requests, [/^file:/]);
  t.equal(tab.requests.length, 1, 'nothing but the page itself was asked for');
  const [wide, window] = await tab.evaluate<readonly [number, number]>(
    '[document.documentElement.scrollWidth, innerWidth]',
  );
  t.ok(wide <= window, `${wide} of ${window} pixels`);
}
