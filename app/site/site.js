// One page: the part behind the hash is the view. Each view is a module that fills <main>.

import { el, fault } from "./dom.js";

const VIEWS = {
  guide: ["Pull your first referral package", () => import("./views/guide.js")],
  explorer: ["Consent explorer", () => import("./views/explorer.js")],
  referral: ["Referral timeline", () => import("./views/referral.js")],
  scores: ["Scores", () => import("./views/scores.js")],
  pages: ["Documentation", () => import("./views/pages.js")],
  reference: ["API reference", () => import("./views/reference.js")],
};

let turn = 0;

async function show(focus) {
  const [name = "guide", ...rest] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  const [heading, load] = VIEWS[name] || VIEWS.guide;
  const mine = ++turn;
  document.title = `${heading} · Throughline`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const main = document.querySelector("main");
  const place = el("div", {}, el("p", {}, "Loading…"));
  main.replaceChildren(el("h1", {}, heading), place);
  if (focus) main.focus();
  try {
    const view = await load();
    if (mine === turn) {
      const made = await view.render(rest.join("/"));
      if (mine !== turn) return;
      place.replaceChildren(made.place || made);
      if (made.heading) {
        main.querySelector("h1").textContent = made.heading;
        document.title = `${made.heading} · Throughline`;
      }
    }
  } catch (error) {
    place.replaceChildren(fault(error));
  }
  main.dataset.ready = name;
}

window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#/")) show(true);
});
show(false);
