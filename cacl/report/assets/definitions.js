"use strict";
/* The definition of each number, one click away: buttons with `data-term` open it. */
(() => {
  const { make, load } = window.Cacl;
  const box = make("div", {
    id: "definition",
    popover: "auto",
    role: "dialog",
    tabindex: "-1",
    "aria-label": "Definition",
  });
  let terms = null;

  /* Button that opens definitions; keys: names of terms, such as "antibodies.q_value", joined by
     spaces; label: for screen readers, if the text does not say what is defined */
  window.Cacl.term = (keys, text, label = "") =>
    make(
      "button",
      {
        type: "button",
        class: text === "?" ? "define" : "term",
        "data-term": keys,
        ...(label ? { "aria-label": label } : {}),
      },
      text,
    );

  const entries = (key) => {
    const entry = terms.get(key);
    if (!entry) return [];
    const { title, unit, meaning, file } = entry;
    return [
      make("dt", {}, title, ...(unit ? [make("span", { class: "unit" }, unit)] : [])),
      make(
        "dd",
        {},
        meaning,
        ...(file
          ? [
              make(
                "span",
                { class: "fine block" },
                "Column ",
                make("code", {}, key.split(".")[1]),
                " of ",
                make("a", { href: file }, file),
              ),
            ]
          : []),
      ),
    ];
  };
  const place = (button) => {
    const { left, bottom, top } = button.getBoundingClientRect();
    const below = bottom + box.offsetHeight + 8 <= window.innerHeight;
    box.style.left = `${Math.max(8, Math.min(left, window.innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${below ? bottom + 4 : Math.max(8, top - box.offsetHeight - 4)}px`;
  };
  const open = async (button) => {
    await load("terms.js");
    terms ??= new Map(
      window.ATLAS_TERMS.map(([key, title, unit, meaning, file]) => [
        key,
        { title, unit, meaning, file },
      ]),
    );
    box.replaceChildren(make("dl", {}, ...button.dataset.term.split(" ").flatMap(entries)));
    /* What lies outside an open dialog cannot be used, so the box moves into it */
    (button.closest("dialog") ?? document.body).append(box);
    box.showPopover();
    place(button);
    box.focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-term]");
    if (button) open(button);
  });
})();
