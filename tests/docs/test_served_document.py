"""What the running service answers is what its OpenAPI document says, and never a server error.

Schemathesis makes the requests from the document, sound ones and unsound ones, and judges the answers. Two
things it cannot know are put in their place. Of the paths that it makes up most name nothing, so half of the
requests name a resource of the demonstration. And bodies that are drawn from R4's schemas take seconds each,
so bodies are what is there already, the document's examples and the demonstration's resources, whole or
broken in a few places. The seed is fixed. `make fuzz-api` (TL_API_EXAMPLES) sends more.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.fhir_mappings.search_parameters import parameters
from tests.commands.program import Served, serving
from tools.openapi.document import FILE

EXAMPLES: Final = int(os.environ.get("TL_API_EXAMPLES", "2"))
SEED: Final = int(os.environ.get("TL_API_SEED", "1"))
CLIENT: Final = "river-clinic"
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
BARE: Final = [not_a_server_error, status_code_conformance, response_headers_conformance]
_MODES: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
_TOKEN_SECONDS: Final = 300.0
_PATIENCE: Final = 3
_BIG: Final = frozenset({"AnyResource", "Bundle", "Parameters"})
_RESULTS: Final = ("_sort", "_include", "_revinclude", "_summary", "_elements", "_total", "_filter")
_MODIFIERS: Final = (
    *("", "", "", ":missing", ":exact", ":contains", ":not", ":text", ":in", ":not-in", ":above"),
    *(":below", ":of-type", ":identifier", ":Patient", ":iterate", ".name", ".code:not"),
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(("", "2024-02-30", "9999-12-31T23:59:59Z", "#", "Patient/", "urn:uuid:", "|")),
    st.sampled_from(("\x00", "\ud7ff\ue000", "a" * 300, "http://x/" + "y/" * 200, "1e400")),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=2),
    st.dictionaries(st.sampled_from(("id", "value", "extension", "resourceType")), scalars),
)
texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(("true", "false", "count", "1", "-1", "2024-01", "ge2024", "ap2024-01-01")),
    st.sampled_from(
        ("a|b", "|", "a|b|c", "5.4|http://unitsofmeasure.org|mg", "$", "a$b", "\\", ",")
    ),
    st.sampled_from(("Patient/survivor-a", "http://x|1", "10|20|5|km", "1e308", "le9999-12-31")),
    st.sampled_from(
        ("*", "Task:*", "Task:focus", "-_lastUpdated", "name", "code eq a or (", "not (")
    ),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything that a body holds."""
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def broken(body: Any, data: st.DataObject) -> Any:
    """The body with up to three of its parts taken out, replaced or put in twice."""
    made = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(0, 3))):
        every = list(places(made))
        if not every:
            break
        *way, last = data.draw(st.sampled_from(every))
        holder = made
        for key in way:
            holder = holder[key]
        match data.draw(st.sampled_from(("out", "other", "wrapped", "more"))):
            case "out":
                del holder[last]
            case "other":
                holder[last] = data.draw(values)
            case "wrapped":
                holder[last] = [holder[last]]
            case _ if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            case _:
                holder[data.draw(st.text(min_size=1, max_size=6))] = data.draw(values)
    return made


