/**
 * The only script of a page, without which it shows everything: a field that leaves the rows, and the columns of matrices,
 * whose names contain what is typed. It makes no markup.
 */
export const FILTER_SCRIPT = `'use strict';
{
  const label = document.getElementById('filter');
  const field = label.querySelector('input');
  const status = document.getElementById('filtered');
  const tables = [...document.querySelectorAll('table.filtered')].map((table) => {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => ({
      row,
      text: [...row.querySelectorAll('th, .names')].map((cell) => cell.textContent.toLowerCase()).join(' '),
    }));
    const heads = table.matches('.matrix') ? [...table.tHead.rows[1].cells] : [];
    const regions = heads.length === 0 ? [] : [...table.tHead.rows[0].cells].slice(1);
    return { rows, heads, regions: regions.map((cell) => ({ cell, count: cell.colSpan })) };
  });
  const filter = () => {
    const word = field.value.trim().toLowerCase();
    let shown = 0;
    for (const { rows, heads, regions } of tables) {
      const columns = heads.map((head) => head.textContent.toLowerCase().includes(word));
      const anyColumn = columns.includes(true);
      const anyRow = rows.some(({ text }) => text.includes(word));
      for (const { row, text } of rows) {
        const isShown = anyRow ? text.includes(word) : anyColumn;
        row.hidden = !isShown;
        if (isShown) shown += 1;
        if (heads.length === 0) continue;
        for (let at = 1; at < row.cells.length; at += 1) row.cells[at].hidden = anyColumn && !columns[at - 1];
      }
      heads.forEach((head, at) => { head.hidden = anyColumn && !columns[at]; });
      let at = 0;
      for (const { cell, count } of regions) {
        const left = anyColumn ? columns.slice(at, at + count).filter(Boolean).length : count;
        cell.hidden = left === 0;
        cell.colSpan = Math.max(left, 1);
        at += count;
      }
    }
    status.textContent = word === '' ? '' : shown === 0 ? 'nothing has that name' : shown + ' rows';
  };
  let waiting = 0;
  field.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  label.hidden = false;
}
`;
