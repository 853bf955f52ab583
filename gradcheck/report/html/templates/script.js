"use strict";
// The page reads well without this script; it adds sorting, filtering and the conveniences.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const VERDICTS = ["fail", "inconclusive", "known", "waived", "pass"];

const cellKey = {
  text: (cell) => cell.textContent.trim().toLowerCase(),
  number: (cell) => (cell.dataset.value === "" ? null : parseNumber(cell.dataset.value)),
  verdict: (cell) => VERDICTS.indexOf(cell.closest("tr").dataset.standing),
};

// Python writes inf and nan in its own way. A NaN is worse than any number.
function parseNumber(text) {
  if (text === "nan" || text === "inf") return Infinity;
  return text === "-inf" ? -Infinity : Number(text);
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  return a < b ? -1 : a > b ? 1 : 0;
}

function sort(head) {
  const opposite = { ascending: "descending", descending: "ascending" };
  const order = opposite[head.getAttribute("aria-sort")] ?? head.dataset.first;
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const key = cellKey[head.dataset.sort];
  const body = head.closest("table").tBodies[0];
  const keyed = [...body.rows].map((row) => [key(row.cells[head.cellIndex]), row]);
  const sign = order === "ascending" ? 1 : -1;
  keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  body.append(...keyed.map(([, row]) => row));
}

for (const head of all("th[data-sort]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sort(head));
  head.append(button);
}

function filter(controls) {
  const wanted = controls.querySelector("input").value.toLowerCase();
  const standing = controls.querySelector("select").value;
  const rows = [...document.getElementById(controls.dataset.filters).tBodies[0].rows];
  for (const row of rows) {
    const named = row.dataset.name.toLowerCase().includes(wanted);
    row.hidden = !(named && (standing === "" || row.dataset.standing === standing));
    const details = document.getElementById(row.dataset.key);
    if (details) details.hidden = row.hidden;
  }
  const shown = rows.filter((row) => !row.hidden).length;
  const output = controls.querySelector("output");
  output.textContent = `${shown} of ${rows.length} ${output.dataset.what} shown`;
}

for (const controls of all("[data-filters]")) {
  controls.hidden = false;
  controls.addEventListener("input", () => filter(controls));
}

// A link into closed details opens them.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.localName === "details") node.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", reveal);
for (const link of all('a[href^="#"]')) link.addEventListener("click", () => setTimeout(reveal));
reveal();

document.getElementById("theme").addEventListener("change", (event) => {
  document.documentElement.style.colorScheme = event.target.value;
});

const expand = document.querySelector("[data-expand]");
expand.hidden = false;
expand.addEventListener("click", () => {
  const open = expand.textContent === "Expand all";
  for (const details of all("details")) details.open = open;
  expand.textContent = open ? "Collapse all" : "Expand all";
});

for (const button of all("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
  });
}

// Closed details would be missing on paper.
let closed = [];
addEventListener("beforeprint", () => {
  closed = all("details:not([open])");
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
});
