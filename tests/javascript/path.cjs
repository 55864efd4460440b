// fhirpath.js over answers of the service, with the R4 model.
const fhirpath = require('fhirpath');
const r4 = require('fhirpath/fhir-context/r4');

const { BASE, TOKEN, PATH, EXPRESSIONS } = process.env;

(async () => {
  const answer = await fetch(`${BASE}/${PATH}`, { headers: { Authorization: `Bearer ${TOKEN}` } });
  const bundle = await answer.json();
  const told = {};
  for (const each of JSON.parse(EXPRESSIONS)) told[each] = fhirpath.evaluate(bundle, each, {}, r4);
  console.log(JSON.stringify(told));
})().catch((error) => { console.error(error); process.exit(1); });
