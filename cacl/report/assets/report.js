"use strict";
/* The page: tables of antibodies and genes with their filters, and the switch of all masks. */
(() => {
  const { make, columnReader, load, address, columns, table, panel, comparison, viewer } =
    window.Cacl;
  const data = window.ATLAS;
  const get = columnReader(data.columns);
  const element = (id) => document.getElementById(id);
  /* A Map, because an object has names of its own, such as constructor */
  const byAntibody = new Map(data.rows.map((row, index) => [get(row, "antibody_id"), index]));
  const searchWords = (field) => field.value.toLowerCase().split(/\s+/).filter(Boolean);
  const openButton = (text) => make("button", { type: "button", class: "open" }, text);

  /* Antibodies */
  const fields = ["search", "staining", "label", "max-q", "tissue"].map(element);
  const [search, staining, label, maxQ, tissue] = fields;
  const searchTexts = new Map();
  const searchText = (row) => {
    if (!searchTexts.has(row)) {
      const names = ["gene", "antibody_id", "ensembl_id", "hpa_location"];
      const text = names.map((name) => get(row, name)).join(" ");
      searchTexts.set(row, text.toLowerCase());
    }
    return searchTexts.get(row);
  };
  const tissues = new Map(
    data.rows.map((row) => [row, get(row, "tissues").split("; ").filter(Boolean)]),
  );
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
  maxQ.disabled = !data.rows.some((row) => get(row, "q_value") !== null);
  for (const field of fields) {
    const text = address.get(field.id);
    if (text === null) continue;
    field.value = text;
    if (field.selectedIndex === -1) field.selectedIndex = 0;
  }

  const compare = comparison(data, get, byAntibody);
  let words = searchWords(search);
  const geneCell = (row) => {
    const [gene, antibody] = [get(row, "gene"), get(row, "antibody_id")];
    const button = openButton(gene || antibody);
    button.dataset.antibody = antibody;
    return [button, ...(gene ? [make("span", { class: "id narrow" }, antibody)] : [])];
  };
  const compareCell = (row) => {
    const antibody = get(row, "antibody_id");
    const button = make(
      "button",
      {
        type: "button",
        class: "pick",
        "data-compare": antibody,
        "aria-label": `Compare ${antibody}`,
        "aria-pressed": String(compare.isPicked(antibody)),
      },
      "+",
    );
    return [button];
  };
  const antibodies = table({
    name: "antibodies",
    root: element("table"),
    tools: element("table-tools"),
    pages: element("pages"),
    status: element("shown"),
    rows: data.rows,
    get,
    columns: columns.antibodies(data.rows, get, { gene: geneCell, compare: compareCell }),
    accepts: (row) =>
      words.every((word) => searchText(row).includes(word)) &&
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
    address.setAll(
      fields.map((field) => {
        const isSet = field.value !== (field === search ? "" : "*");
        return [field.id, isSet ? [field.value] : []];
      }),
    );
    antibodies.select();
  };
  const filters = search.form;
  search.addEventListener("input", applyFilters);
  for (const field of fields.slice(1)) field.addEventListener("change", applyFilters);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => {
    antibodies.resetColumnFilters();
    setTimeout(applyFilters);
  });
  viewer(byAntibody);
  panel(data, get, byAntibody, antibodies.rows);

  /* Genes; their data load when the table comes near the window */
  const drawGenes = async () => {
    await load("genes.js");
    const { columns: names, rows } = window.ATLAS_GENES;
    const read = columnReader(names);
    const field = element("gene-search");
    const showAntibodies = (row) => {
      filters.reset();
      search.value = read(row, "ensembl_id") || read(row, "gene");
      applyFilters();
      element("antibodies").scrollIntoView();
      search.focus({ preventScroll: true });
    };
    const gene = (row) => {
      const button = openButton(read(row, "gene") || read(row, "ensembl_id"));
      button.addEventListener("click", () => showAntibodies(row));
      return [button];
    };
    let geneWords = [];
    const genes = table({
      name: "genes",
      prefix: "genes.",
      root: element("gene-table"),
      tools: element("gene-tools"),
      pages: element("gene-pages"),
      status: element("gene-shown"),
      rows,
      get: read,
      columns: columns.genes(rows, read, { gene }),
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

  /* A print contains all thumbnails: a page from disk loads them 4 s after it has loaded */
  const loadAllImages = () => {
    for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
  };
  window.addEventListener("beforeprint", loadAllImages);
  if (location.protocol === "file:")
    window.addEventListener("load", () => setTimeout(loadAllImages, 4000));
})();
