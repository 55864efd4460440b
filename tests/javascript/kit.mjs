// fhir-kit-client, unchanged: finds the way in, signs in, searches page by page, transacts, patches.
import assert from 'node:assert/strict';
import { Client } from 'fhir-kit-client';

const { BASE, CLIENT, SECRET, FAMILY } = process.env;
const client = new Client({ baseUrl: BASE });

const { tokenUrl } = await client.smartAuthMetadata();
const statement = await client.capabilityStatement();
assert.equal(statement.fhirVersion, '4.0.1');
const granted = await fetch(tokenUrl, {
  method: 'POST',
  body: new URLSearchParams({
    grant_type: 'client_credentials', client_id: CLIENT, client_secret: SECRET, scope: 'system/*.cruds',
  }),
});
client.bearerToken = (await granted.json()).access_token;

for (let n = 0; n < 7; n++) {
  await client.create({ resourceType: 'Patient', body: { resourceType: 'Patient', name: [{ family: FAMILY }] } });
}
const met = [];
let page = await client.search({ resourceType: 'Patient', searchParams: { family: FAMILY, _count: '3' } });
let pages = 0;
while (page) {
  pages += 1;
  met.push(...(page.entry ?? []).map((each) => each.resource.id));
  page = await client.nextPage({ bundle: page });
}
assert.equal(met.length, 7);
assert.equal(new Set(met).size, 7);

const urn = 'urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a';
const done = await client.transaction({
  body: {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      { fullUrl: urn, resource: { resourceType: 'Patient', name: [{ family: FAMILY }] }, request: { method: 'POST', url: 'Patient' } },
      {
        resource: {
          resourceType: 'Observation', status: 'final', subject: { reference: urn },
          code: { coding: [{ system: 'http://loinc.org', code: '85354-9' }] },
        },
        request: { method: 'POST', url: 'Observation' },
      },
    ],
  },
});
const [patient, observation] = done.entry.map((each) => each.response.location);
const id = patient.match(/Patient\/([^/]+)/)[1];
assert.match(observation, /Observation\/[^/]+\/_history\/1$/);

await client.patch({
  resourceType: 'Patient', id, jsonPatch: [{ op: 'add', path: '/gender', value: 'unknown' }],
});
const patched = await client.read({ resourceType: 'Patient', id });
assert.equal(patched.gender, 'unknown');
assert.equal(patched.meta.versionId, '2');
const first = await client.vread({ resourceType: 'Patient', id, version: '1' });
assert.equal(first.gender, undefined);
const versions = await client.history({ resourceType: 'Patient', id });
assert.equal(versions.entry.length, 2);
const found = await client.compartmentSearch({
  resourceType: 'Observation', compartment: { resourceType: 'Patient', id }, searchParams: {},
});
assert.equal(found.entry.length, 1);
const housed = await client.operation({
  name: 'referral-package', resourceType: 'Task', id: 'survivor-a-housing-task', method: 'GET',
});
assert.equal(housed.resourceType, 'Bundle');

const missing = await client.read({ resourceType: 'Patient', id: 'nobody' }).then(() => null, (error) => error);
assert.equal(missing.response.status, 404);
assert.equal(missing.response.data.resourceType, 'OperationOutcome');
console.log(JSON.stringify({ pages, met: met.length }));
