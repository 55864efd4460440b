"""Official examples sent over HTTP come back as they were sent, but for id and meta.

Those that refer to other resources of the example set would be refused for a dangling reference, so
the ones that stand on their own are sent: one of each type that has such. AuditEvents are left
out, because this server alone writes them.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from app.errors import FhirError
from app.fhir_mappings import links
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.validate import validate
from tests.fhir_mappings.test_official_examples import REFUSED, verbatim
from tests.official_examples import examples
from tests.spine.conftest import AGENCIES, World

RIVER = AGENCIES[0]


def alone() -> list[tuple[str, bytes]]:
    """(name, JSON) of small valid examples without a reference to a resource elsewhere."""
    found = []
    seen: Counter[str] = Counter({"AuditEvent": 1})
    tried: Counter[str] = Counter()
    for name, data in examples():
        type_name = name.partition("-")[0]
        if seen[type_name] >= 1 or tried[type_name] >= 12 or len(data) > 30_000 or name in REFUSED:
            continue
        tried[type_name] += 1
        try:
            resource = parse(data, max_depth=60)
        except FhirError:
            continue
        refers = any(each.kind != "absolute" for each in links.literal_references(resource, ()))
        if not refers and not validate(resource) and resource["resourceType"] != "Bundle":
            seen[type_name] += 1
            found.append((name, data))
    return found


def content(data: bytes) -> dict[str, Any]:
    tree: dict[str, Any] = verbatim(data)
    return {key: value for key, value in tree.items() if key not in ("id", "meta")}


async def test_an_official_example_comes_back_as_it_was_sent(world: World) -> None:
    river = world[RIVER]
    headers = river.headers | {"content-type": "application/fhir+json"}
    differing = []
    types: Counter[str] = Counter()
    for name, data in alone():
        type_name = json.loads(data)["resourceType"]
        sent = await world.http.post(f"/fhir/{type_name}", headers=headers, content=data)
        if sent.status_code != 201:
            differing.append((name, sent.status_code, sent.text))
            continue
        types[type_name] += 1
        back = await river.get(f"/{type_name}/{sent.json()['id']}")
        if back.status_code != 200 or content(back.content) != content(data):
            differing.append((name, back.status_code, ""))
    assert differing == []
    assert len(types) > 50
