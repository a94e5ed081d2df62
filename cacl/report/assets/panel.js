"use strict";
/* The panel of one antibody: its measures, its annotation, and its cores with masks. */
window.Cacl.panel = (data, get, byAntibody, tableRows) => {
  const { make, count, hpaUrl, link, term, address, cores, facts } = window.Cacl;
  const panel = document.getElementById("panel");
  const title = document.getElementById("panel-title");
  const body = document.getElementById("panel-body");
  const position = document.getElementById("panel-position");
  const compare = document.getElementById("panel-compare");
  let current = null;

  const pageOfHpa = (row, antibody) => {
    const url = hpaUrl(get(row, "ensembl_id"), antibody);
    const text = `${get(row, "ensembl_id") || antibody} in the Human Protein Atlas`;
    return url ? [make("p", {}, link(url, text))] : [];
  };
  const failureList = (failures) => {
    const texts = failures.map(([image, stage, reason]) => `${image} (${reason} at ${stage})`);
    const text = `Not measured: ${texts.join(", ")}`;
    return texts.length ? [make("p", { class: "failures" }, text)] : [];
  };
  const showPosition = (row) => {
    const rows = tableRows();
    const index = rows.indexOf(row);
    const text = `${count(index + 1)} of ${count(rows.length)}`;
    position.replaceChildren(
      ...(index < 0 ? [] : [text, make("span", { class: "wide" }, " in the table")]),
    );
    document.getElementById("panel-previous").disabled = index <= 0;
    document.getElementById("panel-next").disabled = index < 0 || index + 1 >= rows.length;
  };
  const show = async (antibody) => {
    const index = byAntibody.get(antibody);
    if (index === undefined) return;
    const row = data.rows[index];
    const { cores: antibodyCores, failures } = await cores.cores(antibody, index);
    const coreLabels = antibodyCores.map((core) => core("label"));
    current = antibody;
    title.textContent = [get(row, "gene"), antibody].filter(Boolean).join(" · ");
    body.replaceChildren(
      ...pageOfHpa(row, antibody),
      make(
        "dl",
        { class: "facts" },
        ...facts(row, get, { total: data.rows.length, coreLabels }).map(([keys, name, values]) =>
          make("div", {}, make("dt", {}, term(keys, name)), make("dd", {}, ...values)),
        ),
      ),
      make("div", { class: "panel-cores" }, ...antibodyCores.map(cores.figure)),
      ...failureList(failures),
    );
    compare.dataset.compare = antibody;
    showPosition(row);
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
    title.focus();
    address.set("antibody", antibody);
  };
  const step = (offset) => {
    const rows = tableRows();
    const index = rows.findIndex((row) => get(row, "antibody_id") === current);
    const row = index < 0 ? undefined : rows[index + offset];
    if (row) show(get(row, "antibody_id"));
  };

  panel.addEventListener("click", (event) => {
    if (event.target === panel || event.target.closest(".close")) panel.close();
  });
  panel.addEventListener("close", () => {
    current = null;
    address.set("antibody");
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
  const linked = address.get("antibody");
  if (linked) show(linked);
};
