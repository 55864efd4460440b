// The referral timeline: the versions of a Task, as one agency may see them, in the order of time.

import { agencies, fhir, problem, resources } from "../api.js";
import { el, fault, select, title } from "../dom.js";

function moment(text) {
  return new Date(text).toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" });
}

function told(task, before) {
  const said = [];
  if (task.statusReason && task.statusReason.text) said.push(`Reason: ${task.statusReason.text}`);
  if (task.businessStatus && task.businessStatus.text) said.push(task.businessStatus.text);
  const notes = (task.note || []).slice(((before && before.note) || []).length);
  said.push(...notes.map((each) => each.text));
  const outputs = (task.output || []).slice(((before && before.output) || []).length);
  said.push(...outputs.map((each) => (each.valueReference && `Output: ${each.valueReference.reference}`) || `Output: ${each.valueString || "added"}`));
  return said;
}

export async function render() {
  const all = await agencies();
  if (!all.length) return el("p", { class: "note" }, "No demonstration is served here. Start one with: make demo. The call behind this page is Task/{id}/_history.");
  const chosen = { client: "open-door-shelter", task: "" };
  const place = el("div", { "aria-live": "polite" });
  const fields = el("div", { class: "row" });

  async function history() {
    if (!chosen.task) {
      place.replaceChildren(el("p", {}, "This agency sees no referral."));
      return;
    }
    const answer = await fhir(`Task/${chosen.task}/_history`, { client: chosen.client, purpose: "COC" });
    if (!answer.ok) {
      place.replaceChildren(fault(new Error(problem(answer))));
      return;
    }
    const versions = resources(answer.body).reverse();
    const last = versions[versions.length - 1];
    place.replaceChildren(
      el("p", {}, `${title(last)}: ${versions.length} versions, now `, el("strong", {}, last.status), "."),
      el("ol", { class: "timeline" }, versions.map((each, i) => el("li", {},
        el("strong", {}, each.status),
        el("span", { class: "id" }, `${moment(each.meta.lastUpdated)} · version ${each.meta.versionId}`),
        told(each, versions[i - 1]).map((line) => el("div", {}, line))))));
  }

  async function choose() {
    const found = await fhir("Task?_count=50", { client: chosen.client, purpose: "COC" });
    const tasks = resources(found.body).map((each) => [each.id, `${each.id} (${each.status})`]).sort();
    chosen.task = (tasks.find(([id]) => id === "survivor-a-housing-task") || tasks[0] || [""])[0];
    fields.replaceChildren(
      select("Seen by", all.map((each) => [each.client, each.name]), chosen.client, (value) => { chosen.client = value; choose(); }),
      select("Referral", tasks.length ? tasks : [["", "none"]], chosen.task, (value) => { chosen.task = value; history(); }));
    await history();
  }

  await choose();
  return el("div", {}, el("p", {}, "Every answer to a referral is a version of its Task. An agency sees the versions that it may see."), fields, place);
}
