"use strict";
/* Shared by the page's scripts: elements, number formats, files that load on demand. */
window.Cacl = (() => {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const digits = (value) => (value >= 0.0995 ? 1 : 2);
  const percent = (value) =>
    value === null ? "–" : `${(100 * value).toFixed(value === 0 ? 0 : digits(value))}\u00a0%`;
  const percentRange = (low, high) =>
    low === null || high === null
      ? ""
      : `${(100 * low).toFixed(digits(high))}\u2060–\u2060${(100 * high).toFixed(digits(high))}\u00a0%`;
  const pValue = (value) =>
    value === null ? "–" : value < 0.001 ? value.toExponential(1) : value.toPrecision(2);
  const decimal = (value, digitsAfterPoint = 1) =>
    value === null ? "–" : value.toFixed(digitsAfterPoint);
  const count = (value) => (value === null ? "–" : value.toLocaleString("en"));
  /* URL of the gene's page in the Human Protein Atlas, else of a search for the antibody; empty for
     synthetic images */
  const hpaUrl = (ensembl, antibody) => {
    if (!window.ATLAS.hasHpaPages) return "";
    if (/^ENSG[0-9]{11}$/.test(ensembl)) return `https://www.proteinatlas.org/${ensembl}`;
    return /^(HPA|CAB)[0-9]{6}$/.test(antibody)
      ? `https://www.proteinatlas.org/search/${antibody}`
      : "";
  };
  const link = (url, ...children) =>
    make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...children);
  /* Function that returns the value of a named column of a row */
  const columnReader = (columns) => {
    const columnIndex = Object.fromEntries(columns.map((name, index) => [name, index]));
    return (row, name) => row[columnIndex[name]];
  };
  const scripts = new Map();
  const load = (file) => {
    if (!scripts.has(file)) {
      scripts.set(
        file,
        new Promise((resolve, reject) => {
          const script = make("script", { src: `assets/${file}` });
          script.addEventListener("load", resolve);
          script.addEventListener("error", () =>
            reject(new Error(`assets/${file} is missing beside report.html`)),
          );
          document.head.append(script);
        }),
      );
    }
    return scripts.get(file);
  };
  return { make, percent, percentRange, pValue, decimal, count, hpaUrl, link, columnReader, load };
})();
