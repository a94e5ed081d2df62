"use strict";
/* A filter in the head of each column of a table: smallest and largest number, or a part of a text. */
window.Cacl.columnFilters = (() => {
  const { make, address } = window.Cacl;
  const number = (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text.replace(",", "."));
    return Number.isFinite(value) ? value : null;
  };

  /* prefix: of the names in the address; get: reads a column of a row; changed: called after a
     change. A column has `key` and `title`; `filter` is "number", "text" or none; `low` and `high`
     are the columns that the limits apply to, `scale` is 100 if the limits are per cent. */
  return ({ prefix, columns, get, changed }) => {
    const values = new Map();
    const inputs = new Map();
    const nameOf = (column, part) => `${prefix}${column.key}.${part}`;
    const partsOf = (column) => (column.filter === "number" ? ["min", "max"] : ["has"]);
    const filtered = columns.filter((column) => column.filter);
    for (const column of filtered) {
      for (const part of partsOf(column)) {
        const text = address.get(nameOf(column, part));
        if (text) values.set(nameOf(column, part), text);
      }
    }

    const LABELS = { min: "at least", max: "at most", has: "contains" };
    const input = (column, part) => {
      const name = nameOf(column, part);
      if (!inputs.has(name)) {
        const unit = column.scale === 100 ? " in per cent" : "";
        const field = make("input", {
          type: "text",
          inputmode: part === "has" ? "search" : "decimal",
          placeholder: part === "has" ? "contains" : `${part}${column.scale === 100 ? " %" : ""}`,
          "aria-label": `${column.title}${unit} ${LABELS[part]}`,
          autocomplete: "off",
          spellcheck: "false",
        });
        field.value = values.get(name) ?? "";
        field.addEventListener("input", () => {
          const text = field.value.trim();
          const isWrong = part !== "has" && text !== "" && number(text) === null;
          field.setAttribute("aria-invalid", String(isWrong));
          if (text) values.set(name, text);
          else values.delete(name);
          address.set(name, ...(text ? [text] : []));
          changed();
        });
        inputs.set(name, field);
      }
      return inputs.get(name);
    };
    const limit = (column, part) => {
      const value = number(values.get(nameOf(column, part)) ?? "");
      return value === null ? null : value / (column.scale ?? 1);
    };
    const isWithin = (value, test) => value !== null && test(value);
    /* Function that returns whether a row passes all filters; the limits are read once */
    const accepting = () => {
      const tests = [];
      for (const column of filtered) {
        if (column.filter === "number") {
          const [low, high] = [limit(column, "min"), limit(column, "max")];
          const [from, to] = [column.low ?? column.key, column.high ?? column.key];
          if (low !== null) tests.push((row) => isWithin(get(row, from), (value) => value >= low));
          if (high !== null) tests.push((row) => isWithin(get(row, to), (value) => value <= high));
        } else {
          const text = (values.get(nameOf(column, "has")) ?? "").toLowerCase();
          if (text) tests.push((row) => String(get(row, column.key)).toLowerCase().includes(text));
        }
      }
      return (row) => tests.every((test) => test(row));
    };
    const reset = () => {
      address.setAll([...values.keys()].map((name) => [name, []]));
      values.clear();
      for (const field of inputs.values()) {
        field.value = "";
        field.setAttribute("aria-invalid", "false");
      }
    };
    const remove = (column) => {
      for (const part of column.filter ? partsOf(column) : []) {
        const name = nameOf(column, part);
        if (values.delete(name)) address.set(name);
        if (inputs.has(name)) inputs.get(name).value = "";
      }
    };
    const cell = (column) =>
      make(
        "td",
        { class: column.type ?? "" },
        ...(column.filter ? partsOf(column).map((part) => input(column, part)) : []),
      );
    return { accepting, cell, remove, reset, isActive: () => values.size > 0 };
  };
})();
