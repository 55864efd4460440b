// fhirclient (SMART on FHIR), unchanged: asks what the server is, flattens pages, follows references, patches.
const assert = require('node:assert/strict');
const smart = require('fhirclient');
const { getSecurityExtensions } = require('fhirclient/lib/smart');

const { BASE, CLIENT, SECRET, FAMILY } = process.env;

(async () => {
  const { tokenUri } = await getSecurityExtensions(BASE);
  const granted = await fetch(tokenUri, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials', client_id: CLIENT, client_secret: SECRET }),
  });
  const client = smart({ headers: {} }, {}).client({ serverUrl: BASE, tokenResponse: await granted.json() });
  assert.equal(await client.getFhirRelease(), 4);
  for (let n = 0; n < 7; n++) {
    await client.create({ resourceType: 'Patient', name: [{ family: FAMILY }] });
  }
  const found = await client.request(`Patient?family=${FAMILY}&_count=3`, { pageLimit: 0, flat: true });
  assert.equal(new Set(found.map((each) => each.id)).size, 7);
  const task = await client.request('Task/survivor-a-housing-task', { resolveReferences: ['focus'] });
  assert.equal(task.focus.resourceType, 'ServiceRequest');

  const [one] = found;
  await client.update({ ...one, active: true });
  await client.patch(`Patient/${one.id}`, [{ op: 'replace', path: '/active', value: false }]);
  const changed = await client.request(`Patient/${one.id}`);
  assert.deepEqual([changed.active, changed.meta.versionId], [false, '3']);
  const transaction = {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [{ resource: { resourceType: 'Patient', name: [{ family: FAMILY }] }, request: { method: 'POST', url: 'Patient' } }],
  };
  const bundle = await client.request({
    url: BASE, method: 'POST', body: JSON.stringify(transaction), headers: { 'Content-Type': 'application/fhir+json' },
  });
  assert.equal(bundle.type, 'transaction-response');
  await client.delete(`Patient/${one.id}`);
  await assert.rejects(client.request(`Patient/${one.id}`), (error) => error.status === 410);
  console.log(JSON.stringify({ found: found.length }));
})().catch((error) => { console.error(error); process.exit(1); });
