"use strict";
/* Figures. The plotting library is large, so it loads when the first figure comes near the window. */
(() => {
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const scripts = new Map();
  const load = (file) => {
    if (!scripts.has(file)) {
      scripts.set(
        file,
        new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = base + file;
          script.addEventListener("load", resolve);
          script.addEventListener("error", () =>
            reject(new Error(`figures/${file} is missing beside the page`)),
          );
          document.head.append(script);
        }),
      );
    }
    return scripts.get(file);
  };

  const plot = async (canvas) => {
    await load("plotly.min.js");
    await load("specs.js");
    const { data: traces, layout } = window.ATLAS_FIGURES[canvas.dataset.figure];
    const narrow = canvas.clientWidth < 480;
    const margin = { l: 60, r: 15, t: 45, b: 50, ...layout.margin };
    await window.Plotly.newPlot(
      canvas,
      traces,
      { ...layout, margin, font: { ...layout.font, size: narrow ? 12 : 14 } },
      {
        responsive: true,
        displaylogo: false,
        displayModeBar: narrow ? false : "hover",
        modeBarButtons: [["toImage", "resetScale2d"]],
        toImageButtonOptions: { format: "svg", filename: `cacl-atlas-${canvas.dataset.figure}` },
      },
    );
    canvas.on("plotly_click", (event) => {
      const antibody = event.points[0]?.customdata;
      if (antibody) document.dispatchEvent(new CustomEvent("antibody", { detail: antibody }));
    });
    canvas.dataset.drawn = "true";
  };
  const started = new Map();
  const pending = new Set(document.querySelectorAll("[data-figure]"));
  const start = (canvas) => {
    if (!started.has(canvas)) {
      observer.unobserve(canvas);
      pending.delete(canvas);
      const drawn = plot(canvas).catch((error) => {
        canvas.textContent = error.message;
      });
      started.set(canvas, drawn);
    }
    return started.get(canvas);
  };
  /* The name of the file holds the name of the figure */
  const save = async (canvas) => {
    await start(canvas);
    const { width, height } = canvas.getBoundingClientRect();
    const filename = `cacl-atlas-${canvas.dataset.figure}`;
    await window.Plotly.downloadImage(canvas, { format: "svg", filename, width, height });
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-svg]");
    if (button) save(document.getElementById(`figure-${button.dataset.svg}`));
  });
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((candidate) => candidate.isIntersecting))
        start(entry.target);
    },
    { rootMargin: "600px" },
  );
  for (const canvas of pending) observer.observe(canvas);
  /* The remaining figures are drawn 3 s after the page has loaded, so that they can be printed */
  const drawRest = async () => {
    for (const canvas of [...pending]) await start(canvas);
  };
  window.addEventListener("load", () => setTimeout(drawRest, 3000));
  /* The browser changes the layout to paper only after `beforeprint`, so the widths are fixed here */
  const PAPER_PX = { wide: 680, half: 330, small: 215 };
  const drawnFigures = () => document.querySelectorAll("[data-drawn]");
  window.addEventListener("beforeprint", () => {
    for (const canvas of drawnFigures()) {
      const size = Object.keys(PAPER_PX).find((name) =>
        canvas.parentElement.classList.contains(name),
      );
      window.Plotly.relayout(canvas, {
        autosize: false,
        width: PAPER_PX[size || "half"],
        "font.size": 11,
      });
    }
  });
  window.addEventListener("afterprint", () => {
    for (const canvas of drawnFigures()) {
      const size = canvas.clientWidth < 480 ? 12 : 14;
      window.Plotly.relayout(canvas, { autosize: true, width: null, "font.size": size });
    }
  });
})();
