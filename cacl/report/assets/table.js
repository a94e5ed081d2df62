"use strict";
/* A table with search, filters, sorting and pages; only the rows of the current page are elements. */
window.Cacl.table = (() => {
  const { make, count } = window.Cacl;
  const PAGE_ROWS = 50;

  /* root: the table; rows, get: the data, and a function that reads a column of a row;
     columns: key, title, cell, descending (initial order), type; accepts: (row) -> boolean;
     statusText: (selected, all) -> text; emptyReason: () -> why no row is selected, or "" */
  return ({
    root,
    pages,
    status,
    rows,
    get,
    columns,
    accepts,
    statusText,
    emptyReason = () => "",
  }) => {
    const state = { key: "rank", direction: 1, start: 0, rows };
    const head = root.querySelector("thead tr");
    const body = root.querySelector("tbody");
    const [previous, next] = pages.querySelectorAll("button");
    const range = pages.querySelector("span");

    const compare = (left, right) => {
      const a = get(left, state.key),
        b = get(right, state.key);
      if (a === b) return get(left, "rank") - get(right, "rank");
      if (a === null || a === "") return 1;
      if (b === null || b === "") return -1;
      return state.direction * (typeof a === "number" ? a - b : a < b ? -1 : 1);
    };
    const draw = () => {
      const end = Math.min(state.start + PAGE_ROWS, state.rows.length);
      body.replaceChildren(
        ...state.rows
          .slice(state.start, end)
          .map((row) =>
            make(
              "tr",
              {},
              ...columns.map(({ cell, type }) => make("td", { class: type || "" }, ...cell(row))),
            ),
          ),
      );
      for (const header of head.children) {
        const sorted = header.dataset.key === state.key;
        header.setAttribute(
          "aria-sort",
          sorted ? (state.direction > 0 ? "ascending" : "descending") : "none",
        );
      }
      const reason = state.rows.length
        ? ""
        : emptyReason() || (rows.length ? "change or reset the filters" : "");
      status.textContent =
        statusText(count(state.rows.length), count(rows.length)) + (reason && `; ${reason}`);
      range.textContent = state.rows.length
        ? `${count(state.start + 1)}–${count(end)} of ${count(state.rows.length)}`
        : "";
      previous.disabled = state.start === 0;
      next.disabled = end >= state.rows.length;
      pages.hidden = state.rows.length <= PAGE_ROWS;
    };
    const select = () => {
      state.rows = rows.filter(accepts).sort(compare);
      state.start = 0;
      draw();
    };
    for (const { key, title, type, descending, hint } of columns) {
      const button = make("button", { type: "button", ...(hint ? { title: hint } : {}) }, title);
      button.addEventListener("click", () => {
        state.direction = state.key === key ? -state.direction : descending ? -1 : 1;
        state.key = key;
        select();
      });
      const header = make("th", { scope: "col", class: type || "" }, button);
      header.dataset.key = key;
      header.dataset.title = title;
      head.append(header);
    }
    const turnPage = (step) => {
      state.start += step;
      draw();
      root.scrollIntoView({ block: "start" });
    };
    previous.addEventListener("click", () => turnPage(-PAGE_ROWS));
    next.addEventListener("click", () => turnPage(PAGE_ROWS));
    select();
    return { select, rows: () => state.rows };
  };
})();
