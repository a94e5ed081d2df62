"use strict";
/* The page: tables of antibodies and genes with their filters, and the masks of all cores. */
(() => {
  const { make, percent, spread, small, decimal, hpaPage, link, reader, load, table, panel } = window.Cacl;
  const data = window.ATLAS;
  const get = reader(data.columns);
  const element = (id) => document.getElementById(id);

  const ratioCells = (rows, read) => {
    const highest = rows.reduce((most, row) => Math.max(most, read(row, "stained_to_cell_ratio") ?? 0), 1e-9);
    return (row) => {
      const value = read(row, "stained_to_cell_ratio");
      const bar = make("i");
      bar.style.width = `${(100 * (value ?? 0)) / highest}%`;
      return [percent(value), make("span", { class: "meter", "aria-hidden": "true" }, bar)];
    };
  };
  const opener = (row) => {
    const button = make("button", { type: "button", class: "open" }, get(row, "gene") || get(row, "antibody_id"));
    button.dataset.antibody = get(row, "antibody_id");
    return button;
  };
  const antibodyLink = (row) => {
    const url = hpaPage(get(row, "ensembl_id"), get(row, "antibody_id"));
    return url ? [link(url, get(row, "antibody_id"))] : [get(row, "antibody_id")];
  };
  const mark = (label) => make("span", { class: `mark mark-${label || "none"}`, title: label || "no label" },
    make("span", { class: "hidden" }, label || "no label"));
  const has = (name) => data.rows.some((row) => get(row, name) !== null);
  const COLUMNS = [
    { key: "rank", title: "#", cell: (row) => [get(row, "rank")], type: "number" },
    { key: "gene", title: "Gene", cell: (row) => (get(row, "gene") ? [opener(row), make("span", { class: "id narrow" }, get(row, "antibody_id"))] : [opener(row)]) },
    { key: "antibody_id", title: "Antibody", cell: antibodyLink, type: "wide" },
    { key: "stained_to_cell_ratio", title: "Ratio", cell: ratioCells(data.rows, get), down: true, type: "ratio", hint: "stained area / cell area" },
    { key: "ratio_low", title: "95 % interval", cell: (row) => [spread(get(row, "ratio_low"), get(row, "ratio_high")) || "–"], down: true, type: "wide", hint: "sorts by its lower end" },
    { key: "q_value", title: "q", cell: (row) => [small(get(row, "q_value"))], type: "number", hint: "p against the antibodies labelled negative, after Benjamini–Hochberg" },
    { key: "z", title: "z", cell: (row) => [decimal(get(row, "z"))], down: true, type: "number wide", hint: "robust standard deviations above the antibodies labelled negative" },
    { key: "border_share", title: "Border share", cell: (row) => [percent(get(row, "border_share"))], down: true, type: "number wide", hint: "share of all DAB that lies in the stained area" },
    ...(has("h_score") ? [{ key: "h_score", title: "H-score", cell: (row) => [decimal(get(row, "h_score"), 0)], down: true, type: "number wide", hint: "weak + 2 moderate + 3 strong, in per cent of the cell area" }] : []),
    ...(has("tissue_tau") ? [{ key: "tissue_tau", title: "Tau", cell: (row) => [decimal(get(row, "tissue_tau"), 2)], down: true, type: "number wide", hint: "0 = alike in all tissues, 1 = in one only" }] : []),
    { key: "hpa_staining", title: "HPA", cell: (row) => [mark(get(row, "label")), ` ${get(row, "hpa_staining") || "–"}`], type: "words" },
    { key: "images", title: "Cores", cell: (row) => [get(row, "images")], down: true, type: "number wide" },
  ];

  /* Antibodies */
  const search = element("search");
  const [staining, label, mostQ, tissue] = ["staining", "label", "most-q", "tissue"].map(element);
  const haystack = new Map(data.rows.map((row) =>
    [row, ["gene", "antibody_id", "ensembl_id", "hpa_location"].map((name) => get(row, name)).join(" ").toLowerCase()]));
  const tissues = new Map(data.rows.map((row) => [row, get(row, "tissues").split("; ").filter(Boolean)]));
  const wordsOf = (field) => field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let wanted = [];
  const antibodies = table({
    root: element("table"), pages: element("pages"), status: element("shown"), rows: data.rows, get, columns: COLUMNS,
    accepts: (row) => wanted.every((word) => haystack.get(row).includes(word)) &&
      (staining.value === "*" || get(row, "hpa_staining") === staining.value) &&
      (label.value === "*" || get(row, "label") === label.value) &&
      (mostQ.value === "*" || (get(row, "q_value") !== null && get(row, "q_value") <= Number(mostQ.value))) &&
      (tissue.value === "*" || tissues.get(row).includes(tissue.value)),
    shown: (few, all) => `${few} of ${all} antibodies`,
    without: () => {
      const lost = wanted.length ? data.lost.filter(([name]) => wanted.every((word) => name.toLowerCase().includes(word))) : [];
      return lost.slice(0, 3).map(([name, why]) => `${name} has no measured image (${why})`).join("; ");
    },
  });
  const choose = () => { wanted = wordsOf(search); antibodies.select(); };
  const order = ["high", "medium", "low", "not detected"];
  const place = (word) => (order.includes(word) ? order.indexOf(word) : word ? order.length : order.length + 1);
  for (const word of [...new Set(data.rows.map((row) => get(row, "hpa_staining")))].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1))) {
    staining.append(make("option", { value: word }, word || "not annotated"));
  }
  const names = [...new Set([...tissues.values()].flat())].sort();
  tissue.parentElement.hidden = names.length < 2;
  for (const name of names) tissue.append(make("option", { value: name }, name));
  mostQ.disabled = !has("q_value");
  const filters = search.form;
  search.addEventListener("input", choose);
  for (const field of [staining, label, mostQ, tissue]) field.addEventListener("change", choose);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(choose));
  panel(data, get, antibodies.rows);

  /* Genes, read when their table comes near */
  const drawGenes = async () => {
    await load("genes.js");
    const { columns, rows } = window.ATLAS_GENES;
    const read = reader(columns);
    const field = element("gene-search");
    const name = (row) => {
      const button = make("button", { type: "button", class: "open" }, read(row, "gene") || read(row, "ensembl_id"));
      button.addEventListener("click", () => {
        filters.reset();
        search.value = read(row, "ensembl_id") || read(row, "gene");
        choose();
        element("antibodies").scrollIntoView();
        search.focus({ preventScroll: true });
      });
      return [button];
    };
    let words = [];
    const genes = table({
      root: element("gene-table"), pages: element("gene-pages"), status: element("gene-shown"), rows, get: read,
      columns: [
        { key: "rank", title: "#", cell: (row) => [read(row, "rank")], type: "number" },
        { key: "gene", title: "Gene", cell: name },
        { key: "stained_to_cell_ratio", title: "Ratio", cell: ratioCells(rows, read), down: true, type: "ratio" },
        { key: "ratio_low", title: "95 % interval", cell: (row) => [spread(read(row, "ratio_low"), read(row, "ratio_high")) || "–"], down: true, type: "wide" },
        { key: "q_value", title: "q", cell: (row) => [small(read(row, "q_value"))], type: "number" },
        { key: "border_share", title: "Border share", cell: (row) => [percent(read(row, "border_share"))], down: true, type: "number wide" },
        { key: "agreement", title: "Agreement", cell: (row) => [decimal(read(row, "agreement"), 2)], down: true, type: "number wide", hint: "1 = its antibodies rank alike, 0 = as unlike as any two" },
        { key: "hpa_staining", title: "HPA", cell: (row) => [read(row, "hpa_staining") || "–"], type: "words" },
        { key: "antibodies", title: "Antibodies", cell: (row) => [read(row, "antibodies")], down: true, type: "number wide" },
      ],
      accepts: (row) => words.every((word) => `${read(row, "gene")} ${read(row, "ensembl_id")}`.toLowerCase().includes(word)),
      shown: (few, all) => `${few} of ${all} genes`,
    });
    field.addEventListener("input", () => { words = wordsOf(field); genes.select(); });
    field.form.addEventListener("submit", (event) => event.preventDefault());
  };
  const geneTable = element("gene-table");
  if (geneTable) {
    const start = () => {
      if (!near) return;
      near.disconnect();
      near = null;
      drawGenes().catch((error) => { element("gene-shown").textContent = error.message; });
    };
    let near = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) start();
    }, { rootMargin: "600px" });
    near.observe(geneTable.parentElement);
    window.addEventListener("load", () => setTimeout(start, 3000));
  }

  /* Masks */
  const switches = document.querySelectorAll(".switch input");
  const showMasks = (shown) => {
    for (const box of switches) box.checked = shown;
    for (const stack of document.querySelectorAll(".stack")) stack.setAttribute("aria-pressed", String(shown));
  };
  for (const box of switches) box.addEventListener("change", () => showMasks(box.checked));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "m" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select")) return;
    showMasks(!switches[0].checked);
  });
  document.addEventListener("click", (event) => {
    const stack = event.target.closest(".stack");
    if (stack) stack.setAttribute("aria-pressed", String(stack.getAttribute("aria-pressed") !== "true"));
  });

  /* What is printed is all there: from a disk the pictures are read when the page has rested */
  const readAll = () => { for (const part of document.querySelectorAll("img[loading=lazy]")) part.loading = "eager"; };
  window.addEventListener("beforeprint", readAll);
  if (location.protocol === "file:") window.addEventListener("load", () => setTimeout(readAll, 4000));
})();
