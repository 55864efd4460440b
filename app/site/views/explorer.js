// The consent explorer: one survivor, one purpose, every agency side by side; and which provision decided.
// Built on Patient/$preview-access and $explain-access, asked as the privacy officer of the demonstration,
// or with a token that was pasted.

import { agencies, fhir, officer, paste, problem, resources } from "../api.js";
import { el, fault, select, table, title } from "../dom.js";

const PURPOSES = [["TREAT", "TREAT: treatment"], ["CAREMGT", "CAREMGT: care management"], ["COC", "COC: coordination of care"], ["HRESCH", "HRESCH: research"]];

function values(parameters, name) {
  return (parameters.parameter || []).filter((each) => each.name === name);
}

function part(parameter, name) {
  return (parameter.part || []).filter((each) => each.name === name);
}

function reference(parameter) {
  return parameter && parameter.valueReference && parameter.valueReference.reference;
}

async function survivors(as) {
  const found = await fhir("Patient?_count=50", as);
  if (!found.ok) throw new Error(problem(found));
  return resources(found.body).map((each) => [each.id, `${title(each)} (${each.id})`]);
}

async function explanation(target, agency, purpose, asker) {
  const query = new URLSearchParams({ organization: `Organization/${agency.client}`, purpose });
  const answer = await fhir(`${target}/$explain-access?${query}`, asker);
  if (!answer.ok) throw new Error(problem(answer));
  const decision = values(answer.body, "decision")[0].valueCode;
  const subjects = values(answer.body, "subject");
  const rows = subjects.flatMap((subject) => part(subject, "provision").map((each) => [
    reference(part(each, "consent")[0]),
    part(each, "path")[0].valueString,
    part(each, "type")[0].valueCode,
    part(each, "matches")[0].valueBoolean ? "matches" : "does not match",
    part(each, "missing").map((m) => m.valueString).join("; "),
  ]));
  const because = subjects.flatMap((s) => [part(s, "because")[0], part(s, "consent")[0]])
    .concat(values(answer.body, "because")).filter(Boolean)
    .map((each) => each.valueString || reference(each)).join(", ");
  return el("section", {},
    el("h2", { id: "why", tabindex: "-1" }, `${agency.name} and ${target}`),
    el("p", {}, "For ", el("code", {}, purpose), ": ", el("span", { class: `status ${decision === "permit" ? "good" : "bad"}` }, decision), `, because of ${because}.`),
    rows.length ? table("Provisions on the way to the decision", ["consent", "provision", "says", "here", "what is missing"], rows)
      : el("p", {}, "No consent speaks of it."));
}

export async function render() {
  const all = await agencies();
  const privacy = await officer();
  const asker = privacy ? { client: privacy.client } : {};
  const why = el("div", { "aria-live": "polite" });
  const place = el("div", { "aria-live": "polite" });
  let people = [];
  const chosen = { patient: "", purpose: "COC" };

  async function compare() {
    why.replaceChildren();
    if (!chosen.patient) return;
    place.replaceChildren(el("p", {}, "Asking for each agency…"));
    try {
      const seen = await Promise.all(all.map(async (agency) => {
        const query = new URLSearchParams({ organization: `Organization/${agency.client}`, purpose: chosen.purpose });
        const answer = await fhir(`Patient/${chosen.patient}/$preview-access?${query}`, asker);
        if (!answer.ok) throw new Error(problem(answer));
        return new Set(values(answer.body, "resource").map(reference));
      }));
      const union = [...new Set(seen.flatMap((each) => [...each]))].sort();
      const explain = (target, agency) => el("button", {
        type: "button", class: "plain why", "aria-label": `Why: ${agency.name}, ${target}`,
        onclick: async () => {
          why.replaceChildren(el("p", {}, "Asking why…"));
          try {
            why.replaceChildren(await explanation(target, agency, chosen.purpose, asker));
          } catch (error) {
            why.replaceChildren(fault(error));
          }
          why.scrollIntoView({ block: "start" });
          const heading = why.querySelector("#why");
          if (heading) heading.focus();
        },
      }, "why");
      const counts = all.map((agency, i) => `${agency.name}: ${seen[i].size}`).join(" · ");
      place.replaceChildren(
        el("p", {}, `${union.length} resources are seen by anybody here. ${counts}.`),
        why,
        table("Who sees what", ["resource", ...all.map((each) => each.name)], union.map((target) => [
          target,
          ...all.map((agency, i) => el("span", {},
            seen[i].has(target) ? el("span", { class: "reads" }, "reads it ") : el("span", { class: "not" }, "404 "),
            explain(target, agency))),
        ])));
    } catch (error) {
      place.replaceChildren(fault(error));
    }
  }

  if (!privacy) {
    const field = el("input", { type: "password", autocomplete: "off" });
    return el("div", {},
      el("p", {}, "No demonstration is served here. A privacy officer may paste a token of theirs; it stays in this tab."),
      el("div", { class: "row" }, el("label", {}, "Token", field), el("button", { type: "button", onclick: () => { paste(field.value); location.reload(); } }, "Use it")),
      el("p", {}, "The calls behind this page are Patient/{id}/$preview-access and {type}/{id}/$explain-access."));
  }
  people = await survivors({ client: "river-clinic", purpose: "COC" });
  chosen.patient = (people.find(([id]) => id === "survivor-a") || people[0] || [""])[0];
  await compare();
  return el("div", {},
    el("p", {}, "What each agency would see of a record, found by the very predicate that answers its calls. Ask “why” for the provision that decides."),
    el("div", { class: "row" },
      select("Survivor", people, chosen.patient, (value) => { chosen.patient = value; compare(); }),
      select("Purpose of use", PURPOSES, chosen.purpose, (value) => { chosen.purpose = value; compare(); })),
    place);
}
