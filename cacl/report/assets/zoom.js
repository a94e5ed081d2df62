"use strict";
/* Zoom and pan of an element in a window: wheel, drag, pinch, double click, keys, functions. The
   pictures are single files of at most 4096 px, so that a viewer of tiles (OpenSeadragon, 300 kB)
   would add nothing; CSS moves them. */
window.Cacl.zoom = (() => {
  const MAX_SCALE = 16;
  const STEP = 1.4;
  const PAN_PX = 80;

  /* stage: the window; content: the element in it, of `width` x `height` px at scale 1;
     changed: called with the scale */
  return (stage, content, changed) => {
    const view = { scale: 1, x: 0, y: 0, width: 1, height: 1 };
    const pointers = new Map();
    const fitScale = () =>
      Math.min(stage.clientWidth / view.width, stage.clientHeight / view.height) || 1;
    /* A side that is shorter than the window is in its middle; a longer one leaves no gap */
    const bound = (offset, size, space) =>
      size <= space ? (space - size) / 2 : Math.min(0, Math.max(space - size, offset));
    const draw = () => {
      view.x = bound(view.x, view.width * view.scale, stage.clientWidth);
      view.y = bound(view.y, view.height * view.scale, stage.clientHeight);
      content.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
      content.classList.toggle("pixels", view.scale >= 3);
      changed(view.scale);
    };
    /* The point (x, y) of the window keeps its place */
    const scaleTo = (scale, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
      const next = Math.min(MAX_SCALE, Math.max(Math.min(fitScale(), 1), scale));
      view.x = x - ((x - view.x) * next) / view.scale;
      view.y = y - ((y - view.y) * next) / view.scale;
      view.scale = next;
      draw();
    };
    const pan = (x, y) => {
      view.x += x;
      view.y += y;
      draw();
    };
    const zoomIn = () => scaleTo(view.scale * STEP);
    const zoomOut = () => scaleTo(view.scale / STEP);
    const fit = () => scaleTo(fitScale());
    const actual = () => scaleTo(1);
    const position = (event) => {
      const { left, top } = stage.getBoundingClientRect();
      return { x: event.clientX - left, y: event.clientY - top };
    };

    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const { x, y } = position(event);
        scaleTo(view.scale * 2 ** (-event.deltaY / (event.deltaMode ? 10 : 300)), x, y);
      },
      { passive: false },
    );
    stage.addEventListener("dblclick", (event) => {
      const { x, y } = position(event);
      scaleTo(view.scale * 2, x, y);
    });
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, position(event));
    });
    stage.addEventListener("pointermove", (event) => {
      const from = pointers.get(event.pointerId);
      if (!from) return;
      const to = position(event);
      const others = [...pointers].filter(([id]) => id !== event.pointerId);
      pointers.set(event.pointerId, to);
      if (others.length === 0) pan(to.x - from.x, to.y - from.y);
      if (others.length !== 1) return;
      const other = others[0][1];
      const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      pan((to.x - from.x) / 2, (to.y - from.y) / 2);
      scaleTo(
        (view.scale * distance(to)) / distance(from),
        (to.x + other.x) / 2,
        (to.y + other.y) / 2,
      );
    });
    for (const type of ["pointerup", "pointercancel"])
      stage.addEventListener(type, (event) => pointers.delete(event.pointerId));
    const KEYS = new Map([
      ["+", zoomIn],
      ["=", zoomIn],
      ["-", zoomOut],
      ["0", fit],
      ["1", actual],
      ["ArrowLeft", () => pan(PAN_PX, 0)],
      ["ArrowRight", () => pan(-PAN_PX, 0)],
      ["ArrowUp", () => pan(0, PAN_PX)],
      ["ArrowDown", () => pan(0, -PAN_PX)],
    ]);
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !KEYS.has(event.key)) return;
      event.preventDefault();
      KEYS.get(event.key)();
    });
    new ResizeObserver(() => {
      if (stage.clientWidth) draw();
    }).observe(stage);
    return {
      zoomIn,
      zoomOut,
      fit,
      actual,
      show: (width, height) => {
        Object.assign(view, { width, height });
        content.style.width = `${width}px`;
        content.style.height = `${height}px`;
        fit();
      },
    };
  };
})();
