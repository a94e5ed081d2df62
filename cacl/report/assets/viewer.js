"use strict";
/* The viewer of a core: its picture at the resolution of the store, zoom and pan, the mask with a
   chosen opacity, a scale bar. Buttons with `data-zoom` (an image id) open it. */
window.Cacl.viewer = (byAntibody) => {
  const { make, percent, link, term, cores, zoom } = window.Cacl;
  const element = (id) => document.getElementById(`viewer${id}`);
  const dialog = element("");
  const [title, note, files, content] = ["-title", "-note", "-files", "-content"].map(element);
  const [opacity, bar, barText] = ["-opacity", "-bar", "-bar-text"].map(element);
  const [previous, next] = [element("-previous"), element("-next")];
  let list = [];
  let index = 0;

  const LENGTHS_UM = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
  const MAX_BAR_PX = 140;
  const drawBar = (scale) => {
    const core = list[index];
    const mpp = core?.("mpp");
    const view = core?.("view");
    bar.hidden = !mpp || !view;
    if (bar.hidden) return;
    const pxPerUm = scale / (mpp * view[4]);
    const length = LENGTHS_UM.findLast((um) => um * pxPerUm <= MAX_BAR_PX) ?? LENGTHS_UM[0];
    bar.style.width = `${length * pxPerUm}px`;
    barText.textContent = length < 1000 ? `${length} µm` : `${length / 1000} mm`;
  };
  const zoomer = zoom(element("-stage"), content, drawBar);

  const resolution = (core) => {
    const view = core("view");
    if (!view) return "reduced picture; the store has the full resolution";
    const size = `${view[2]} × ${view[3]} px`;
    return view[4] === 1
      ? `${size}, the resolution of the store`
      : `${size}; 1 px is ${view[4]} px of the store`;
  };
  const layer = (file, kind) => {
    const image = make("img", { src: file, alt: "", draggable: "false", class: kind });
    image.addEventListener("error", () => image.remove());
    return image;
  };
  const show = (position) => {
    index = position;
    const core = list[index];
    const view = core("view");
    const [width, height] = view ? [view[2], view[3]] : [512, 512 / core("aspect")];
    title.textContent = core("image_id");
    const patient = core("patient_id") && `patient ${core("patient_id")}`;
    note.replaceChildren(
      term("images.stained_to_cell_ratio", "stained"),
      ` ${percent(core("stained_to_cell_ratio"))} of cell area · `,
      [patient, resolution(core)].filter(Boolean).join(" · "),
    );
    /* The thumbnail is there at once; the picture covers it when it has loaded */
    content.replaceChildren(
      layer(core("core"), "base"),
      ...(view ? [layer(view[0], "base")] : []),
      layer(view ? view[1] : core("mask"), "mask"),
    );
    content.firstChild.alt = `Core ${core("image_id")}`;
    files.replaceChildren(
      ...(view ? [link(view[0], "picture"), " ", link(view[1], "mask"), " "] : []),
      ...(core("url") ? [link(core("url"), "original image")] : []),
    );
    previous.disabled = index === 0;
    next.disabled = index + 1 === list.length;
    if (!dialog.open) dialog.showModal();
    zoomer.show(width, height);
    element("-stage").focus();
  };
  const open = async (imageId) => {
    const antibody = imageId.split("/")[0];
    if (!byAntibody.has(antibody)) return;
    const loaded = await cores.cores(antibody, byAntibody.get(antibody));
    list = loaded.cores.filter((core) => core("core"));
    const position = list.findIndex((core) => core("image_id") === imageId);
    if (position >= 0) show(position);
  };

  const setOpacity = () =>
    content.style.setProperty("--mask-opacity", String(Number(opacity.value) / 100));
  opacity.addEventListener("input", setOpacity);
  setOpacity();
  previous.addEventListener("click", () => show(index - 1));
  next.addEventListener("click", () => show(index + 1));
  element("-in").addEventListener("click", zoomer.zoomIn);
  element("-out").addEventListener("click", zoomer.zoomOut);
  element("-fit").addEventListener("click", zoomer.fit);
  element("-actual").addEventListener("click", zoomer.actual);
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  document.addEventListener("masks", (event) => content.classList.toggle("bare", !event.detail));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (button) open(button.dataset.zoom);
  });
};
