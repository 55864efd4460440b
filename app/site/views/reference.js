// The API reference: Swagger UI over /openapi.json, with a token of the demonstration put in by one click.

import { agencies, officer, token } from "../api.js";
import { el, select } from "../dom.js";

function script(source) {
  return new Promise((done, failed) => {
    if (window.SwaggerUIBundle) return done();
    document.head.append(el("script", { src: source, onload: done, onerror: () => failed(new Error("The reference could not be loaded.")) }));
  });
}

// What Swagger UI leaves without a name, or out of the keyboard's reach.
function mend(place) {
  for (const block of place.querySelectorAll("pre:not([tabindex]), .highlight-code:not([tabindex])")) block.tabIndex = 0;
  for (const field of place.querySelectorAll("select.examples-select-element:not([aria-label])")) field.ariaLabel = "Example";
}

// Swagger UI resolves whatever a schema leads to when an operation is opened: of FHIR's types that is nearly all of them, and took
// half a minute. What it is given tells each type's own elements, and names the types of those, which stand under Schemas.
function shallow(document) {
  const { schemas } = document.components;
  const prefix = "#/components/schemas/";
  const cut = (part) => {
    if (Array.isArray(part)) return part.map(cut);
    if (part === null || typeof part !== "object") return part;
    const name = part.$ref?.startsWith(prefix) ? part.$ref.slice(prefix.length) : null;
    if (name !== null && schemas[name].properties) return { type: "object", description: `${name}: its elements stand under Schemas.` };
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, cut(value)]));
  };
  return { ...document, components: { ...document.components, schemas: cut(schemas) } };
}

export async function render() {
  const [answer] = await Promise.all([fetch("/openapi.json"), script("vendor/swagger-ui/swagger-ui-bundle.js")]);
  if (!answer.ok) throw new Error("The document of the interface could not be loaded.");
  const callers = [...(await agencies()), await officer()].filter(Boolean);
  const place = el("div", {});
  const said = el("p", { "aria-live": "polite" });
  new MutationObserver(() => mend(place)).observe(place, { childList: true, subtree: true });
  const ui = window.SwaggerUIBundle({
    spec: shallow(await answer.json()),
    domNode: place,
    deepLinking: false,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: true,
    validatorUrl: null,
    syntaxHighlight: { activated: false },
  });
  const chosen = { client: callers.length ? callers[0].client : "" };
  const bar = callers.length ? el("div", { class: "row" },
    select("Call as", callers.map((each) => [each.client, each.name]), chosen.client, (value) => { chosen.client = value; }),
    el("button", {
      type: "button",
      onclick: async () => {
        const caller = callers.find((each) => each.client === chosen.client);
        const purpose = caller.purposes.includes("COC") ? "COC" : caller.purposes[0];
        ui.preauthorizeApiKey("bearer", await token(chosen.client, purpose));
        said.replaceChildren(`Calls below are made as ${caller.name}, for the purpose ${purpose}.`);
      },
    }, "Use its token")) : el("p", { class: "note" }, "Get a token with: throughline token --client NAME, and put it in with Authorize.");
  return el("div", {}, el("p", {}, "Every operation, with a console to try it. The document itself: ", el("a", { href: "/openapi.json" }, "openapi.json"), "."), bar, said, place);
}
