"use strict";
/* The buttons over a table: column filters, choice of columns, copy, CSV. */
window.Cacl.tableTools = (() => {
  const { make, term, rowsAsText, count } = window.Cacl;
  const button = (text, click) => {
    const element = make("button", { type: "button", class: "plain-button" }, text);
    element.addEventListener("click", click);
    return element;
  };

  /* The menu of columns. columns: all; isShown: column -> boolean; choose: called with a column and
     whether it is shown; restore: shows the columns of the beginning */
  const columnMenu = ({ columns, isShown, choose, restore }) => {
    const boxes = columns.map((column) => {
      const box = make("input", { type: "checkbox" });
      box.addEventListener("change", () => choose(column, box.checked));
      return box;
    });
    const update = () => {
      for (const [index, column] of columns.entries()) boxes[index].checked = isShown(column);
    };
    const menu = make(
      "details",
      { class: "menu" },
      make("summary", { class: "plain-button" }, "Columns"),
      make(
        "fieldset",
        {},
        make("legend", { class: "hidden" }, "Columns of the table"),
        ...columns.map((column, index) =>
          make(
            "div",
            {},
            make("label", {}, boxes[index], ` ${column.title}`),
            ...(column.terms ? [term(column.terms, "?", `Definition of ${column.title}`)] : []),
          ),
        ),
        button("As at first", () => {
          restore();
          update();
        }),
      ),
    );
    menu.addEventListener("toggle", update);
    const close = () => {
      menu.open = false;
    };
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      close();
      menu.querySelector("summary").focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!menu.contains(event.target) && !event.target.closest("#definition")) close();
    });
    return menu;
  };

  /* name: of the CSV file; menu: the options of columnMenu; filterRow: function that shows or hides
     the column filters and returns whether they are shown; page, selected: functions that return
     rows; fields: function that returns the names of the shown columns; get: reads a column */
  return ({ root, name, menu, filterRow, page, selected, fields, get }) => {
    const message = make("span", { class: "fine", role: "status", "aria-live": "polite" });
    const say = (text) => {
      message.textContent = text;
    };
    const filters = button("Column filters", () =>
      filters.setAttribute("aria-pressed", String(filterRow())),
    );
    filters.setAttribute("aria-pressed", String(filterRow(true)));
    const copy = button("Copy this page", async () => {
      const rows = page();
      try {
        await rowsAsText.copy(rowsAsText.tsv(fields(), rows, get));
        say(`${count(rows.length)} rows copied`);
      } catch (error) {
        say(`Not copied: ${error.message}; use the CSV`);
      }
    });
    copy.title = "Copy the rows of this page for a spreadsheet";
    const save = button("CSV", () => {
      const rows = selected();
      rowsAsText.download(`${name}-selected.csv`, rowsAsText.csv(fields(), rows, get), "text/csv");
      say(`${count(rows.length)} rows in ${name}-selected.csv`);
    });
    save.title = "Save all selected rows, with the columns of the table";
    save.setAttribute("aria-label", "Save the selected rows as CSV");
    root.replaceChildren(filters, columnMenu(menu), copy, save, message);
  };
})();
