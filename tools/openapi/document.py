"""The OpenAPI 3.1 document: every registered route, described as far as `interactions` knows it.

    python -m tools.openapi.document        # writes openapi/openapi.json; `make openapi` does the same

Pinned: spec.openapis.org/oas/v3.1.0.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import __version__
from app.fhir_mappings import json_schema
from app.main import create_app
from app.settings import Settings
from tools.openapi import examples, pages, parts, shown
from tools.openapi.interactions import DESCRIBED, R4, SEARCH, Described
from tools.openapi.operations import Operated, operated

Json = dict[str, Any]

FILE: Final = Path(__file__).parents[2] / "openapi" / "openapi.json"
_DISCLOSED: Final = ("Redisclosure-Notice", "Consent-Scope")
"""Headers of whatever shows somebody else's records."""
_TAGS: Final = {"record": "care", "measures": "care", "care plans": "care"}
"""Tags of routes that are one task to a reader."""
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_FHIR: Final = "application/fhir+json"


def document(application: FastAPI) -> Json:
    """The whole document, for an application that need not run."""
    registered = get_openapi(title="Throughline", version=__version__, routes=application.routes)
    paths: Json = {}
    for path, item in sorted(registered["paths"].items()):
        operations = {m: _operation(m, path, item[m]) for m in _METHODS if m in item}
        paths[path] = operations
    used = {tag for item in paths.values() for each in item.values() for tag in each["tags"]}
    types = [*examples.resource_types(), "Bundle", "OperationOutcome", "Parameters"]
    schemas = json_schema.schemas(types) | parts.OWN_SCHEMAS | {"AnyResource": _any(types)}
    found: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Throughline",
            "version": __version__,
            "summary": "Consent-enforced FHIR R4 for the care of survivors of human trafficking",
            "description": parts.INTRODUCTION,
        },
        "tags": [
            {"name": name, "description": parts.TAGS.get(name, name.capitalize())}
            for name in [*(t for t in parts.TAGS if t in used), *sorted(used - parts.TAGS.keys())]
        ],
        "paths": paths,
        "components": {
            "securitySchemes": _security(),
            "parameters": parts.PARAMETERS,
            "headers": parts.HEADERS,
            "responses": parts.error_answers(),
            "examples": examples.examples() | shown.examples(),
            "schemas": dict(sorted(schemas.items())),
        },
    }
    return _trimmed(found)


def _trimmed(found: Json) -> Json:
    """Without the components that nothing refers to."""
    components = found["components"]
    text = json.dumps(found)
    for kind in ("parameters", "headers", "examples", "schemas"):
        components[kind] = {
            name: each
            for name, each in components[kind].items()
            if f'"#/components/{kind}/{name}"' in text
        }
    return found


def _any(types: list[str]) -> Json:
    names = [name for name in types if name not in ("Bundle", "OperationOutcome", "Parameters")]
    return {
        "description": "A resource of the type in the URL.",
        "anyOf": [json_schema.reference(name) for name in [*names, "Resource"]],
    }


def _security() -> Json:
    scopes = {"system/*.cruds": "Everything", "system/*.rs": "Read and search every type"}
    flow = {"tokenUrl": "/oauth/token", "scopes": scopes}
    return {
        "oauth2": {
            "type": "oauth2",
            "description": "SMART Backend Services: client credentials, SMART v2 scopes, one purpose_of_use.",
            "flows": {"clientCredentials": flow},
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of `throughline token --client NAME`.",
        },
    }


def _operation(method: str, path: str, registered: Json) -> Json:
    summary = registered.get("summary", "")
    known = DESCRIBED.get(summary) or _unknown(method, path, summary)
    page = pages.page(method, path)
    description = f"{registered['description']}\n\nMore: [{page}](/docs/#/pages/{page})."
    tag = (registered.get("tags") or ["records"])[-1]
    operation: Json = {
        "operationId": shown.identifier(method, path),
        "tags": [_TAGS.get(tag, tag)],
        "summary": known.title,
        "description": description,
    }
    if known.page:
        operation["externalDocs"] = {"url": R4 + known.page, "description": "In FHIR R4"}
    parameters = [_path_parameter(name) for name in re.findall(r"{([^}:]+)[^}]*}", path)]
    sent = [*known.query, *known.headers]
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in sent]
    extra = [p for p in registered.get("parameters", ()) if p["in"] != "path"]
    extra += [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in known.own
    ]
    if parameters or extra:
        operation["parameters"] = [*parameters, *extra]
    body = registered.get("requestBody") or _body(known)
    if body is not None:
        operation["requestBody"] = body
    operation["responses"] = _answers(known, method, path)
    shown.add(method, path, operation)
    if path.startswith("/fhir"):
        _with_xml(operation["responses"])
    operation["security"] = [] if known.open else [{"oauth2": []}, {"bearer": []}]
    return operation


