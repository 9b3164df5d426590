/** How the pages look: by day, by night and on paper. No element has a style of its own, so that its digest is all that counts. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #fbfbfa; --sheet: #fff; --ink: #1c2024; --faint: #5d666f; --rule: #dcdfe3; --hover: #eef3fb;
  --ok: #0b6b3a; --ok-ground: #dff3e6; --soon: #6b4a00; --soon-ground: #ffe6a3; --wrong: #fff; --wrong-ground: #b3261e;
  --other: #12488f; --other-ground: #dbe8fb; --alarm: #b3261e;
  --hue0: #2f6fbf; --hue1: #7a4fb5; --hue2: #0f7f7a; --hue3: #9a5b12; --hue4: #a8417f; --hue5: #55702a;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --sheet: #1b1f23; --ink: #e4e7ea; --faint: #9aa4ae; --rule: #343a41; --hover: #243040;
    --ok: #8fe0ae; --ok-ground: #143624; --soon: #ffd873; --soon-ground: #4a3700; --wrong: #fff; --wrong-ground: #c5362d;
    --other: #a9cbff; --other-ground: #1c3557; --alarm: #ff8a80;
    --hue0: #7db1f2; --hue1: #b795ea; --hue2: #5cc9c3; --hue3: #e0a55c; --hue4: #ea8fc4; --hue5: #a9c973;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
body > header, main, footer { max-width: 90rem; margin: 0 auto; padding: 0 1.5rem; }
body > header { padding-top: 1.75rem; }
.kind { margin: 0; color: var(--faint); text-transform: uppercase; letter-spacing: .09em; font-size: .78rem; font-weight: 600; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.25; font-weight: 650; }
h1 .version { font-size: 1rem; font-weight: 400; color: var(--faint); }
h2 { margin: 0 0 .75rem; font-size: 1.2rem; font-weight: 650; }
.made { margin: .2rem 0 1.1rem; color: var(--faint); }
.verdict { margin: 0 0 1rem; padding: .8rem 1rem; border: 1px solid var(--rule); border-left: 5px solid var(--ok); border-radius: 8px; background: var(--sheet); font-size: 1.08rem; font-weight: 600; }
.verdict.soon { border-left-color: #d29a00; }
.verdict.wrong { border-left-color: var(--alarm); }
.verdict.wrong { color: inherit; }
.figures { display: flex; flex-wrap: wrap; gap: .75rem; margin: 0 0 1rem; }
.figures div { flex: 1 1 10rem; padding: .6rem 1rem; border: 1px solid var(--rule); border-radius: 8px; background: var(--sheet); }
.figures dt { color: var(--faint); font-size: .82rem; }
.figures dd { margin: 0; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.figures small { font-size: .85rem; font-weight: 400; color: var(--faint); }
nav { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1.1rem; padding: .5rem 0; border-bottom: 1px solid var(--rule); }
a { color: var(--other); text-underline-offset: 3px; }
#filter { margin-left: auto; color: var(--faint); }
#filter[hidden] { display: none; }
#filter input { font: inherit; width: 11rem; padding: .2rem .6rem; border: 1px solid var(--rule); border-radius: 6px; background: var(--sheet); color: inherit; }
#filtered { color: var(--faint); font-size: .85rem; min-width: 4rem; }
section { margin: 2rem 0 2.75rem; scroll-margin-top: 1rem; }
.note { margin: .5rem 0; color: var(--faint); font-size: .9rem; max-width: 60rem; }
footer { padding-bottom: 2rem; color: var(--faint); font-size: .85rem; }
.window { overflow: auto; width: fit-content; max-width: 100%; border: 1px solid var(--rule); border-radius: 8px; background: var(--sheet); margin: .75rem 0; }
.window:focus-visible, a:focus-visible, summary:focus-visible, input:focus-visible { outline: 2px solid var(--other); outline-offset: 1px; }
table { border-collapse: separate; border-spacing: 0; font-size: .875rem; overflow-wrap: break-word; }
time, .list th bdi { white-space: nowrap; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th { text-align: left; font-weight: 600; }
thead th { position: sticky; top: 0; z-index: 2; background: var(--sheet); color: var(--faint); }
tbody tr:hover > * { background-color: var(--hover); }
.list th, .list td { padding: .32rem .85rem; border-bottom: 1px solid var(--rule); vertical-align: top; }
.list tbody tr:last-child > * { border-bottom: 0; }
.list thead th { border-bottom: 1px solid var(--rule); font-size: .8rem; }
.list tbody th { font-weight: 500; }
.list td small, .list th small { display: block; color: var(--faint); }
.list code { white-space: nowrap; }
.list .names { min-width: 11rem; max-width: 42rem; }
code { font: .82em ui-monospace, "DejaVu Sans Mono", monospace; color: var(--faint); }
details summary { cursor: pointer; }
.matrices > summary { width: fit-content; padding: .5rem .9rem; border: 1px solid var(--rule); border-radius: 8px; background: var(--sheet); font-weight: 600; }
.matrices > summary:hover { background: var(--hover); }
.state { white-space: nowrap; }
.sign { display: inline-block; min-width: 1.45em; padding: 0 .2em; border-radius: 4px; text-align: center; font-weight: 600; line-height: 1.45; }
.sign.none { border: 1px solid var(--rule); height: 1.45em; vertical-align: -.3em; }
.ok { background: var(--ok-ground); color: var(--ok); }
.soon { background: var(--soon-ground); color: var(--soon); }
.wrong { background: var(--wrong-ground); color: var(--wrong); }
.other { background: var(--other-ground); color: var(--other); }
p.verdict { background: var(--sheet); color: inherit; }
.left { padding: 0 .4em; border-radius: 4px; white-space: nowrap; }
.left.ok { background: none; color: inherit; }
.legend { display: flex; flex-wrap: wrap; gap: .35rem 1.3rem; margin: .75rem 0; padding: 0; list-style: none; font-size: .875rem; }
/* Not drawn before it is looked at: a browser would take seconds. */
.large { max-height: 85vh; content-visibility: auto; contain-intrinsic-size: auto 85vh; }
.large.wide { width: auto; }
.matrix { font-size: .8rem; line-height: 1; table-layout: fixed; width: 1px; }
.matrix td { height: 1.5rem; padding: 0; text-align: center; font-weight: 600; white-space: nowrap; letter-spacing: -.02em; border-right: 1px solid var(--sheet); border-bottom: 1px solid var(--sheet); }
.matrix td:empty { box-shadow: inset 0 -1px 0 -0.5px var(--rule); }
.matrix tbody th { position: sticky; left: 0; z-index: 1; background: var(--sheet); padding: 0 .9rem 0 .85rem; font-weight: 500; white-space: nowrap; overflow: hidden; border-right: 1px solid var(--rule); }
.matrix tbody tr:hover td:not(:empty) { background-color: color-mix(in srgb, currentColor 18%, var(--sheet)); }
.matrix tbody tr:hover td.wrong { background-color: var(--wrong-ground); }
.matrix tr.out th { color: var(--faint); text-decoration: line-through; }
.matrix tr.out th small { display: inline-block; text-decoration: none; }
.matrix .g { border-left: 1px solid var(--rule); }
.matrix .region { height: 1.7rem; padding: 0 .3rem; text-align: center; white-space: nowrap; border-left: 1px solid var(--rule); color: var(--ink); }
.matrix .place { top: 1.7rem; height: 1px; padding: .5rem 0; vertical-align: bottom; font-weight: 500; border-bottom: 1px solid var(--rule); }
.matrix .place bdi { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; padding: 0 .38rem; }
.matrix .corner { left: 0; z-index: 3; vertical-align: bottom; padding: .5rem .85rem; border-right: 1px solid var(--rule); border-bottom: 1px solid var(--rule); }
.calendar { font-variant-numeric: tabular-nums; }
.calendar th, .calendar td { padding: .35rem .6rem; text-align: center; min-width: 3.4rem; }
.calendar thead th { font-size: .78rem; line-height: 1.2; vertical-align: bottom; border-bottom: 1px solid var(--rule); }
.calendar tr > :first-child { text-align: left; white-space: nowrap; padding-left: .85rem; }
.calendar td { border-left: 1px solid var(--rule); font-weight: 600; }
.calendar .ok.heat1 { background: none; }
.graph { margin: 0 0 1.25rem; }
.graph svg { display: block; width: 100%; max-width: 76rem; height: auto; }
.graph figcaption { margin-top: .5rem; color: var(--faint); font-size: .9rem; }
.graph text { fill: var(--ink); font-size: 13px; unicode-bidi: isolate; }
.graph .title { font-weight: 650; }
.graph rect { fill: var(--sheet); stroke: var(--rule); }
.graph .bar { stroke: none; fill: var(--line, var(--faint)); }
.graph path { fill: none; stroke: var(--line); stroke-width: 2.25; opacity: .75; }
.graph .line:hover path { stroke-width: 5; opacity: 1; }
.graph .broken path { stroke: var(--alarm); stroke-dasharray: 6 4; }
.graph .tag { font-weight: 700; fill: var(--line); paint-order: stroke; stroke: var(--ground); stroke-width: 5px; text-anchor: middle; }
.graph .broken .tag { fill: var(--alarm); }
.hue0 { --line: var(--hue0); } .hue1 { --line: var(--hue1); } .hue2 { --line: var(--hue2); }
.hue3 { --line: var(--hue3); } .hue4 { --line: var(--hue4); } .hue5 { --line: var(--hue5); }
@media (max-width: 40rem) {
  body > header, main, footer { padding: 0 .8rem; }
  .list th, .list td { padding: .3rem .5rem; }
  #filter { margin-left: 0; }
}
@media print {
  :root { color-scheme: light; --ground: #fff; --ink: #000; --faint: #444; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10px; }
  body > header, main, footer { max-width: none; padding: 0; }
  nav { display: none; }
  .window { max-height: none; overflow: visible; border: 0; }
  .matrix td { height: 1.1rem; }
  thead th, .matrix tbody th, .matrix .corner { position: static; }
  tr, figure, .figures { break-inside: avoid; }
  h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; }
  @page { size: landscape; margin: 12mm; }
}
`;
