"""Every operation that the application offers, and the request by which an actor tries it.

Most need nothing here: the path template tells the request. An operation with a body of its own kind, or
about a certain type, is told in `TYPES`, `BODIES` or `QUERIES`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI

from tests.authz.house import BUILDERS, RELATIONS, House

Operation = tuple[str, str]
"""Method and path template, as registered."""

_HARBOR: Final = "organization=Organization/harbor-psychiatry&purpose=TREAT"

TYPES: Final[dict[str, str]] = {}
"""Path template → resource type of its {id}, where neither {type} nor the template itself tells it."""

_POPULATE: Final = "/fhir/Questionnaire/{id}/$populate"

QUERIES: Final[dict[Operation, str]] = {
    ("GET", "/fhir"): "_type=Observation,Patient&_id={id}",
    ("GET", "/fhir/"): "_id={id}",
    ("GET", _POPULATE): "subject=Patient/{patient}",
    ("POST", _POPULATE): "subject=Patient/{patient}",
    ("GET", "/fhir/Measure/{id}/$evaluate-measure"): "periodStart=2020&periodEnd=2030",
    ("GET", "/fhir/PlanDefinition/{id}/$apply"): "subject=Patient/{patient}",
    ("POST", "/fhir/PlanDefinition/{id}/$apply"): "subject=Patient/{patient}&store=true",
    ("POST", "/fhir/QuestionnaireResponse/{id}/$extract"): "store=true",
    ("PUT", "/fhir/{type}"): "_id={id}",
    ("PATCH", "/fhir/{type}"): "_id={id}",
    ("DELETE", "/fhir/{type}"): "_id={id}",
    ("GET", "/fhir/ValueSet/{id}/$validate-code"): "code=a&system=http://example.org/a",
    ("GET", "/fhir/CodeSystem/{id}/$validate-code"): "code=a",
    ("GET", "/fhir/CodeSystem/{id}/$lookup"): "code=a",
    ("GET", "/fhir/CodeSystem/{id}/$subsumes"): "codeA=a&codeB=a",
    ("GET", "/fhir/{type}/{id}/$explain-access"): _HARBOR,
    ("GET", "/fhir/Patient/{id}/$preview-access"): _HARBOR,
}
"""Operation → query string that points it at the subject: `{id}`, `{patient}` are filled in."""


def _parameters(**texts: str) -> dict[str, Any]:
    parameter = [{"name": name, "valueString": text} for name, text in texts.items()]
    return {"resourceType": "Parameters", "parameter": parameter}


_ITSELF: Final = {
    "resourceType": "Parameters",
    "parameter": [{"name": "other", "valueReference": {"reference": "Patient/{id}"}}],
}

BODIES: Final[dict[Operation, dict[str, Any]]] = {
    ("POST", "/fhir/Patient/{id}/$link"): _ITSELF,
    ("POST", "/fhir/Patient/{id}/$unlink"): _ITSELF,
    ("POST", "/fhir/Patient/$match"): {
        "resourceType": "Patient",
        "name": [{"family": "zqsharedzq"}, {"family": "zqunsharedzq"}],
    },
    # Their subject stands in the URL.
    ("POST", "/fhir/PlanDefinition/{id}/$apply"): {"resourceType": "Parameters"},
    ("POST", _POPULATE): {"resourceType": "Parameters"},
    ("POST", "/fhir/ValueSet/$expand"): _parameters(url="http://example.org/{id}"),
    ("POST", "/fhir/ValueSet/{id}/$expand"): _parameters(filter="a"),
    ("POST", "/fhir/ValueSet/$validate-code"): _parameters(url="http://example.org/{id}", code="a"),
    ("POST", "/fhir/ValueSet/{id}/$validate-code"): _parameters(code="a"),
    ("POST", "/fhir/CodeSystem/$validate-code"): _parameters(url="http://example.org/x", code="a"),
    ("POST", "/fhir/CodeSystem/{id}/$validate-code"): _parameters(code="a"),
    ("POST", "/fhir/CodeSystem/$lookup"): _parameters(system="http://example.org/x", code="a"),
    ("POST", "/fhir/CodeSystem/{id}/$lookup"): _parameters(code="a"),
    ("POST", "/fhir/CodeSystem/$subsumes"): _parameters(
        system="http://example.org/x", codeA="a", codeB="a"
    ),
    ("POST", "/fhir/CodeSystem/{id}/$subsumes"): _parameters(codeA="a", codeB="a"),
}
"""Operation → JSON body, where it is no resource: `{id}`, `{patient}` are filled in."""

FORM: Final = "application/x-www-form-urlencoded"
PATCH: Final = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request."""

    method: str
    path: str
    content: str | None = None
    media: str = "application/fhir+json"


