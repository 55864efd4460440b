// The guide: the five calls of a shelter that pulls its first referral package, each with a button.

import { demo, fhir, problem, resources, token } from "../api.js";
import { el, fault, json, table, title } from "../dom.js";

const SHELTER = { client: "open-door-shelter", purpose: "COC" };
const LEGAL_AID = { client: "bridge-legal-aid", purpose: "COC" };
const PACKAGE = "Task/survivor-a-housing-task/$referral-package";

function step(heading, text, command, run) {
  const answer = el("div", { "aria-live": "polite" });
  const button = el("button", { type: "button", onclick: act }, "Run it");
  async function act() {
    button.disabled = true;
    answer.replaceChildren(el("p", {}, "Asking…"));
    try {
      answer.replaceChildren(...(await run()));
    } catch (error) {
      answer.replaceChildren(fault(error));
    }
    button.disabled = false;
  }
  return el("section", {}, el("h2", {}, heading), el("p", {}, text), el("pre", { tabindex: "0", role: "region", "aria-label": `Command: ${heading}` }, el("code", {}, command)), run ? button : null, answer);
}

function status(answer) {
  return el("p", {}, "Answered ", el("span", { class: `status ${answer.ok ? "good" : "bad"}` }, String(answer.status)), answer.ok ? "." : ` with: ${problem(answer)}`);
}

export async function render() {
  const { demo: served } = await demo();
  const base = `${location.origin}/fhir`;
  const auth = `-H "Authorization: Bearer $TOKEN"`;
  const live = (run) => (served ? run : null);
  return el("div", {},
    el("p", {}, "River Clinic has asked Open Door Shelter for a place to stay for a survivor. She released to the shelter who she is and this referral, and nothing else. You are the shelter."),
    served ? el("p", { class: "note" }, "The demonstration is served here: every button below makes a real call with the shelter's own token.")
      : el("p", { class: "note" }, "No demonstration is served here, so the buttons are left out. Start one with: make demo"),
    step("1. Get a token", "A token speaks for one client and carries one purpose of use: COC, coordination of care. In production your client proves itself at /oauth/token with a signed assertion or its secret.",
      "TOKEN=$(.venv/bin/throughline token --client open-door-shelter --purpose COC)",
      live(async () => [el("p", {}, "A token of ", el("strong", {}, String((await token(SHELTER.client, SHELTER.purpose)).length)), " characters; the buttons below use it.")])),
    step("2. Ask what is new", "A search for Tasks that the shelter owns, with the requests that they are about. Poll it with _lastUpdated.",
      `curl -s ${auth} '${base}/Task?owner=Organization/open-door-shelter&_include=Task:focus'`,
      live(async () => {
        const answer = await fhir("Task?owner=Organization/open-door-shelter&_include=Task:focus", SHELTER);
        const tasks = resources(answer.body).filter((each) => each.resourceType === "Task");
        return [status(answer), table("Referrals to the shelter", ["Task", "status", "about", "sent"],
          tasks.map((each) => [each.id, each.status, each.focus ? each.focus.reference : "", (each.authoredOn || "").slice(0, 10)]))];
      })),
    step("3. Pull the package", "One call gives all of the referral that the survivor released: a Bundle of Task, ServiceRequest, Consent, the person in minimal form and what supports the request.",
      `curl -s ${auth} '${base}/${PACKAGE}'`,
      live(async () => {
        const answer = await fhir(PACKAGE, SHELTER);
        return [status(answer), table("In the package", ["type", "what it is", "id"],
          resources(answer.body).map((each) => [each.resourceType, title(each) || "", each.id || ""])), el("details", {}, el("summary", {}, "The Bundle as it came"), json(answer.body))];
      })),
    step("4. See what was not released", "The clinic's blood pressure was not released to the shelter. The answer is a 404, with the same words as for an id that never was.",
      `curl -s ${auth} '${base}/Observation/survivor-a-blood-pressure'`,
      live(async () => {
        const [hidden, missing] = [await fhir("Observation/survivor-a-blood-pressure", SHELTER), await fhir("Observation/no-such-id", SHELTER)];
        const same = JSON.stringify(hidden.body) === JSON.stringify(missing.body);
        return [status(hidden), el("p", {}, `An id that never was: ${missing.status}. The two bodies are ${same ? "the same" : "different"}.`)];
      })),
    step("5. Ask as somebody else", "Legal aid was never part of this. Ask for the same package with its token.",
      `TOKEN=$(.venv/bin/throughline token --client bridge-legal-aid --purpose COC)\ncurl -s ${auth} '${base}/${PACKAGE}'`,
      live(async () => [status(await fhir(PACKAGE, LEGAL_AID))])),
    el("h2", {}, "Where to go from here"),
    el("ul", {},
      el("li", {}, "See who sees what of a whole record, and which provision decides, in the ", el("a", { href: "#/explorer" }, "consent explorer"), "."),
      el("li", {}, "Follow this referral from request to completion in the ", el("a", { href: "#/referral" }, "referral timeline"), "."),
      el("li", {}, "Try every operation in the ", el("a", { href: "#/reference" }, "API reference"), ".")));
}
