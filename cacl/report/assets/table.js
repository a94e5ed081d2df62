"use strict";
/* A table with search, filters, choice of columns, sorting and pages; only the rows of the current
   page are elements. */
window.Cacl.table = (() => {
  const { make, count, term, address, columnFilters, tableTools } = window.Cacl;
  const PAGE_ROWS = 50;
  const narrow = window.matchMedia("(max-width: 640px)");

  /* name: of the table and its CSV file; prefix: of its names in the address; root: the table;
     tools: the place of its buttons; rows, get: the data, and a function that reads a column of a
     row; columns: key, title, cell, and optionally fields (names in the CSV), terms (definitions),
     filter, low, high, scale, descending (initial order), unsorted, type (class), shown ("always", "wide": in
     a wide window, "chosen": only if chosen); accepts: (row) -> boolean; statusText:
     (selected, all) -> text; emptyReason: () -> why no row is selected, or "" */
  return ({ name, prefix = "", root, tools, pages, status, rows, get, columns, ...texts }) => {
    const { accepts, statusText, emptyReason = () => "" } = texts;
    const state = { key: "rank", direction: 1, start: 0, rows, filtersShown: false };
    const [head, filterHead] = root.querySelectorAll("thead tr");
    const body = root.querySelector("tbody");
    const [previous, next] = pages.querySelectorAll("button");
    const range = pages.querySelector("span");
    const byKey = new Map(columns.map((column) => [column.key, column]));

    /* Columns */
    const shownAtFirst = (column) =>
      (column.shown ?? "always") === "always" || (column.shown === "wide" && !narrow.matches);
    const written = address.get(`${prefix}columns`);
    let chosen =
      written === null ? null : new Set(written.split(",").filter((key) => byKey.has(key)));
    const isShown = (column) => (chosen ? chosen.has(column.key) : shownAtFirst(column));
    const shown = () => columns.filter(isShown);
    const fields = () => [...new Set(shown().flatMap((column) => column.fields ?? [column.key]))];

    /* Order */
    const compare = (left, right) => {
      const a = get(left, state.key),
        b = get(right, state.key);
      if (a === b) return get(left, "rank") - get(right, "rank");
      if (a === null || a === "") return 1;
      if (b === null || b === "") return -1;
      return state.direction * (typeof a === "number" ? a - b : a < b ? -1 : 1);
    };
    const sortBy = (column) => {
      state.direction = state.key === column.key ? -state.direction : column.descending ? -1 : 1;
      state.key = column.key;
      const isByRank = state.key === "rank" && state.direction > 0;
      const text = `${state.direction > 0 ? "" : "-"}${state.key}`;
      address.set(`${prefix}sort`, ...(isByRank ? [] : [text]));
      select();
    };
    const sort = /^(-?)(.+)$/.exec(address.get(`${prefix}sort`) ?? "");
    if (sort && byKey.has(sort[2])) [state.key, state.direction] = [sort[2], sort[1] ? -1 : 1];

    const filters = columnFilters({ prefix, columns, get, changed: () => select() });
    const end = () => Math.min(state.start + PAGE_ROWS, state.rows.length);
    const pageRows = () => state.rows.slice(state.start, end());
    const markOrder = () => {
      const order = state.direction > 0 ? "ascending" : "descending";
      for (const header of head.children)
        header.setAttribute("aria-sort", header.dataset.key === state.key ? order : "none");
    };
    const drawHead = () => {
      head.replaceChildren(
        ...shown().map((column) => {
          const { key, title, type, terms, unsorted } = column;
          const button = make("button", { type: "button", class: "sort" }, title);
          button.addEventListener("click", () => sortBy(column));
          const header = make("th", { scope: "col", class: type ?? "" }, unsorted ? title : button);
          if (terms) header.append(term(terms, "?", `Definition of ${title}`));
          header.dataset.key = key;
          header.dataset.title = title;
          return header;
        }),
      );
      filterHead.replaceChildren(...shown().map(filters.cell));
      filterHead.hidden = !state.filtersShown;
    };
    const draw = () => {
      body.replaceChildren(
        ...pageRows().map((row) =>
          make(
            "tr",
            {},
            ...shown().map(({ cell, type }) => make("td", { class: type ?? "" }, ...cell(row))),
          ),
        ),
      );
      markOrder();
      const reason = state.rows.length
        ? ""
        : emptyReason() || (rows.length ? "change or reset the filters" : "");
      status.textContent =
        statusText(count(state.rows.length), count(rows.length)) + (reason && `; ${reason}`);
      range.textContent = state.rows.length
        ? `${count(state.start + 1)}–${count(end())} of ${count(state.rows.length)}`
        : "";
      previous.disabled = state.start === 0;
      next.disabled = end() >= state.rows.length;
      pages.hidden = state.rows.length <= PAGE_ROWS;
    };
    const select = () => {
      const passes = filters.accepting();
      state.rows = rows.filter((row) => accepts(row) && passes(row)).sort(compare);
      state.start = 0;
      draw();
    };
    const drawAll = () => {
      drawHead();
      draw();
    };
    const turnPage = (step) => {
      state.start += step;
      draw();
      root.scrollIntoView({ block: "start" });
    };
    previous.addEventListener("click", () => turnPage(-PAGE_ROWS));
    next.addEventListener("click", () => turnPage(PAGE_ROWS));
    narrow.addEventListener("change", () => {
      if (!chosen) drawAll();
    });

    tableTools({
      root: tools,
      name,
      get,
      fields,
      page: pageRows,
      selected: () => state.rows,
      filterRow: (atFirst = false) => {
        state.filtersShown = atFirst ? filters.isActive() : !state.filtersShown;
        filterHead.hidden = !state.filtersShown;
        return state.filtersShown;
      },
      menu: {
        columns,
        isShown,
        choose: (column, isChosen) => {
          chosen = new Set(shown().map(({ key }) => key));
          if (isChosen) chosen.add(column.key);
          else chosen.delete(column.key);
          address.set(`${prefix}columns`, [...chosen].join(","));
          if (!isChosen) filters.remove(column);
          drawHead();
          select();
        },
        restore: () => {
          chosen = null;
          address.set(`${prefix}columns`);
          drawAll();
        },
      },
    });
    drawHead();
    select();
    return { select, resetColumnFilters: filters.reset, rows: () => state.rows };
  };
})();
