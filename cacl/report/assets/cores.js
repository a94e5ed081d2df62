"use strict";
/* The cores of an antibody: their data, which load on demand, and their figures. */
window.Cacl.cores = (() => {
  const { make, percent, percentRange, decimal, count, link, columnReader, load, term } =
    window.Cacl;
  const files = new Map();
  const masks = () => document.getElementById("panel-masks").checked;

  /* index: of the antibody by rank. Returns its cores, each as a function that reads a column, and
     its failures. Maps, because an object has names of its own, such as constructor */
  const cores = async (antibody, index) => {
    const file = Math.floor(index / window.ATLAS.perFile);
    await load(`cores-${file}.js`);
    if (!files.has(file)) {
      const { columns, rows, failed } = window[`ATLAS_CORES_${file}`];
      files.set(file, {
        read: columnReader(columns),
        rows: new Map(rows),
        failed: new Map(failed),
      });
    }
    const { read, rows, failed } = files.get(file);
    return {
      cores: (rows.get(antibody) ?? []).map((values) => (name) => read(values, name)),
      failures: failed.get(antibody) ?? [],
    };
  };

  const finePrint = (text) => make("span", { class: "fine block" }, text);
  const picture = (core) => {
    const name = core("image_id");
    if (!core("core")) {
      return make(
        "div",
        { class: "no-thumbnail" },
        "no thumbnail",
        ...(core("url") ? [make("br"), link(core("url"), "original image")] : []),
      );
    }
    const stack = make(
      "button",
      {
        type: "button",
        class: "stack",
        "aria-pressed": String(masks()),
        "aria-label": `Mask of ${name}`,
      },
      make("img", { src: core("core"), alt: `Core ${name}` }),
      make("img", { class: "mask", src: core("mask"), alt: "" }),
    );
    stack.style.aspectRatio = core("aspect");
    const zoom = make(
      "button",
      { type: "button", class: "zoom", "data-zoom": name, "aria-label": `Zoom ${name}` },
      "⤢",
    );
    return make("div", { class: "picture" }, stack, zoom);
  };
  const dabClasses = (core) => {
    const fractions = ["weak_share", "moderate_share", "strong_share"].map(core);
    if (fractions.some((fraction) => fraction === null)) return [];
    const text = `DAB weak ${percent(fractions[0])}, moderate ${percent(fractions[1])}, strong ${percent(fractions[2])}`;
    const bar = make("span", {
      class: "dab-classes",
      role: "img",
      "aria-label": `${text} of the cell area`,
    });
    fractions.forEach((fraction, index) => {
      const segment = make("i", { class: `dab-class-${index + 1}` });
      segment.style.width = `${100 * fraction}%`;
      bar.append(segment);
    });
    return [bar, finePrint(text)];
  };
  const TERMS = [
    ...["stained_to_cell_ratio", "ratio_low", "ratio_high", "cell_area_um2", "cell_area_px"],
    ...["stained_od", "confidence", "weak_share", "moderate_share", "strong_share"],
  ]
    .map((name) => `images.${name}`)
    .join(" ");
  const joined = (...parts) => parts.filter(Boolean).join(" · ").replaceAll("/", "/\u200b");
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
      term(TERMS, "?", `Definitions of the values of ${core("image_id")}`),
      finePrint(
        joined(
          core("image_id"),
          core("patient_id") && `patient ${core("patient_id")}`,
          core("tissue"),
          core("label") && `labelled ${core("label")}`,
        ),
      ),
      finePrint(
        joined(
          `cell area ${area}`,
          core("stained_od") !== null && `OD ${decimal(core("stained_od"), 2)}`,
          core("confidence") !== null && `confidence ${decimal(core("confidence"), 2)}`,
        ),
      ),
      ...dabClasses(core),
    );
    if (core("classes")) caption.append(finePrint(core("classes")));
    if (core("qc"))
      caption.append(make("span", { class: "flag block" }, core("qc").replaceAll(";", ", ")));
    if (core("core") && core("url")) caption.append(link(core("url"), "original image"));
    return make("figure", { class: "core" }, picture(core), caption);
  };
  return { cores, figure };
})();
