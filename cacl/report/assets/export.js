"use strict";
/* Rows of a table as text: CSV for a file, TSV for the clipboard. */
window.Cacl.rowsAsText = (() => {
  const { make } = window.Cacl;
  /* What a spreadsheet evaluates; the tables beside the page have the same rule (cacl.tables.cells) */
  const EVALUATED = /^'*(?:[=@].*|[+-](?!\p{Nd}+(?:[.,]\p{Nd}+)?$).+|[\t\r].*)$/su;
  const plain = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "boolean") return value ? "True" : "False";
    const text = String(value);
    return typeof value === "string" && EVALUATED.test(text) ? `'${text}` : text;
  };
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = (names, rows, get, separator, format) =>
    [names, ...rows.map((row) => names.map((name) => plain(get(row, name))))]
      .map((values) => `${values.map(format).join(separator)}\n`)
      .join("");
  /* names: columns, as in the tables beside the page; get: reads a column of a row */
  const csv = (names, rows, get) => lines(names, rows, get, ",", quoted);
  const tsv = (names, rows, get) =>
    lines(names, rows, get, "\t", (text) => text.replace(/[\t\r\n]/g, " "));
  const download = (file, text, type) => {
    const url = URL.createObjectURL(new Blob([text], { type }));
    make("a", { href: url, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  /* A page from disk may have no clipboard of its own; then the browser copies a selected text */
  const copySelected = (text) => {
    const field = make("textarea", { readonly: "" });
    field.value = text;
    const focused = document.activeElement;
    (focused?.closest("dialog") ?? document.body).append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    if (!isCopied) throw new Error("the browser does not allow to copy");
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      copySelected(text);
    }
  };
  return { csv, tsv, download, copy };
})();
