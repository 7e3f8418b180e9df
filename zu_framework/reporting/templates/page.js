
"use strict";
// Sorting: a header's button sorts its column; again turns the order round. Missing values come last either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
  };
  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort");
      const up = now === "none" ? button.dataset.first !== "desc" : now !== "ascending";
      headers.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row, at) => ({ row, at, key: value(row, column) }));
      const numeric = rows.every(({ key }) => key === "" || !Number.isNaN(Number(key)));
      rows.sort((a, b) => {
        if ((a.key === "") !== (b.key === "")) return a.key === "" ? 1 : -1;
        const order = numeric ? Number(a.key) - Number(b.key) : a.key.localeCompare(b.key, undefined, { numeric: true });
        return (up ? order : -order) || a.at - b.at;
      });
      body.append(...rows.map(({ row }) => row));
    });
  });
}
// Filtering: every word of the search must stand in the row; a select must match the row's data-NAME.
for (const form of document.querySelectorAll("form[data-filters]")) {
  const table = document.getElementById(form.dataset.filters);
  const said = form.querySelector("output");
  const narrow = () => {
    const words = form.elements.text.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const wanted = [...form.querySelectorAll("select")].filter((select) => select.value);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLocaleLowerCase();
      const keep = words.every((word) => text.includes(word)) &&
        wanted.every((select) => row.getAttribute("data-" + select.dataset.key) === select.value);
      row.hidden = !keep;
      shown += keep;
    }
    said.textContent = shown + " of " + table.tBodies[0].rows.length + " rows";
  };
  for (const event of ["input", "change"]) form.addEventListener(event, narrow);
  form.addEventListener("submit", (event) => event.preventDefault());
  narrow();
}
// Print shows all that is folded, and folds it again.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) { part.open = true; part.dataset.folded = ""; }
});
addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("details[data-folded]")) { part.open = false; delete part.dataset.folded; }
});