class UntoldError(LookupError):
    """The template has a parameter that nobody has told the matrix how to fill."""


def operations(application: FastAPI) -> list[Operation]:
    """Every method of every route, hidden ones too; what OpenAPI alone declares as well."""
    found: set[Operation] = set()
    for route in application.routes:
        contexts = getattr(route, "effective_route_contexts", None)
        for each in contexts() if contexts else [route]:
            path = getattr(each, "path", None)
            methods = getattr(each, "methods", None) or {"GET"}
            found |= {(method, path) for method in methods if path and method != "OPTIONS"}
    for path, item in application.openapi()["paths"].items():
        found |= {(method.upper(), path) for method in item if method != "parameters"}
    order = {"GET": 0, "HEAD": 1, "POST": 2, "PUT": 3, "PATCH": 4, "DELETE": 5}
    return sorted(found, key=lambda o: (o[0] not in ("GET", "HEAD"), order.get(o[0], 9), o[1]))


def relations(operation: Operation) -> tuple[str, ...]:
    """The columns of an operation; one only where nothing in the request can name a record."""
    method, path = operation
    named = "{" in path or operation in QUERIES or operation in BODIES
    if not path.startswith("/fhir") or (method in ("GET", "HEAD") and not named):
        return ("any",)
    return RELATIONS


def _type(path: str) -> str:
    if path in TYPES:
        return TYPES[path]
    literal = re.search(r"/([A-Z][A-Za-z]+)(?=/|$)", path)
    name = literal[1] if literal else "Observation"
    if name not in BUILDERS and name != "AuditEvent":  # made by the service itself
        raise UntoldError(f"tests/authz/house.py has no builder for {name}")
    return name


async def probe(house: House, operation: Operation, relation: str) -> Probe:
    """The request of one cell; a change gets a resource of its own, so that cells do not meet."""
    method, path = operation
    if relation == "any":
        return Probe(method, path, None)
    type_ = _type(path)
    changes = method in ("PUT", "PATCH", "DELETE")
    id_ = await house.subject(type_, relation, fresh=changes)
    patient = house.patients.get(relation, "zq-nobody")
    known = {"type": type_, "id": id_, "version": "1", "patient": patient}
    filled = path
    for name in re.findall(r"\{([^}:]+)[^}]*\}", path):
        if name not in known:
            raise UntoldError(f"tests/authz/operations.py does not know what {{{name}}} stands for")
        filled = re.sub(r"\{" + name + r"[^}]*\}", known[name], filled)
    query = QUERIES.get(operation)
    if query is None and "{id}" not in path and path.endswith(("{type}", "/_search", "/" + type_)):
        query = "_id={id}" if method != "POST" or path.endswith("_search") else None
    query = query.format(**known) if query else ""
    if path.endswith("_search"):
        return Probe(method, filled, query, FORM)
    if query:
        filled = f"{filled}?{query}"
    if operation in BODIES:
        text = json.dumps(BODIES[operation])
        for name, value in known.items():
            text = text.replace("{" + name + "}", value)
        return Probe(method, filled, text)
    if method == "PATCH":
        change = [{"op": "add", "path": "/language", "value": "en"}]
        return Probe(method, filled, json.dumps(change), PATCH)
    if method in ("POST", "PUT"):
        return Probe(
            method, filled, json.dumps(await _body(house, operation, type_, relation, id_))
        )
    return Probe(method, filled)


async def _body(
    house: House, operation: Operation, type_: str, relation: str, id_: str
) -> dict[str, Any]:
    method, path = operation
    resource = await BUILDERS[type_](house, relation)
    if method == "PUT" and "{id}" in path:
        resource = resource | {"id": id_, "language": "en"}
    if path.rstrip("/") == "/fhir":
        entry = {"resource": resource, "request": {"method": "POST", "url": type_}}
        return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    return resource


for _name in ("meta-add", "meta-delete"):
    BODIES["POST", f"/fhir/{{type}}/{{id}}/${_name}"] = {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "zq-tag"}]}}],
    }
