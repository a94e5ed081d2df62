"use strict";
/* The panel of one antibody: its measures, its annotation, and its cores with masks. */
window.Cacl.panel = (data, get, tableRows) => {
  const { make, percent, percentRange, pValue, decimal, count, hpaUrl, link, columnReader, load } =
    window.Cacl;
  const byAntibody = new Map(data.rows.map((row, index) => [get(row, "antibody_id"), index]));
  const panel = document.getElementById("panel");
  const title = document.getElementById("panel-title");
  const body = document.getElementById("panel-body");
  const masks = document.getElementById("panel-masks");
  let current = null;

  const fact = (name, ...values) =>
    make(
      "div",
      {},
      make("dt", {}, name),
      make(
        "dd",
        {},
        ...values.map((value) =>
          value instanceof Node ? value : String(value || "–").replaceAll("/", "/\u200b"),
        ),
      ),
    );
  const finePrint = (text) => make("span", { class: "fine block" }, text);
  const thumbnail = (core) => {
    const name = core("image_id");
    if (!core("core")) {
      return [
        make(
          "div",
          { class: "no-thumbnail" },
          "no thumbnail",
          ...(core("url") ? [make("br"), link(core("url"), "original image")] : []),
        ),
      ];
    }
    const stack = make(
      "button",
      {
        type: "button",
        class: "stack",
        "aria-pressed": String(masks.checked),
        "aria-label": `Mask of ${name}`,
      },
      make("img", { src: core("core"), alt: `Core ${name}` }),
      make("img", { class: "mask", src: core("mask"), alt: "" }),
    );
    stack.style.aspectRatio = core("aspect");
    return [stack];
  };
  const dabClasses = (core) => {
    const fractions = ["weak_share", "moderate_share", "strong_share"].map(core);
    if (fractions.some((fraction) => fraction === null)) return [];
    const bar = make("span", {
      class: "dab-classes",
      role: "img",
      "aria-label": `DAB weak ${percent(fractions[0])}, moderate ${percent(fractions[1])}, strong ${percent(fractions[2])} of the cell area`,
    });
    fractions.forEach((fraction, index) => {
      const segment = make("i", { class: `dab-class-${index + 1}` });
      segment.style.width = `${100 * fraction}%`;
      bar.append(segment);
    });
    return [
      bar,
      finePrint(
        `DAB weak ${percent(fractions[0])}, moderate ${percent(fractions[1])}, strong ${percent(fractions[2])}`,
      ),
    ];
  };
  const figure = (core) => {
    const range = percentRange(core("ratio_low"), core("ratio_high"));
    const area =
      core("cell_area_um2") === null
        ? `${count(core("cell_area_px"))} px`
        : `${decimal(core("cell_area_um2") / 1e6, 3)} mm²`;
    const caption = make(
      "figcaption",
      {},
      make("strong", {}, percent(core("stained_to_cell_ratio"))),
      range ? ` (95 % interval ${range})` : "",
      finePrint(
        [
          core("image_id"),
          core("patient_id") && `patient ${core("patient_id")}`,
          core("tissue"),
          core("label") && `labelled ${core("label")}`,
        ]
          .filter(Boolean)
          .join(" · ")
          .replaceAll("/", "/\u200b"),
      ),
      finePrint(
        [
          `cell area ${area}`,
          core("stained_od") !== null && `OD ${decimal(core("stained_od"), 2)}`,
          core("confidence") !== null && `confidence ${decimal(core("confidence"), 2)}`,
        ]
          .filter(Boolean)
          .join(" · "),
      ),
      ...dabClasses(core),
    );
    if (core("classes")) caption.append(finePrint(core("classes")));
    if (core("qc"))
      caption.append(make("span", { class: "flag block" }, core("qc").replaceAll(";", ", ")));
    if (core("core") && core("url")) caption.append(link(core("url"), "original image"));
    return make("figure", { class: "core" }, ...thumbnail(core), caption);
  };

  const whyNoInterval = (row) => {
    if (get(row, "stained_to_cell_ratio") === null) return "no cell area in the counted tiles";
    if (get(row, "images") === 1) return "one image, no interval";
    return get(row, "patients") === 1 ? "one patient, no interval" : "";
  };
  const facts = (row, coreLabels) => {
    const range = percentRange(get(row, "ratio_low"), get(row, "ratio_high"));
    return [
      fact("Rank", `${count(get(row, "rank"))} of ${count(data.rows.length)}`),
      fact(
        "Ratio",
        percent(get(row, "stained_to_cell_ratio")),
        finePrint(range ? `95 % interval ${range}` : whyNoInterval(row)),
      ),
      fact(
        "p · q · z",
        [pValue(get(row, "p_value")), pValue(get(row, "q_value")), decimal(get(row, "z"))].join(
          " · ",
        ),
        finePrint(get(row, "p_extrapolated") ? "p beyond all negatives: extrapolated" : ""),
      ),
      fact("Border share of DAB", percent(get(row, "border_share"))),
      fact(
        "H-score · OD of the stain",
        `${decimal(get(row, "h_score"), 0)} · ${decimal(get(row, "stained_od"), 2)}`,
      ),
      ...(get(row, "tissue_tau") === null
        ? []
        : [
            fact(
              "Tissue specificity (tau)",
              `${decimal(get(row, "tissue_tau"), 2)}, highest in ${get(row, "top_tissue")}`,
            ),
          ]),
      ...(get(row, "gene_agreement") === null
        ? []
        : [fact("Agreement within the gene", decimal(get(row, "gene_agreement"), 2))]),
      fact("HPA staining", get(row, "hpa_staining") || "not annotated"),
      fact("HPA intensity", get(row, "hpa_intensity")),
      fact("HPA quantity", get(row, "hpa_quantity")),
      fact("HPA location", get(row, "hpa_location")),
      fact(
        "Training label",
        get(row, "label") || (coreLabels.some(Boolean) ? "differs between cores" : "no label"),
      ),
    ];
  };

  /* Maps, because an object has names of its own, such as constructor */
  const coresOf = (file) => {
    const { columns, rows, failed } = window[`ATLAS_CORES_${file}`];
    return { columns, rows: new Map(rows), failed: new Map(failed) };
  };
  const show = async (antibody) => {
    const index = byAntibody.get(antibody);
    if (index === undefined) return;
    const row = data.rows[index];
    const file = Math.floor(index / data.perFile);
    await load(`cores-${file}.js`);
    const cores = coresOf(file);
    const read = columnReader(cores.columns);
    const url = hpaUrl(get(row, "ensembl_id"), antibody);
    const antibodyCores = cores.rows.get(antibody) || [];
    const failures = cores.failed.get(antibody) || [];
    const labels = antibodyCores.map((core) => read(core, "label"));
    current = antibody;
    title.textContent = [get(row, "gene"), antibody].filter(Boolean).join(" · ");
    body.replaceChildren(
      ...(url
        ? [
            make(
              "p",
              {},
              link(url, `${get(row, "ensembl_id") || antibody} in the Human Protein Atlas`),
            ),
          ]
        : []),
      make("dl", { class: "facts" }, ...facts(row, labels)),
      make(
        "div",
        { class: "panel-cores" },
        ...antibodyCores.map((values) => figure((name) => read(values, name))),
      ),
      ...(failures.length
        ? [
            make(
              "p",
              { class: "failures" },
              "Not measured: ",
              failures
                .map(([image, stage, reason]) => `${image} (${reason} at ${stage})`)
                .join(", "),
            ),
          ]
        : []),
    );
    const rows = tableRows();
    const position = rows.indexOf(row);
    document
      .getElementById("panel-position")
      .replaceChildren(
        ...(position < 0
          ? []
          : [
              `${count(position + 1)} of ${count(rows.length)}`,
              make("span", { class: "wide" }, " in the table"),
            ]),
      );
    document.getElementById("panel-previous").disabled = position <= 0;
    document.getElementById("panel-next").disabled = position < 0 || position + 1 >= rows.length;
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
    title.focus();
    history.replaceState(null, "", `#antibody=${encodeURIComponent(antibody)}`);
  };
  const step = (offset) => {
    const rows = tableRows();
    const position = rows.findIndex((row) => get(row, "antibody_id") === current);
    const row = position < 0 ? undefined : rows[position + offset];
    if (row) show(get(row, "antibody_id"));
  };

  panel.querySelector(".close").addEventListener("click", () => panel.close());
  panel.addEventListener("click", (event) => {
    if (event.target === panel) panel.close();
  });
  panel.addEventListener("close", () => {
    current = null;
    history.replaceState(null, "", " ");
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  document.getElementById("panel-previous").addEventListener("click", () => step(-1));
  document.getElementById("panel-next").addEventListener("click", () => step(1));
  document.addEventListener("antibody", (event) => show(event.detail));
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-antibody]");
    if (opener) show(opener.dataset.antibody);
  });
  const linked = new URLSearchParams(location.hash.slice(1)).get("antibody");
  if (linked) show(linked);
};
