// The way to the service: tokens of the demonstration, or one that was pasted, and FHIR calls with them.

let known = null;
const tokens = new Map();
let pasted = sessionStorage.getItem("token") || "";

export async function demo() {
  if (known === null) {
    const answer = await fetch("/docs/demo");
    known = answer.ok ? await answer.json() : { demo: false, clients: [] };
  }
  return known;
}

export async function agencies() {
  return (await demo()).clients.filter((each) => each.agency);
}

export async function officer() {
  return (await demo()).clients.find((each) => each.privacy_officer);
}

export function paste(token) {
  pasted = token.trim();
  if (pasted) sessionStorage.setItem("token", pasted);
  else sessionStorage.removeItem("token");
}

export async function token(client, purpose) {
  if (!client) return pasted;
  const key = `${client} ${purpose || ""}`;
  if (!tokens.has(key)) {
    const query = new URLSearchParams({ client });
    if (purpose) query.set("purpose", purpose);
    const answer = await fetch(`/docs/demo/token?${query}`, { method: "POST" });
    if (!answer.ok) throw new Error(`There is no token for ${client} and the purpose ${purpose}.`);
    tokens.set(key, (await answer.json()).access_token);
  }
  return tokens.get(key);
}

// status, ok, etag and the parsed body of one FHIR call.
export async function fhir(path, { client, purpose, method = "GET", body, headers = {} } = {}) {
  const bearer = await token(client, purpose);
  const answer = await fetch(`/fhir/${path}`, {
    method,
    headers: {
      Accept: "application/fhir+json",
      ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}),
      ...(body ? { "Content-Type": "application/fhir+json" } : {}),
      ...headers,
    },
    body: body ? JSON.stringify(body) : undefined,
  });
  const text = await answer.text();
  return {
    status: answer.status,
    ok: answer.ok,
    etag: answer.headers.get("etag"),
    body: text ? JSON.parse(text) : null,
  };
}

export function resources(bundle) {
  return ((bundle && bundle.entry) || []).map((each) => each.resource).filter(Boolean);
}

export function problem(answer) {
  const issue = answer.body && answer.body.issue && answer.body.issue[0];
  return (issue && (issue.diagnostics || issue.code)) || `status ${answer.status}`;
}
