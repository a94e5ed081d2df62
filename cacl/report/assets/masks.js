"use strict";
/* The masks over the pictures of cores: a switch for all, a click for one. */
(() => {
  const switches = document.querySelectorAll(".switch input");
  const showMasks = (visible) => {
    for (const box of switches) box.checked = visible;
    for (const stack of document.querySelectorAll(".stack"))
      stack.setAttribute("aria-pressed", String(visible));
    document.dispatchEvent(new CustomEvent("masks", { detail: visible }));
  };
  for (const box of switches) box.addEventListener("change", () => showMasks(box.checked));
  document.addEventListener("keydown", (event) => {
    if (
      event.key !== "m" ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.target.closest("input:not([type=checkbox], [type=range]), select, textarea")
    )
      return;
    showMasks(!switches[0].checked);
  });
  document.addEventListener("click", (event) => {
    const stack = event.target.closest(".stack");
    if (stack)
      stack.setAttribute("aria-pressed", String(stack.getAttribute("aria-pressed") !== "true"));
  });
})();
