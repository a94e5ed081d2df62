"use strict";
/* The report's behaviour: the table of antibodies, masks, the panel of one antibody, figures. */
(() => {
  const PAGE_ROWS = 50;
  const data = window.ATLAS;
  const column = Object.fromEntries(data.columns.map((name, index) => [name, index]));
  const get = (row, name) => row[column[name]];
  const byAntibody = new Map(data.rows.map((row) => [get(row, "antibody_id"), row]));
  const highest = Math.max(...data.rows.map((row) => get(row, "stained_to_cell_ratio") ?? 0), 1e-9);

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const digits = (value) => (value >= 0.0995 ? 1 : 2);
  const percent = (value) => (value === null ? "–" : `${(100 * value).toFixed(value === 0 ? 0 : digits(value))}\u00a0%`);
  const spread = (low, high) => low === null || high === null
    ? "" : `${(100 * low).toFixed(digits(high))}–${(100 * high).toFixed(digits(high))}\u00a0%`;
  const small = (value) => (value === null ? "–" : value < 0.001 ? value.toExponential(1) : value.toPrecision(2));
  const decimal = (value) => (value === null ? "–" : value.toFixed(1));

  const opener = (row) => {
    const button = make("button", { type: "button", class: "open" }, get(row, "gene") || get(row, "antibody_id"));
    button.dataset.antibody = get(row, "antibody_id");
    return button;
  };
  const ratioCell = (row) => {
    const value = get(row, "stained_to_cell_ratio");
    const bar = make("i");
    bar.style.width = `${(100 * (value ?? 0)) / highest}%`;
    return [percent(value), make("span", { class: "meter", "aria-hidden": "true" }, bar)];
  };
  const page = (row) => {
    const url = get(row, "hpa_page");
    return url ? [make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, get(row, "antibody_id"))] : [get(row, "antibody_id")];
  };
  const gene = (row) => get(row, "gene")
    ? [opener(row), make("span", { class: "id narrow" }, get(row, "antibody_id"))] : [opener(row)];
  const COLUMNS = [
    { key: "rank", title: "#", cell: (row) => [get(row, "rank")], type: "number" },
    { key: "gene", title: "Gene", cell: gene },
    { key: "antibody_id", title: "Antibody", cell: page, type: "wide" },
    { key: "stained_to_cell_ratio", title: "Ratio", cell: ratioCell, down: true, type: "ratio" },
    { key: "ratio_low", title: "95 % interval", cell: (row) => [spread(get(row, "ratio_low"), get(row, "ratio_high")) || "–"], down: true, type: "wide" },
    { key: "border_share", title: "Border share", cell: (row) => [percent(get(row, "border_share"))], down: true, type: "number wide" },
    { key: "z", title: "z", cell: (row) => [decimal(get(row, "z"))], down: true, type: "number wide" },
    { key: "p_value", title: "p", cell: (row) => [small(get(row, "p_value"))], type: "number wide" },
    { key: "q_value", title: "q", cell: (row) => [small(get(row, "q_value"))], type: "number wide" },
    { key: "hpa_staining", title: "HPA", cell: (row) => [get(row, "hpa_staining") || "–"] },
    { key: "images", title: "Cores", cell: (row) => [get(row, "images")], down: true, type: "number wide" },
  ];

  /* Table */
  const state = { key: "rank", direction: 1, start: 0, rows: data.rows };
  const search = document.getElementById("search");
  const staining = document.getElementById("staining");
  const label = document.getElementById("label");
  const head = document.querySelector("#table thead tr");
  const body = document.querySelector("#table tbody");
  const haystack = data.rows.map((row) =>
    ["gene", "antibody_id", "ensembl_id", "hpa_location"].map((name) => get(row, name)).join(" ").toLowerCase());

  const compare = (left, right) => {
    const a = get(left, state.key), b = get(right, state.key);
    if (a === b) return get(left, "rank") - get(right, "rank");
    if (a === null || a === "") return 1;
    if (b === null || b === "") return -1;
    return state.direction * (typeof a === "number" ? a - b : a < b ? -1 : 1);
  };
  const select = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    state.rows = data.rows.filter((row, index) =>
      words.every((word) => haystack[index].includes(word)) &&
      (staining.value === "*" || get(row, "hpa_staining") === staining.value) &&
      (label.value === "*" || get(row, "label") === label.value));
    state.rows.sort(compare);
    state.start = 0;
    draw();
  };
  const draw = () => {
    const end = Math.min(state.start + PAGE_ROWS, state.rows.length);
    body.replaceChildren(...state.rows.slice(state.start, end).map((row) =>
      make("tr", {}, ...COLUMNS.map(({ cell, type }) => make("td", { class: type || "" }, ...cell(row))))));
    for (const header of head.children) {
      const sorted = header.dataset.key === state.key;
      header.setAttribute("aria-sort", sorted ? (state.direction > 0 ? "ascending" : "descending") : "none");
    }
    document.getElementById("shown").textContent =
      `${state.rows.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")} antibodies`;
    document.getElementById("page").textContent = state.rows.length ? `${state.start + 1}–${end}` : "";
    document.getElementById("previous").disabled = state.start === 0;
    document.getElementById("next").disabled = end >= state.rows.length;
    document.querySelector(".pages").hidden = state.rows.length <= PAGE_ROWS;
  };
  for (const { key, title, type, down } of COLUMNS) {
    const button = make("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      state.direction = state.key === key ? -state.direction : down ? -1 : 1;
      state.key = key;
      select();
    });
    const header = make("th", { scope: "col", class: type || "" }, button);
    header.dataset.key = key;
    head.append(header);
  }
  const order = ["high", "medium", "low", "not detected"];
  const place = (word) => (order.includes(word) ? order.indexOf(word) : word ? order.length : order.length + 1);
  for (const word of [...new Set(data.rows.map((row) => get(row, "hpa_staining")))].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1))) {
    staining.append(make("option", { value: word }, word || "not annotated"));
  }
  search.addEventListener("input", select);
  for (const field of [staining, label]) field.addEventListener("change", select);
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("previous").addEventListener("click", () => { state.start -= PAGE_ROWS; draw(); });
  document.getElementById("next").addEventListener("click", () => { state.start += PAGE_ROWS; draw(); });

  /* Masks */
  const masks = document.getElementById("masks");
  const showMasks = (shown) => {
    for (const stack of document.querySelectorAll(".stack")) stack.setAttribute("aria-pressed", String(shown));
  };
  masks?.addEventListener("change", () => showMasks(masks.checked));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "m" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
    if (!masks) return;
    masks.checked = !masks.checked;
    showMasks(masks.checked);
  });
  document.addEventListener("click", (event) => {
    const stack = event.target.closest(".stack");
    if (stack) stack.setAttribute("aria-pressed", String(stack.getAttribute("aria-pressed") !== "true"));
    const open = event.target.closest("[data-antibody]");
    if (open) openPanel(open.dataset.antibody);
  });

  /* Files beside the page, each loaded once and only when needed */
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

  /* Panel */
  const panel = document.getElementById("panel");
  const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value || "–").replaceAll("/", "/\u200b")));
  const picture = (core, name) => {
    if (!core("core")) return [];
    const stack = make("button", { type: "button", class: "stack", "aria-pressed": String(masks?.checked ?? true), "aria-label": `Mask of ${name}` },
      make("img", { src: core("core"), alt: `Core ${name}` }), make("img", { class: "mask", src: core("mask"), alt: "" }));
    stack.style.aspectRatio = "1";
    return [stack];
  };
  const openPanel = async (antibody) => {
    const row = byAntibody.get(antibody);
    if (!row) return;
    await load("cores.js");
    const cores = window.ATLAS_CORES;
    const index = Object.fromEntries(cores.columns.map((name, position) => [name, position]));
    const url = get(row, "hpa_page");
    document.getElementById("panel-title").textContent = [get(row, "gene"), antibody].filter(Boolean).join(" · ");
    const images = (cores.rows[antibody] || []).map((values) => {
      const core = (name) => values[index[name]];
      const name = core("image_id");
      const range = spread(core("ratio_low"), core("ratio_high"));
      const caption = make("figcaption", {}, `${percent(core("stained_to_cell_ratio"))}${range ? ` (${range})` : ""}`,
        make("br"), [name, core("patient_id") && `patient ${core("patient_id")}`, core("tissue")].filter(Boolean).join(" · "));
      if (core("qc")) caption.append(make("br"), make("span", { class: "flag" }, core("qc").replaceAll(";", ", ")));
      return make("figure", { class: "core" }, ...picture(core, name), caption);
    });
    const range = spread(get(row, "ratio_low"), get(row, "ratio_high"));
    document.getElementById("panel-body").replaceChildren(
      ...(url ? [make("p", {}, make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, `${get(row, "ensembl_id")} in the Human Protein Atlas`))] : []),
      make("dl", { class: "facts" },
        fact("Rank", `${get(row, "rank")} of ${data.rows.length}`),
        fact("Ratio", `${percent(get(row, "stained_to_cell_ratio"))}${range ? ` (${range})` : ""}`),
        fact("Border share", percent(get(row, "border_share"))),
        fact("p · q · z", [small(get(row, "p_value")), small(get(row, "q_value")), decimal(get(row, "z"))].join(" · ")),
        fact("HPA staining", get(row, "hpa_staining")),
        fact("HPA intensity", get(row, "hpa_intensity")),
        fact("HPA quantity", get(row, "hpa_quantity")),
        fact("HPA location", get(row, "hpa_location")),
        fact("Label", get(row, "label") || "no label")),
      make("div", { class: "panel-cores" }, ...images));
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
  };
  panel.querySelector(".close").addEventListener("click", () => panel.close());
  panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });

  /* Figures: the plotting library is large, so it is read when the first figure comes near */
  const plot = async (canvas) => {
    await load("plotly.min.js");
    await load("figures.js");
    const { data: traces, layout } = window.ATLAS_FIGURES[canvas.dataset.figure];
    const narrow = canvas.clientWidth < 480;
    const margin = { l: 60, r: 15, t: 45, b: 50, ...layout.margin };
    await window.Plotly.newPlot(canvas, traces, { ...layout, margin, font: { ...layout.font, size: narrow ? 12 : 14 } },
      { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover" });
    canvas.on("plotly_click", (event) => {
      const antibody = event.points[0]?.customdata;
      if (antibody) openPanel(antibody);
    });
    canvas.dataset.drawn = "true";
  };
  const waiting = new Set(document.querySelectorAll("[data-figure]"));
  const start = (canvas) => {
    if (!waiting.delete(canvas)) return Promise.resolve();
    observer.unobserve(canvas);
    return plot(canvas).catch((error) => { canvas.textContent = error.message; });
  };
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) start(entry.target);
  }, { rootMargin: "600px" });
  for (const canvas of waiting) observer.observe(canvas);
  /* What nobody has scrolled to is drawn when the page has rested, so that it can be printed */
  const drawRest = async () => { for (const canvas of [...waiting]) await start(canvas); };
  window.addEventListener("load", () => setTimeout(drawRest, 3000));
  window.addEventListener("beforeprint", () => {
    for (const canvas of document.querySelectorAll("[data-drawn]")) window.Plotly.Plots.resize(canvas);
  });

  select();
})();
