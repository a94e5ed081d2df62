"use strict";
/* The page: tables of antibodies and genes with their filters, and the switch of all masks. */
(() => {
  const {
    make,
    percent,
    percentRange,
    pValue,
    decimal,
    hpaUrl,
    link,
    columnReader,
    load,
    table,
    panel,
  } = window.Cacl;
  const data = window.ATLAS;
  const get = columnReader(data.columns);
  const element = (id) => document.getElementById(id);

  const ratioCells = (rows, read) => {
    const highest = rows.reduce(
      (maximum, row) => Math.max(maximum, read(row, "stained_to_cell_ratio") ?? 0),
      1e-9,
    );
    return (row) => {
      const value = read(row, "stained_to_cell_ratio");
      const bar = make("i");
      bar.style.width = `${(100 * (value ?? 0)) / highest}%`;
      return [percent(value), make("span", { class: "meter", "aria-hidden": "true" }, bar)];
    };
  };
  const opener = (row) => {
    const button = make(
      "button",
      { type: "button", class: "open" },
      get(row, "gene") || get(row, "antibody_id"),
    );
    button.dataset.antibody = get(row, "antibody_id");
    return button;
  };
  const antibodyLink = (row) => {
    const url = hpaUrl(get(row, "ensembl_id"), get(row, "antibody_id"));
    return url ? [link(url, get(row, "antibody_id"))] : [get(row, "antibody_id")];
  };
  const mark = (label) =>
    make(
      "span",
      { class: `mark mark-${label || "none"}`, title: label || "no label" },
      make("span", { class: "hidden" }, label || "no label"),
    );
  const has = (name) => data.rows.some((row) => get(row, name) !== null);
  const COLUMNS = [
    { key: "rank", title: "#", cell: (row) => [get(row, "rank")], type: "number" },
    {
      key: "gene",
      title: "Gene",
      cell: (row) =>
        get(row, "gene")
          ? [opener(row), make("span", { class: "id narrow" }, get(row, "antibody_id"))]
          : [opener(row)],
    },
    { key: "antibody_id", title: "Antibody", cell: antibodyLink, type: "wide" },
    {
      key: "stained_to_cell_ratio",
      title: "Ratio",
      cell: ratioCells(data.rows, get),
      descending: true,
      type: "ratio",
      hint: "stained area / cell area",
    },
    {
      key: "ratio_low",
      title: "95 % interval",
      cell: (row) => [percentRange(get(row, "ratio_low"), get(row, "ratio_high")) || "–"],
      descending: true,
      type: "wide",
      hint: "sorted by the lower end",
    },
    {
      key: "q_value",
      title: "q",
      cell: (row) => [pValue(get(row, "q_value"))],
      type: "number",
      hint: "p against the antibodies labelled negative, after Benjamini–Hochberg",
    },
    {
      key: "z",
      title: "z",
      cell: (row) => [decimal(get(row, "z"))],
      descending: true,
      type: "number wide",
      hint: "robust standard deviations above the antibodies labelled negative",
    },
    {
      key: "border_share",
      title: "Border share",
      cell: (row) => [percent(get(row, "border_share"))],
      descending: true,
      type: "number wide",
      hint: "share of all DAB that lies in the stained area",
    },
    ...(has("h_score")
      ? [
          {
            key: "h_score",
            title: "H-score",
            cell: (row) => [decimal(get(row, "h_score"), 0)],
            descending: true,
            type: "number wide",
            hint: "weak + 2 moderate + 3 strong, in per cent of the cell area",
          },
        ]
      : []),
    ...(has("tissue_tau")
      ? [
          {
            key: "tissue_tau",
            title: "Tau",
            cell: (row) => [decimal(get(row, "tissue_tau"), 2)],
            descending: true,
            type: "number wide",
            hint: "0 = same ratio in all tissues, 1 = staining in one tissue only",
          },
        ]
      : []),
    {
      key: "hpa_staining",
      title: "HPA",
      cell: (row) => [mark(get(row, "label")), ` ${get(row, "hpa_staining") || "–"}`],
      type: "words",
    },
    {
      key: "images",
      title: "Cores",
      cell: (row) => [get(row, "images")],
      descending: true,
      type: "number wide",
    },
  ];

  /* Antibodies */
  const search = element("search");
  const [staining, label, maxQ, tissue] = ["staining", "label", "max-q", "tissue"].map(element);
  const searchTexts = new Map(
    data.rows.map((row) => [
      row,
      ["gene", "antibody_id", "ensembl_id", "hpa_location"]
        .map((name) => get(row, name))
        .join(" ")
        .toLowerCase(),
    ]),
  );
  const tissues = new Map(
    data.rows.map((row) => [row, get(row, "tissues").split("; ").filter(Boolean)]),
  );
  const searchWords = (field) => field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let words = [];
  const antibodies = table({
    root: element("table"),
    pages: element("pages"),
    status: element("shown"),
    rows: data.rows,
    get,
    columns: COLUMNS,
    accepts: (row) =>
      words.every((word) => searchTexts.get(row).includes(word)) &&
      (staining.value === "*" || get(row, "hpa_staining") === staining.value) &&
      (label.value === "*" || get(row, "label") === label.value) &&
      (maxQ.value === "*" ||
        (get(row, "q_value") !== null && get(row, "q_value") <= Number(maxQ.value))) &&
      (tissue.value === "*" || tissues.get(row).includes(tissue.value)),
    statusText: (selected, all) => `${selected} of ${all} antibodies`,
    emptyReason: () => {
      const unmeasured = words.length
        ? data.unmeasured.filter(([name]) =>
            words.every((word) => name.toLowerCase().includes(word)),
          )
        : [];
      return unmeasured
        .slice(0, 3)
        .map(([name, failures]) => `${name} has no measured image (${failures})`)
        .join("; ");
    },
  });
  const applyFilters = () => {
    words = searchWords(search);
    antibodies.select();
  };
  const STAINING_ORDER = ["high", "medium", "low", "not detected"];
  const stainingRank = (word) => {
    if (STAINING_ORDER.includes(word)) return STAINING_ORDER.indexOf(word);
    return word ? STAINING_ORDER.length : STAINING_ORDER.length + 1;
  };
  for (const word of [...new Set(data.rows.map((row) => get(row, "hpa_staining")))].sort(
    (a, b) => stainingRank(a) - stainingRank(b) || (a < b ? -1 : 1),
  )) {
    staining.append(make("option", { value: word }, word || "not annotated"));
  }
  const tissueNames = [...new Set([...tissues.values()].flat())].sort();
  tissue.parentElement.hidden = tissueNames.length < 2;
  for (const name of tissueNames) tissue.append(make("option", { value: name }, name));
  maxQ.disabled = !has("q_value");
  const filters = search.form;
  search.addEventListener("input", applyFilters);
  for (const field of [staining, label, maxQ, tissue])
    field.addEventListener("change", applyFilters);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(applyFilters));
  panel(data, get, antibodies.rows);

  /* Genes; their data load when the table comes near the window */
  const drawGenes = async () => {
    await load("genes.js");
    const { columns, rows } = window.ATLAS_GENES;
    const read = columnReader(columns);
    const field = element("gene-search");
    const geneButton = (row) => {
      const button = make(
        "button",
        { type: "button", class: "open" },
        read(row, "gene") || read(row, "ensembl_id"),
      );
      button.addEventListener("click", () => {
        filters.reset();
        search.value = read(row, "ensembl_id") || read(row, "gene");
        applyFilters();
        element("antibodies").scrollIntoView();
        search.focus({ preventScroll: true });
      });
      return [button];
    };
    let geneWords = [];
    const genes = table({
      root: element("gene-table"),
      pages: element("gene-pages"),
      status: element("gene-shown"),
      rows,
      get: read,
      columns: [
        { key: "rank", title: "#", cell: (row) => [read(row, "rank")], type: "number" },
        { key: "gene", title: "Gene", cell: geneButton },
        {
          key: "stained_to_cell_ratio",
          title: "Ratio",
          cell: ratioCells(rows, read),
          descending: true,
          type: "ratio",
        },
        {
          key: "ratio_low",
          title: "95 % interval",
          cell: (row) => [percentRange(read(row, "ratio_low"), read(row, "ratio_high")) || "–"],
          descending: true,
          type: "wide",
        },
        {
          key: "q_value",
          title: "q",
          cell: (row) => [pValue(read(row, "q_value"))],
          type: "number",
        },
        {
          key: "border_share",
          title: "Border share",
          cell: (row) => [percent(read(row, "border_share"))],
          descending: true,
          type: "number wide",
        },
        {
          key: "agreement",
          title: "Agreement",
          cell: (row) => [decimal(read(row, "agreement"), 2)],
          descending: true,
          type: "number wide",
          hint: "1 = the antibodies of the gene have the same rank, 0 = no more alike than any two antibodies",
        },
        {
          key: "hpa_staining",
          title: "HPA",
          cell: (row) => [read(row, "hpa_staining") || "–"],
          type: "words",
        },
        {
          key: "antibodies",
          title: "Antibodies",
          cell: (row) => [read(row, "antibodies")],
          descending: true,
          type: "number wide",
        },
      ],
      accepts: (row) =>
        geneWords.every((word) =>
          `${read(row, "gene")} ${read(row, "ensembl_id")}`.toLowerCase().includes(word),
        ),
      statusText: (selected, all) => `${selected} of ${all} genes`,
    });
    field.addEventListener("input", () => {
      geneWords = searchWords(field);
      genes.select();
    });
    field.form.addEventListener("submit", (event) => event.preventDefault());
  };
  const geneTable = element("gene-table");
  if (geneTable) {
    const start = () => {
      if (!near) return;
      near.disconnect();
      near = null;
      drawGenes().catch((error) => {
        element("gene-shown").textContent = error.message;
      });
    };
    let near = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) start();
      },
      { rootMargin: "600px" },
    );
    near.observe(geneTable.parentElement);
    window.addEventListener("load", () => setTimeout(start, 3000));
  }

  /* Masks */
  const switches = document.querySelectorAll(".switch input");
  const showMasks = (visible) => {
    for (const box of switches) box.checked = visible;
    for (const stack of document.querySelectorAll(".stack"))
      stack.setAttribute("aria-pressed", String(visible));
  };
  for (const box of switches) box.addEventListener("change", () => showMasks(box.checked));
  document.addEventListener("keydown", (event) => {
    if (
      event.key !== "m" ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.target.closest("input:not([type=checkbox]), select")
    )
      return;
    showMasks(!switches[0].checked);
  });
  document.addEventListener("click", (event) => {
    const stack = event.target.closest(".stack");
    if (stack)
      stack.setAttribute("aria-pressed", String(stack.getAttribute("aria-pressed") !== "true"));
  });

  /* A print contains all thumbnails: a page from disk loads them 4 s after it has loaded */
  const loadAllImages = () => {
    for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
  };
  window.addEventListener("beforeprint", loadAllImages);
  if (location.protocol === "file:")
    window.addEventListener("load", () => setTimeout(loadAllImages, 4000));
})();