def _unknown(method: str, path: str, summary: str) -> Described:
    """A route that nobody has described further: a FHIR operation, or something beside FHIR."""
    fhir = path.startswith("/fhir")
    told = operated(path) or Operated(
        summary[:1].upper() + summary[1:], ("Done.", "AnyResource" if fhir else "", ()), page=""
    )
    schema = "AnyResource" if fhir else ""
    own = told.parameters if method == "get" or told.posted else {}
    # An operation takes Parameters; what it judges may be sent alone.
    sent = "Parameters" if "$" in path and not path.endswith("$validate") else schema
    return Described(
        told.title,
        {"200": told.answer},
        body=(sent, ()) if method in ("post", "put", "patch") and fhir else None,
        query=SEARCH if told.title == "Search a patient's compartment" else (),
        own=tuple(own.items()),
        page=told.page,
        discloses=told.discloses,
        errors=("400", "401", "403", "404", "413", "415", "422") if fhir else (),
        open=not fhir,
        media=_FHIR if fhir else "application/json",
    )


def _path_parameter(name: str) -> Json:
    if name in parts.PARAMETERS:
        return {"$ref": f"#/components/parameters/{name}"}
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _body(known: Described) -> Json | None:
    if known.form is not None:
        schema: Json = {"type": "object", "properties": known.form}
        if not known.form:
            schema = {"type": "object", "additionalProperties": {"type": "string"}}
        return {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": schema}},
        }
    if known.body is None:
        return None
    name, named = known.body
    schema = {"$ref": f"#/components/schemas/{name}"} if name else {}
    contents: Json = {}
    for media in known.body_media:
        contents[media] = {"schema": schema}
        if named and media == known.body_media[0]:
            contents[media]["examples"] = _examples(named)
    return {"required": True, "content": contents}


def _with_xml(answers: Json) -> None:
    """Beside each answer in JSON the same in XML. Bodies in XML are only told of in words.

    openapi-python-client makes no client of a document that lists them.
    """
    for each in answers.values():
        if _FHIR in each.get("content", {}):
            each["content"][parts.XML] = {"schema": {"$ref": "#/components/schemas/FhirXml"}}


def _answers(known: Described, method: str, path: str) -> Json:
    answers: Json = {}
    discloses = path.startswith("/fhir") and not known.open and known.discloses
    disclosed = _DISCLOSED if discloses else ()
    for number, (status, (description, schema, named)) in enumerate(known.answers.items()):
        answer: Json = {"description": description}
        if status != "204":
            content: Json = {
                "schema": {"$ref": f"#/components/schemas/{schema}"}
                if schema
                else {"type": "object"}
            }
            if named:
                content["examples"] = _examples(named)
            answer["content"] = {known.media: content}
        headers = (*(known.told if number == 0 else ()), *(disclosed if status != "204" else ()))
        if headers:
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
        answers[status] = answer
    everywhere: tuple[str, ...] = ()
    if path.startswith("/fhir"):
        # Parameters of form (`_elements`) can be at fault everywhere; of a type that is none there is nothing.
        everywhere = ("400", "404", "406") if "{" in path else ("400", "406")
    if method != "get" and "{type}" in path:
        # What is written by the service alone (AuditEvent), and an id that is not known.
        everywhere += ("405",)
    if not known.open and known.errors:
        everywhere += ("429", "503")
    for status in (*known.errors, *everywhere):
        if status == "oauth":
            for each in ("400", "401", "429"):
                answers[each] = {"$ref": "#/components/responses/ErrorOAuth"}
        else:
            answers[status] = {"$ref": f"#/components/responses/Error{status}"}
    return answers


def _examples(names: tuple[str, ...]) -> Json:
    return {name: {"$ref": f"#/components/examples/{name}"} for name in names}


def text() -> str:
    """The file's content."""
    application = create_app(Settings.model_construct(), "postgresql://nowhere")
    return json.dumps(document(application), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
