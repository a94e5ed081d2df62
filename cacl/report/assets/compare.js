"use strict";
/* Two antibodies side by side: their measures, and their cores patient by patient. */
window.Cacl.comparison = (data, get, byAntibody) => {
  const { make, percent, term, address, cores, facts } = window.Cacl;
  const dialog = document.getElementById("compare");
  const title = document.getElementById("compare-title");
  const body = document.getElementById("compare-body");
  const tray = document.getElementById("tray");
  let picked = [];

  const nameOf = (antibody) =>
    [get(data.rows[byAntibody.get(antibody)], "gene"), antibody].filter(Boolean).join(" · ");
  const openButton = (antibody) =>
    make(
      "button",
      { type: "button", class: "open", "data-antibody": antibody },
      ...nameOf(antibody).split(/(?= · )/),
    );
  /* Ratio and interval on a scale from 0 to `highest`; the numbers stand above it */
  const interval = (row, highest) => {
    const [ratio, low, high] = ["stained_to_cell_ratio", "ratio_low", "ratio_high"].map((name) =>
      get(row, name),
    );
    const at = (value) => `${(100 * value) / highest}%`;
    const range = make("i", { class: "range" });
    range.style.left = at(low ?? 0);
    range.style.width = at((high ?? 0) - (low ?? 0));
    const point = make("i", { class: "point" });
    point.style.left = at(ratio ?? 0);
    return make(
      "span",
      { class: "interval", "aria-hidden": "true" },
      ...(low === null ? [] : [range]),
      ...(ratio === null ? [] : [point]),
    );
  };
  const measures = (rows, lists) => {
    const highest = Math.max(
      ...rows.flatMap((row) =>
        ["stained_to_cell_ratio", "ratio_high"].map((name) => get(row, name) ?? 0),
      ),
      1e-9,
    );
    const [left, right] = rows.map((row, side) =>
      facts(row, get, {
        total: data.rows.length,
        coreLabels: lists[side].map((core) => core("label")),
        optional: true,
      }),
    );
    return left.map(([keys, name, values], index) => {
      const cells = [values, right[index][2]];
      const extra = (side) => (name === "Ratio" ? [interval(rows[side], highest)] : []);
      return make(
        "tr",
        {},
        make(
          "th",
          { scope: "row" },
          term(keys, name),
          ...(name === "Ratio"
            ? [make("span", { class: "fine block" }, `bars from 0 to ${percent(highest)}`)]
            : []),
        ),
        ...cells.map((nodes, side) => make("td", {}, ...nodes, ...extra(side))),
      );
    });
  };
  const coresByPatient = (lists) => {
    const patients = [...new Set(lists.flat().map((core) => core("patient_id")))].sort((a, b) =>
      a.localeCompare(b, "en", { numeric: true }),
    );
    return patients.map((patient) =>
      make(
        "section",
        { class: "pair", "aria-label": patient ? `Patient ${patient}` : "Patient unknown" },
        make("h3", {}, patient ? `Patient ${patient}` : "Patient unknown"),
        ...lists.map((list) => {
          const figures = list.filter((core) => core("patient_id") === patient).map(cores.figure);
          const none = make("p", { class: "empty" }, "no core");
          return make("div", { class: "side" }, ...(figures.length ? figures : [none]));
        }),
      ),
    );
  };
  const show = async () => {
    const rows = picked.map((antibody) => data.rows[byAntibody.get(antibody)]);
    const loaded = await Promise.all(
      picked.map((antibody) => cores.cores(antibody, byAntibody.get(antibody))),
    );
    const lists = loaded.map((each) => each.cores);
    title.textContent = picked.map(nameOf).join(" and ");
    body.replaceChildren(
      make(
        "table",
        { class: "sides" },
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            make("td", {}),
            ...picked.map((antibody) => make("th", { scope: "col" }, openButton(antibody))),
          ),
        ),
        make("tbody", {}, ...measures(rows, lists)),
      ),
      ...coresByPatient(lists),
    );
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    title.focus();
    address.set("compare", ...picked);
  };

  const drawTray = () => {
    tray.hidden = picked.length === 0;
    const chips = picked.map((antibody) => {
      const remove = make(
        "button",
        { type: "button", class: "plain-button", "aria-label": `Do not compare ${antibody}` },
        `${nameOf(antibody)} ×`,
      );
      remove.addEventListener("click", () => toggle(antibody));
      return remove;
    });
    const open = make("button", { type: "button", class: "plain-button" }, "Side by side");
    open.addEventListener("click", show);
    tray.replaceChildren(
      make("span", {}, "Compare"),
      ...chips,
      picked.length === 2 ? open : make("span", { class: "fine" }, "with a second antibody"),
    );
    for (const button of document.querySelectorAll(".pick"))
      button.setAttribute("aria-pressed", String(picked.includes(button.dataset.compare)));
  };
  /* A third antibody takes the place of the second */
  const toggle = (antibody) => {
    const isAdded = !picked.includes(antibody);
    picked = isAdded
      ? [...picked.slice(0, 1), antibody]
      : picked.filter((other) => other !== antibody);
    drawTray();
    return isAdded && picked.length === 2;
  };

  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest(".close")) dialog.close();
  });
  dialog.addEventListener("close", () => address.set("compare"));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-compare]");
    if (!button) return;
    const antibody = button.dataset.compare;
    const inPanel = button.closest("dialog");
    if (inPanel) inPanel.close();
    if (inPanel && picked.includes(antibody)) return;
    if (toggle(antibody)) show();
  });
  const linked = address.getAll("compare").filter((antibody) => byAntibody.has(antibody));
  if (new Set(linked).size === 2) {
    picked = linked.slice(0, 2);
    drawTray();
    show();
  }
  return { isPicked: (antibody) => picked.includes(antibody) };
};
