// One page: the part behind the hash is the view. Each view is a module that fills <main>.

import { el, fault } from "./dom.js";

const VIEWS = {
  guide: ["Pull your first referral package", () => import("./views/guide.js")],
  explorer: ["Consent explorer", () => import("./views/explorer.js")],
  referral: ["Referral timeline", () => import("./views/referral.js")],
  scores: ["Scores", () => import("./views/scores.js")],
  reference: ["API reference", () => import("./views/reference.js")],
};

let turn = 0;

async function show(focus) {
  const name = location.hash.replace(/^#\/?/, "").split("/")[0] || "guide";
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
      const made = await view.render();
      if (mine === turn) place.replaceChildren(made);
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
