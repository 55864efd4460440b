// The pages of docs/, as they are in the project: Markdown, made into elements by marked.

import { el } from "../dom.js";
import { marked } from "../vendor/marked/marked.esm.js";

const START = "README.md";

function slug(text) {
  return text.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");
}

// A link to another page stays here; one to a file of the project is told and leads nowhere.
function lead(link, page) {
  const target = link.getAttribute("href");
  if (/^[a-z]+:/.test(target)) return;
  const found = new URL(target, `http://docs/${page}`);
  const path = decodeURIComponent(found.pathname.slice(1));
  if (path.endsWith(".md") && !target.startsWith("../".repeat(page.split("/").length))) link.href = `#/pages/${path}${found.hash}`;
  else link.replaceWith(...link.childNodes);
}

export async function render(rest) {
  const [page, anchor] = (rest || START).split("#");
  const answer = await fetch(`pages/${page}`);
  if (!answer.ok) throw new Error("There is no such page. See the list of all.");
  // Our own text, from the package: nothing of a record comes here.
  const made = new DOMParser().parseFromString(marked.parse(await answer.text()), "text/html").body;
  for (const link of made.querySelectorAll("a")) lead(link, page);
  for (const heading of made.querySelectorAll("h1, h2, h3")) heading.id = slug(heading.textContent);
  for (const block of made.querySelectorAll("pre")) Object.assign(block, { tabIndex: 0, role: "region", ariaLabel: "Commands" });
  for (const table of made.querySelectorAll("table")) {
    const scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(scroll);
    scroll.append(table);
  }
  const first = made.querySelector("h1");
  if (first) first.remove();
  const place = el("article", {}, ...(page === START ? [] : [el("p", {}, el("a", { href: "#/pages" }, "All pages"))]), ...made.childNodes);
  if (anchor) setTimeout(() => document.getElementById(anchor)?.scrollIntoView());
  return { heading: first ? first.textContent : page, place };
}
