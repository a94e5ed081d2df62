"use strict";
/* What the page's scripts share: elements, numbers as text, files that load when needed. */
window.Cacl = (() => {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const digits = (value) => (value >= 0.0995 ? 1 : 2);
  const percent = (value) => (value === null ? "–" : `${(100 * value).toFixed(value === 0 ? 0 : digits(value))}\u00a0%`);
  const spread = (low, high) => low === null || high === null
    ? "" : `${(100 * low).toFixed(digits(high))}\u2060–\u2060${(100 * high).toFixed(digits(high))}\u00a0%`;
  const small = (value) => (value === null ? "–" : value < 0.001 ? value.toExponential(1) : value.toPrecision(2));
  const decimal = (value, places = 1) => (value === null ? "–" : value.toFixed(places));
  const count = (value) => (value === null ? "–" : value.toLocaleString("en"));
  /* The gene's page in the atlas, else a search for the antibody; nothing for what is drawn */
  const hpaPage = (ensembl, antibody) => {
    if (!window.ATLAS.linked) return "";
    if (/^ENSG[0-9]{11}$/.test(ensembl)) return `https://www.proteinatlas.org/${ensembl}`;
    return /^(HPA|CAB)[0-9]{6}$/.test(antibody) ? `https://www.proteinatlas.org/search/${antibody}` : "";
  };
  const link = (url, ...children) => make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...children);
  const reader = (columns) => {
    const place = Object.fromEntries(columns.map((name, index) => [name, index]));
    return (row, name) => row[place[name]];
  };
  const loading = new Map();
  const load = (file) => {
    if (!loading.has(file)) {
      loading.set(file, new Promise((resolve, reject) => {
        const script = make("script", { src: `assets/${file}` });
        script.addEventListener("load", resolve);
        script.addEventListener("error", () => reject(new Error(`assets/${file} is missing beside report.html`)));
        document.head.append(script);
      }));
    }
    return loading.get(file);
  };
  return { make, percent, spread, small, decimal, count, hpaPage, link, reader, load };
})();
