"use strict";
/* The measures and the annotation of an antibody, as names and values with their definitions. */
window.Cacl.facts = (() => {
  const { make, percent, percentRange, pValue, decimal, count } = window.Cacl;
  const fine = (text) => (text ? [make("span", { class: "fine block" }, text)] : []);
  const words = (value) => String(value || "–").replaceAll("/", "/\u200b");

  const whyNoInterval = (row, get) => {
    if (get(row, "stained_to_cell_ratio") === null) return "no cell area in the counted tiles";
    if (get(row, "images") === 1) return "one image, no interval";
    return get(row, "patients") === 1 ? "one patient, no interval" : "";
  };
  const ratio = (row, get) => {
    const range = percentRange(get(row, "ratio_low"), get(row, "ratio_high"));
    return [
      percent(get(row, "stained_to_cell_ratio")),
      ...fine(range ? `95 % interval ${range}` : whyNoInterval(row, get)),
    ];
  };
  const label = (row, get, coreLabels) =>
    get(row, "label") || (coreLabels.some(Boolean) ? "differs between cores" : "no label");

  /* Facts: [terms, name, nodes]. get: reads a column of the row; total: number of antibodies;
     coreLabels: labels of its cores; optional: whether facts without a value are listed too */
  return (row, get, { total, coreLabels, optional = false }) => {
    const value = (name, title, format) => [`antibodies.${name}`, title, [format(get(row, name))]];
    const present = (name, fact) => (optional || get(row, name) !== null ? [fact] : []);
    const twoDigits = (number) => decimal(number, 2);
    const tau = get(row, "tissue_tau");
    const tauText = tau === null ? "–" : `${twoDigits(tau)}, highest in ${get(row, "top_tissue")}`;
    return [
      ["antibodies.rank", "Rank", [`${count(get(row, "rank"))} of ${count(total)}`]],
      [
        "antibodies.stained_to_cell_ratio antibodies.ratio_low antibodies.ratio_high",
        "Ratio",
        ratio(row, get),
      ],
      [
        "antibodies.p_value antibodies.p_extrapolated",
        "p",
        [
          pValue(get(row, "p_value")),
          ...fine(get(row, "p_extrapolated") ? "beyond all negatives: extrapolated" : ""),
        ],
      ],
      value("q_value", "q", pValue),
      value("z", "z", decimal),
      value("border_share", "Border share of DAB", percent),
      value("h_score", "H-score", (score) => decimal(score, 0)),
      value("stained_od", "OD of the stain", twoDigits),
      ...present("tissue_tau", [
        "antibodies.tissue_tau antibodies.top_tissue",
        "Tissue specificity (tau)",
        [tauText],
      ]),
      ...present("gene_agreement", value("gene_agreement", "Agreement within the gene", twoDigits)),
      value("images", "Cores", count),
      value("patients", "Patients", (number) => (number ? count(number) : "unknown")),
      [
        "antibodies.hpa_staining",
        "HPA staining",
        [words(get(row, "hpa_staining") || "not annotated")],
      ],
      value("hpa_intensity", "HPA intensity", words),
      value("hpa_quantity", "HPA quantity", words),
      value("hpa_location", "HPA location", words),
      ["antibodies.label", "Training label", [label(row, get, coreLabels)]],
    ];
  };
})();
