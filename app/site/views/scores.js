// Score charts: the totals of a questionnaire over time, as one agency may see them.

import { agencies, fhir, resources } from "../api.js";
import { el, select, table } from "../dom.js";

const SCORES = [["44261-6", "PHQ-9 total (0 to 27)", 27], ["101698-9", "PCL-5 total (0 to 80)", 80]];

function chart(points, top, name) {
  const [width, height, left, base] = [560, 220, 40, 180];
  const first = points[0].time;
  const span = Math.max(points[points.length - 1].time - first, 1);
  const x = (each) => left + 20 + ((each.time - first) / span) * (width - left - 60);
  const y = (each) => base - (each.value / top) * (base - 20);
  return el("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${name}: ${points.map((p) => `${p.day} ${p.value}`).join(", ")}` },
    el("line", { class: "axis", x1: left, y1: base, x2: width - 10, y2: base }),
    el("line", { class: "axis", x1: left, y1: 20, x2: left, y2: base }),
    el("text", { x: 10, y: base }, "0"), el("text", { x: 10, y: 26 }, String(top)),
    el("polyline", { class: "series", points: points.map((p) => `${x(p)},${y(p)}`).join(" ") }),
    points.map((p) => el("g", {}, el("circle", { cx: x(p), cy: y(p), r: 5 }), el("text", { x: x(p) - 6, y: y(p) - 10 }, String(p.value)), el("text", { x: x(p) - 30, y: base + 18 }, p.day))));
}

export async function render() {
  const all = await agencies();
  if (!all.length) return el("p", { class: "note" }, "No demonstration is served here. Start one with: make demo. The call behind this page is Observation?patient=…&code=….");
  const found = await fhir("Patient?_count=50", { client: "river-clinic", purpose: "COC" });
  const people = resources(found.body).map((each) => [each.id, each.id]);
  const chosen = { client: "river-clinic", patient: "survivor-a" };
  const place = el("div", { "aria-live": "polite" });

  async function draw() {
    const query = new URLSearchParams({ patient: `Patient/${chosen.patient}`, _count: "200" });
    const answer = await fhir(`Observation?${query}`, { client: chosen.client, purpose: "COC" });
    const seen = resources(answer.body).filter((each) => each.valueQuantity || each.valueInteger !== undefined);
    const parts = [];
    for (const [code, name, top] of SCORES) {
      const points = seen.filter((each) => each.code.coding.some((c) => c.code === code))
        .map((each) => ({ value: each.valueInteger ?? each.valueQuantity.value, day: (each.effectiveDateTime || "").slice(0, 10), time: Date.parse(each.effectiveDateTime) }))
        .sort((a, b) => a.time - b.time);
      if (points.length) parts.push(el("h2", {}, name), chart(points, top, name), table(`${name}, as a table`, ["day", "score"], points.map((p) => [p.day, String(p.value)])));
    }
    place.replaceChildren(...(parts.length ? parts : [el("p", {}, "This agency sees no scores of this survivor.")]));
  }

  await draw();
  return el("div", {},
    el("p", {}, "Totals of questionnaires over time. Choose another agency: what it may not see is not there."),
    el("div", { class: "row" },
      select("Seen by", all.map((each) => [each.client, each.name]), chosen.client, (value) => { chosen.client = value; draw(); }),
      select("Survivor", people, chosen.patient, (value) => { chosen.patient = value; draw(); })),
    place);
}
