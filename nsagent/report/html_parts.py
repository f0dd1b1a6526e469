"""The fixed parts of the page of `-o html`: its style and its script, of which no byte is data."""

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --text: #24292e; --quiet: #6b737c; --line: #e6e7e9; --hover: #f2f5f8;
  --accent: #2563a8; --good: #2b7a4b; --warn: #a05a00; --warn-page: #fdf6ea;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181b; --card: #1c1f23; --text: #d8dce1; --quiet: #8d96a0; --line: #2c3036; --hover: #23282e;
    --accent: #7fb2e8; --good: #6cc08b; --warn: #e0aa5e; --warn-page: #2a241a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 1.75rem 2rem 3rem; width: max-content; min-width: 100%;
  background: var(--page); color: var(--text); font: 14px/1.5 system-ui, sans-serif;
}
header, .coverage, .tools { position: sticky; left: 2rem; width: calc(100vw - 4.5rem); max-width: 70rem; }
h1 { margin: 0; font-size: 1.4rem; font-weight: 600; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h1 small { color: var(--quiet); font-weight: 400; font-size: 1em; }
header p { margin: 0.2rem 0 1rem; color: var(--quiet); }
.coverage { margin: 0 0 1rem; padding: 0.5rem 0.9rem; border-left: 3px solid var(--good); background: var(--card); }
.lacking { border-color: var(--warn); background: var(--warn-page); }
summary { cursor: pointer; }
.coverage ul { margin: 0.4rem 0 0.2rem; padding-left: 1.2rem; overflow-wrap: anywhere; }
.tools { display: flex; gap: 0.8rem; align-items: baseline; margin: 0 0 0.8rem; }
.tools[hidden] { display: none; }
.tools label { color: var(--quiet); }
.tools input {
  width: 22rem; margin-left: 0.4rem; padding: 0.35rem 0.6rem; border: 1px solid var(--line); border-radius: 6px;
  background: var(--card); color: inherit; font: inherit;
}
.tools output { color: var(--quiet); font-variant-numeric: tabular-nums; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
table { display: block; width: max-content; min-width: 100%; background: var(--card); border: 1px solid var(--line); }
thead, tbody { display: block; }
thead { position: sticky; top: 0; z-index: 1; background: var(--card); border-bottom: 1px solid var(--line); }
tbody { content-visibility: auto; contain-intrinsic-height: calc(var(--rows) * 1.75rem); }
tr { display: grid; grid-template-columns: var(--columns); min-height: 1.75rem; padding: 0 0.5rem; }
tr[hidden], tbody[hidden] { display: none; }
tbody tr { border-top: 1px solid var(--line); }
tbody tr:hover { background: var(--hover); }
th, td { padding: 0.25rem 0.5rem; text-align: left; overflow-wrap: anywhere; }
td { font: 12.5px/1.25rem ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap; }
th { color: var(--quiet); font-weight: 600; font-size: 12px; }
.number { text-align: right; }
.listening { color: var(--good); }
.dim { color: var(--quiet); }
tr.group { grid-template-columns: 1fr; background: var(--page); }
tr.group th { padding-top: 0.6rem; color: var(--text); font-size: 13px; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--accent); }
th button::after { content: "\\2195"; margin-left: 0.35em; opacity: 0.35; }
th[aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; color: var(--accent); }
th[aria-sort=descending] button::after { content: "\\2193"; opacity: 1; color: var(--accent); }
@media print { tbody { content-visibility: visible; } .tools { display: none; } thead { position: static; } }
"""
"""Rows are grids of the same columns, so that the parts of a long table that are out of sight need no layout."""

SCRIPT: Final = """
"use strict";
const table = document.querySelector("table");
const bodies = Array.from(table.tBodies);
const input = document.getElementById("filter");
const shown = document.getElementById("shown");
const collator = new Intl.Collator("en", {numeric: true});
const groups = [];
let total = 0;
for (const body of bodies) {
  const heading = body.rows[0] && body.rows[0].className === "group" ? body.rows[0] : null;
  if (heading || !groups.length) groups.push({heading, bodies: [], rows: []});
  const group = groups[groups.length - 1];
  const rows = Array.from(body.rows).filter((row) => row !== heading);
  group.bodies.push({body, size: rows.length});
  for (const row of rows) group.rows.push({row, text: null});
  total += rows.length;
}
const place = () => {
  for (const group of groups) {
    let at = 0;
    for (const {body, size} of group.bodies) {
      const rows = group.rows.slice(at, at += size).map((each) => each.row);
      const seen = rows.reduce((sum, row) => sum + !row.hidden, 0);
      const heads = group.heading && body === group.bodies[0].body ? [group.heading] : [];
      body.replaceChildren(...heads, ...rows);
      measure(body, seen + heads.length, seen || (heads.length && !heads[0].hidden));
    }
  }
};
const measure = (body, rows, visible) => {
  body.hidden = !visible;
  body.style.setProperty("--rows", rows);
};
const textOf = (row) => Array.from(row.cells, (cell) => cell.textContent).join(" ").toLowerCase();
const filter = () => {
  const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let left = 0;
  for (const group of groups) {
    let at = 0;
    let found = 0;
    for (const {body, size} of group.bodies) {
      let seen = 0;
      for (const each of group.rows.slice(at, at += size)) {
        if (each.text === null) each.text = textOf(each.row);
        const match = words.every((word) => each.text.includes(word));
        if (each.row.hidden === match) each.row.hidden = !match;
        seen += match;
      }
      found += seen;
      measure(body, seen + 1, seen > 0);
    }
    if (group.heading) {
      group.heading.hidden = !found;
      if (found) group.bodies[0].body.hidden = false;
    }
    left += found;
  }
  tell(left);
};
const tell = (left) => {
  const all = total.toLocaleString("en");
  shown.textContent = left === total ? `${all} rows` : `${left.toLocaleString("en")} of ${all} rows`;
};
const sort = (index, sign) => {
  for (const group of groups) {
    const keyed = group.rows.map((each) => [each.row.cells[index].textContent, each]);
    keyed.sort(([a], [b]) => (a === "") - (b === "") || sign * collator.compare(a, b));
    group.rows = keyed.map(([, each]) => each);
  }
  place();
};
const headers = Array.from(table.tHead.rows[0].cells);
headers.forEach((header, index) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.addEventListener("click", () => {
    const descends = header.getAttribute("aria-sort") === "ascending";
    for (const each of headers) each.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", descends ? "descending" : "ascending");
    sort(index, descends ? -1 : 1);
  });
  header.append(button);
  header.setAttribute("aria-sort", "none");
});
let waiting = 0;
input.addEventListener("input", () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(filter);
});
tell(total);
document.querySelector(".tools").hidden = false;
"""
"""Sorts by a click on a header and filters by words; it makes no HTML of text, and asks nobody for anything."""
