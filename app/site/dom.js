// Elements without markup in strings: text is text, whatever a record holds.

export function el(name, attributes = {}, ...children) {
  const ns = ["svg", "path", "line", "circle", "text", "polyline", "g", "title"].includes(name) && attributes.svg !== false;
  const made = ns && name !== "title" ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "svg") continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((each) => each !== null && each !== undefined));
  return made;
}

export function select(label, options, chosen, change) {
  const field = el("select", { onchange: (event) => change(event.target.value) },
    options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  return el("label", {}, label, field);
}

export function table(caption, head, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, head.map((each) => el("th", { scope: "col" }, each)))),
      el("tbody", {}, rows.map(([first, ...rest]) =>
        el("tr", {}, el("th", { scope: "row" }, first), rest.map((each) => el("td", {}, each)))))));
}

export function json(value) {
  return el("pre", { tabindex: "0", role: "region", "aria-label": "JSON" }, el("code", {}, JSON.stringify(value, null, 2)));
}

export function fault(error) {
  return el("p", { class: "fault", role: "alert" }, error.message || String(error));
}

// What a resource is called, from what it says of itself.
export function title(resource) {
  const concept = (c) => c && (c.text || (c.coding && c.coding[0] && (c.coding[0].display || c.coding[0].code)));
  const name = resource.name && resource.name[0] && resource.name[0].family !== undefined
    ? [...(resource.name[0].given || []), resource.name[0].family].join(" ") : null;
  if (resource.resourceType === "Task" && resource.focus) return `Referral of ${resource.focus.display || resource.focus.reference}`;
  const issue = resource.issue && resource.issue[0];
  if (issue) return issue.diagnostics || concept(issue.details) || issue.code;
  return name || resource.title || concept(resource.code) || concept(resource.type) || concept(resource.category && resource.category[0])
    || concept(resource.medicationCodeableConcept) || (resource.description && resource.description.text) || resource.description || resource.id;
}
