"use strict";
/* The view of the page in the fragment of its address, so that a link or a reload shows it again:
   #antibody=...&columns=...&sort=... A link to a section (#genes) keeps the view. */
window.Cacl.address = (() => {
  const isView = () => location.hash.includes("=");
  const view = new URLSearchParams(isView() ? location.hash.slice(1) : "");
  const write = () => {
    const text = view.toString();
    history.replaceState(null, "", text ? `#${text}` : " ");
  };
  window.addEventListener("hashchange", () => {
    if (!isView() && view.size) write();
  });
  const put = (name, values) => {
    view.delete(name);
    for (const value of values) view.append(name, value);
  };
  return {
    get: (name) => view.get(name),
    getAll: (name) => view.getAll(name),
    /* values: none removes the name */
    set: (name, ...values) => {
      put(name, values);
      write();
    },
    /* entries: [name, values]; the browser limits how often the address may change */
    setAll: (entries) => {
      const before = view.toString();
      for (const [name, values] of entries) put(name, values);
      if (view.toString() !== before) write();
    },
  };
})();
