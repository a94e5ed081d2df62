"use strict";
/* The columns of the tables of antibodies and genes. */
window.Cacl.columns = (() => {
  const { make, percent, percentRange, pValue, decimal, count, hpaUrl, link } = window.Cacl;

  const ratioCells = (rows, get) => {
    const highest = rows.reduce(
      (maximum, row) => Math.max(maximum, get(row, "stained_to_cell_ratio") ?? 0),
      1e-9,
    );
    return (row) => {
      const value = get(row, "stained_to_cell_ratio");
      const bar = make("i");
      bar.style.width = `${(100 * (value ?? 0)) / highest}%`;
      return [percent(value), make("span", { class: "meter", "aria-hidden": "true" }, bar)];
    };
  };
  const mark = (label) =>
    make(
      "span",
      { class: `mark mark-${label || "none"}`, title: label || "no label" },
      make("span", { class: "hidden" }, label || "no label"),
    );
  /* Builders of columns; table: whose definitions apply */
  const builders = (table, rows, get) => {
    const terms = (key) => ({ key, terms: `${table}.${key}` });
    const numeric = (key, title, format, more = {}) => ({
      ...terms(key),
      title,
      cell: (row) => [format(get(row, key))],
      type: "number",
      filter: "number",
      descending: true,
      shown: "wide",
      ...more,
    });
    const words = (key, title, more = {}) => ({
      ...terms(key),
      title,
      cell: (row) => [get(row, key) || "–"],
      type: "words",
      filter: "text",
      shown: "chosen",
      ...more,
    });
    return {
      numeric,
      words,
      rank: numeric("rank", "#", count, { descending: false, shown: "always" }),
      ratio: numeric("stained_to_cell_ratio", "Ratio", percent, {
        cell: ratioCells(rows, get),
        type: "ratio",
        scale: 100,
        shown: "always",
      }),
      interval: {
        ...terms("ratio_low"),
        terms: `${table}.ratio_low ${table}.ratio_high`,
        title: "95 % interval",
        cell: (row) => [percentRange(get(row, "ratio_low"), get(row, "ratio_high")) || "–"],
        fields: ["ratio_low", "ratio_high"],
        filter: "number",
        high: "ratio_high",
        scale: 100,
        descending: true,
        shown: "wide",
      },
      significance: [
        numeric("q_value", "q", pValue, { descending: false, shown: "always" }),
        numeric("p_value", "p", pValue, { descending: false, shown: "chosen" }),
      ],
      z: (shown) => numeric("z", "z", decimal, { shown }),
      border: numeric("border_share", "Border share", percent, { scale: 100 }),
    };
  };

  /* gene, compare: functions that return the cells of a row */
  const antibodies = (rows, get, { gene, compare }) => {
    const { numeric, words, rank, ratio, interval, significance, z, border } = builders(
      "antibodies",
      rows,
      get,
    );
    const has = (name) => rows.some((row) => get(row, name) !== null);
    const ifAny = (name) => (has(name) ? "wide" : "chosen");
    const twoDigits = (value) => decimal(value, 2);
    const antibodyLink = (row) => {
      const url = hpaUrl(get(row, "ensembl_id"), get(row, "antibody_id"));
      return url ? [link(url, get(row, "antibody_id"))] : [get(row, "antibody_id")];
    };
    return [
      rank,
      words("gene", "Gene", {
        cell: gene,
        type: "",
        shown: "always",
        fields: ["gene", "antibody_id"],
      }),
      words("antibody_id", "Antibody", { cell: antibodyLink, type: "", shown: "wide" }),
      ratio,
      interval,
      ...significance,
      z("wide"),
      border,
      numeric("h_score", "H-score", (value) => decimal(value, 0), { shown: ifAny("h_score") }),
      numeric("stained_od", "OD", twoDigits, { shown: "chosen" }),
      numeric("tissue_tau", "Tau", twoDigits, { shown: ifAny("tissue_tau") }),
      words("top_tissue", "Top tissue"),
      words("tissues", "Tissues"),
      numeric("gene_agreement", "Agreement", twoDigits, { shown: "chosen" }),
      words("hpa_staining", "HPA", {
        cell: (row) => [mark(get(row, "label")), ` ${get(row, "hpa_staining") || "–"}`],
        terms: "antibodies.hpa_staining antibodies.label",
        fields: ["hpa_staining", "label"],
        shown: "always",
      }),
      words("label", "Label"),
      words("hpa_intensity", "HPA intensity"),
      words("hpa_quantity", "HPA quantity"),
      words("hpa_location", "HPA location"),
      words("ensembl_id", "Ensembl"),
      numeric("images", "Cores", count),
      numeric("patients", "Patients", count, { shown: "chosen" }),
      {
        key: "compare",
        title: "Compare",
        cell: compare,
        fields: [],
        shown: "wide",
        type: "screen",
        unsorted: true,
      },
    ];
  };

  const genes = (rows, get, { gene }) => {
    const { numeric, words, rank, ratio, interval, significance, z, border } = builders(
      "genes",
      rows,
      get,
    );
    return [
      rank,
      words("gene", "Gene", { cell: gene, type: "", shown: "always" }),
      words("ensembl_id", "Ensembl"),
      ratio,
      interval,
      ...significance,
      z("chosen"),
      border,
      numeric("agreement", "Agreement", (value) => decimal(value, 2)),
      words("hpa_staining", "HPA", { shown: "always" }),
      numeric("antibodies", "Antibodies", count),
      numeric("images", "Cores", count, { shown: "chosen" }),
      numeric("patients", "Patients", count, { shown: "chosen" }),
    ];
  };
  return { antibodies, genes };
})();