class Asked:
    """A demonstration that is asked. known: ids of its resources by type, of those that the client sees.

    bodies: those resources, and the examples of the document.
    """

    def __init__(self, served: Served, document: dict[str, Any]) -> None:
        self.root = served.base.removesuffix("/fhir")
        self._token = ""
        self._until = 0.0
        self.known: dict[str, list[str]] = defaultdict(list)
        self.bodies: dict[str, list[Any]] = defaultdict(list)
        for each in document["components"]["examples"].values():
            if isinstance(each["value"], dict) and "resourceType" in each["value"]:
                self.bodies[each["value"]["resourceType"]].append(each["value"])
        found = httpx.get(f"{served.base}?_count=1000", headers=self.headers()).json()
        for entry in found["entry"]:
            resource = entry["resource"]
            self.known[resource["resourceType"]].append(resource["id"])
            self.bodies[resource["resourceType"]].append(resource)
        self.known.default_factory = self.bodies.default_factory = None
        self.patch = document["components"]["examples"]["json-patch"]["value"]

    def headers(self) -> dict[str, str]:
        if time.monotonic() > self._until:
            answer = httpx.post(f"{self.root}/docs/demo/token", params={"client": CLIENT})
            self._token = answer.json()["access_token"]
            self._until = time.monotonic() + _TOKEN_SECONDS
        return {"Authorization": f"Bearer {self._token}"}

    def aim(self, case: Any, data: st.DataObject) -> None:
        """Let a request name something that is there."""
        placed = case.path_parameters
        # Of a path such as /fhir/Task/{id}, or /fhir/{type}/{id}.
        type_ = case.path.split("/")[2] if case.path.startswith("/fhir/") else ""
        if placed and data.draw(st.booleans()):
            if type_ == "{type}":
                type_ = placed["type"] = data.draw(st.sampled_from(sorted(self.known)))
            if "id" in placed and type_ in self.known:
                placed["id"] = data.draw(st.sampled_from(sorted(self.known[type_])))
            if "version" in placed:
                placed["version"] = "1"
        elif type_ == "{type}":
            type_ = placed.get("type", "") if placed else ""
        if case.method.upper() == "GET" or case.path.endswith("/_search"):
            self._search(case, data, type_ if type_ in self.known else "Patient")
        elif isinstance(case.body, dict | list) and case.media_type != (
            "application/x-www-form-urlencoded"
        ):
            self._body(case, data, type_)

    def _search(self, case: Any, data: st.DataObject, type_: str) -> None:
        if not data.draw(st.booleans()):
            return
        names = st.one_of(
            st.builds(
                "{}{}".format,
                st.sampled_from(sorted(parameters(type_))),
                st.sampled_from(_MODIFIERS),
            ),
            st.sampled_from(_RESULTS),
        )
        asked = data.draw(st.dictionaries(names, texts, max_size=2))
        if case.method.upper() == "GET":
            case.query = {**(case.query or {}), **asked}
        else:
            case.body = asked

    def _body(self, case: Any, data: st.DataObject, type_: str) -> None:
        if "json-patch" in (case.media_type or ""):
            case.body = broken(self.patch, data)
            return
        if case.path == "/fhir":
            type_ = "Bundle"
        elif "$" in case.path and not case.path.endswith("$validate"):
            case.body = broken(self._parameters(case, data), data)
            return
        bodies = self.bodies.get(type_) or self.bodies["Patient"]
        case.body = broken(data.draw(st.sampled_from(bodies)), data)
        if (
            case.method.upper() == "PUT"
            and isinstance(case.body, dict)
            and data.draw(st.booleans())
        ):
            case.body |= {"id": (case.path_parameters or {}).get("id", "")}

    def _parameters(self, case: Any, data: st.DataObject) -> dict[str, Any]:
        """Parameters of an operation, by the names that its GET form and R4 know."""
        names = ("url", "code", "system", "coding", "valueSet", "resource", "meta", "subject")
        kinds = ("String", "Uri", "Code", "Boolean", "Integer", "Date")
        made = []
        for name in data.draw(st.lists(st.sampled_from((*names, "mode", "onlyCertainMatches")))):
            match data.draw(st.sampled_from((*kinds, "Coding", "Meta", "Reference", "resource"))):
                case "resource":
                    held = data.draw(st.sampled_from(sorted(self.bodies)))
                    made.append({"name": name, "resource": self.bodies[held][0]})
                case "Coding":
                    made.append({"name": name, "valueCoding": {"system": "http://x", "code": "a"}})
                case "Meta":
                    made.append({"name": name, "valueMeta": {"tag": [{"code": "a"}]}})
                case "Reference":
                    known = data.draw(st.sampled_from(sorted(self.known["Patient"])))
                    made.append({"name": name, "valueReference": {"reference": f"Patient/{known}"}})
                case kind:
                    made.append({"name": name, f"value{kind}": data.draw(scalars)})
        return {"resourceType": "Parameters", "parameter": made}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@pytest.fixture(scope="module")
def asked(document: dict[str, Any]) -> Iterator[Asked]:
    with tempfile.TemporaryDirectory(prefix="tl-document-") as folder:
        Path(folder).chmod(0o711)
        with serving(Path(folder) / "state", "demo", TL_RATE_LIMIT="") as served:
            yield Asked(served, document)


def with_small_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """The document, with an object in place of each body that is a resource: `Asked.aim` fills it."""
    made = copy.deepcopy(document)
    for path in made["paths"].values():
        for operation in path.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                schema = media.get("schema", {})
                if schema == {} or schema.get("$ref", "").rpartition("/")[2] in _BIG:
                    media.pop("examples", None)
                    media["schema"] = {"type": "object", "maxProperties": 2}
    return made


def faults_of(asked: Asked, operation: Any, mode: GenerationMode) -> set[str]:
    """What the answers to one operation's requests contradict."""
    faults: set[str] = set()

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def ask(case: Any, data: st.DataObject) -> None:
        asked.aim(case, data)
        answer = case.call(base_url=asked.root, headers=asked.headers(), timeout=60)
        for _ in range(_PATIENCE):
            if answer.status_code != 503:
                break
            # A busy machine is no fault; what is too slow on a quiet one is busy every time.
            time.sleep(1)
            answer = case.call(base_url=asked.root, headers=asked.headers(), timeout=60)
        try:
            # An answer without a body (return=minimal) has the media type that it would have.
            case.validate_response(answer, checks=CHECKS if answer.content else BARE)
        except FailureGroup as group:
            for each in group.exceptions:
                request = f"{operation.label}: {answer.status_code} {type(each).__name__}"
                faults.add(f"{request} {str(each)[:300]}\n{case.as_curl_command()[:1000]}")

    # Where an operation takes nothing, nothing of it can be unsound.
    with suppress(Unsatisfiable):
        ask()
    return faults


@pytest.mark.timeout(900 if EXAMPLES < 10 else 0)
def test_no_operation_fails_inside_or_contradicts_the_document(
    asked: Asked, document: dict[str, Any]
) -> None:
    schema = schemathesis.openapi.from_dict(with_small_bodies(document))
    operations = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    assert len(operations) > 70
    faults: set[str] = set()
    for operation in operations:
        for mode in _MODES:
            faults |= faults_of(asked, operation, mode)
    assert not faults, "\n\n".join(sorted(faults))
