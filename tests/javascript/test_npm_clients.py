"""Client libraries from npm, unchanged, against the running demo. The scripts beside this file assert too."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal

import httpx
from fhirpathpy import evaluate
from fhirpathpy.models import models

from tests.javascript.conftest import Demo, Run


def _family() -> str:
    return f"Npm{uuid.uuid4().hex[:8]}"


def test_fhir_kit_client_finds_the_way_in_searches_by_pages_transacts_and_patches(run: Run) -> None:
    assert run("kit.mjs", FAMILY=_family()) == {"pages": 3, "met": 7}


def test_fhirclient_of_npm_finds_the_way_in_flattens_pages_follows_references_and_patches(
    run: Run,
) -> None:
    assert run("smart.cjs", FAMILY=_family()) == {"found": 7}


def test_fhirpath_js_finds_in_an_answer_what_fhirpathpy_finds(run: Run, demo: Demo) -> None:
    token = demo.token("river-clinic")
    path = "Patient/survivor-a/$everything?_count=200"
    expressions = [
        "Bundle.entry.resource.ofType(Observation).value.ofType(Quantity).value",
        "Bundle.entry.resource.ofType(Task).where(status = 'completed').id",
        "Bundle.entry.resource.ofType(Patient).name.given",
        "Bundle.entry.resource.ofType(QuestionnaireResponse).item.count()",
        "Bundle.entry.resource.where(meta.security.exists()).count()",
        "Bundle.entry.resource.ofType(Consent).descendants().ofType(Reference).reference.distinct().count()",
        "Bundle.link.where(relation = 'self').exists()",
    ]
    told = run("path.cjs", TOKEN=token, PATH=path, EXPRESSIONS=json.dumps(expressions))
    answer = httpx.get(
        f"{demo.served.base}/{path}", headers={"Authorization": f"Bearer {token}"}
    ).json()
    for each in expressions:
        found = evaluate(answer, each, model=models["r4"])
        assert told[each] == [float(v) if isinstance(v, Decimal) else v for v in found], each
    assert told[expressions[0]]
    assert told[expressions[1]]
