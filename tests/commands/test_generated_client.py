"""A client generated from our OpenAPI document by openapi-python-client, as it comes, performs the tour."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from app.demo import tour
from app.demo.agency import Agency
from tests.commands.program import PROGRAM, Served, throughline

ROOT = Path(__file__).parents[2]
_PACKAGE = "throughline_client"
_NAMED = {
    "_total": "field_total",
    "_include": "field_include",
    "_lastUpdated": "field_last_updated",
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The generated package, importable."""
    folder = tmp_path_factory.mktemp("generated")
    tools = PROGRAM.parent  # its ruff formats what is generated
    done = subprocess.run(
        [
            tools / "openapi-python-client", "generate", "--meta", "none",
            "--path", ROOT / "openapi" / "openapi.json", "--output-path", folder / _PACKAGE,
            "--fail-on-warning",
        ],
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in [each for each in sys.modules if each.partition(".")[0] == _PACKAGE]:
        del sys.modules[name]


def _module(name: str) -> Any:
    return importlib.import_module(f"{_PACKAGE}.{name}")


class Generated(Agency):
    """An agency whose every call is one of the generated client's, with the generated types."""

    def __post_init__(self) -> None:
        super().__post_init__()
        root = str(self.http.base_url).rstrip("/").removesuffix("/fhir")
        self._client = _module("client").AuthenticatedClient(base_url=root, token=self.token)
        MADE.append(self)

    def _told(self, answer: Any) -> httpx.Response:
        """What the client parsed, and that it lost nothing of what it got, as a plain answer."""
        received = json.loads(answer.content)
        assert answer.parsed is not None, answer.status_code
        # An instant comes back in the other of its two notations.
        again = json.dumps(answer.parsed.to_dict()).replace("+00:00", "Z")
        assert json.loads(again) == received
        if type(answer.parsed).__name__ != "Resource":
            assert type(answer.parsed).__name__ == received["resourceType"]
        PARSED.add(received["resourceType"])
        return httpx.Response(
            int(answer.status_code), content=answer.content, headers=answer.headers
        )

    def close(self) -> None:
        self._client.get_httpx_client().close()

    def get(self, path: str, **parameters: str) -> httpx.Response:
        match path.split("/"):
            case ["Task", id_, "$referral-package"]:
                call = _module("api.referrals.get_fhir_task_id_referral_package")
                return self._told(call.sync_detailed(id_, client=self._client))
            case [type_, id_]:
                call = _module("api.records.get_fhir_type_id")
                return self._told(call.sync_detailed(type_, id_, client=self._client))
            case [type_]:
                call = _module("api.records.get_fhir_type")
                # Those that the document names are arguments, all others are free.
                named: dict[str, Any] = {
                    field: parameters.pop(name)
                    for name, field in _NAMED.items()
                    if name in parameters
                }
                if "field_total" in named:
                    total = _module("models.get_fhir_type_total").GetFhirTypeTotal
                    named["field_total"] = total(named["field_total"])
                others = _module("models.get_fhir_type_parameters").GetFhirTypeParameters
                return self._told(
                    call.sync_detailed(
                        type_,
                        client=self._client,
                        parameters=others.from_dict(parameters),
                        **named,
                    )
                )
        raise AssertionError(path)

    def put(self, resource: dict[str, Any], *, if_match: str) -> httpx.Response:
        call = _module("api.records.put_fhir_type_id")
        type_ = resource["resourceType"]
        body = getattr(_module("models"), type_).from_dict(resource)
        return self._told(
            call.sync_detailed(
                type_, resource["id"], client=self._client, body=body, if_match=if_match
            )
        )

    def create(self, bundle: dict[str, Any]) -> list[dict[str, Any]]:
        call = _module("api.records.post_fhir")
        body = _module("models").Bundle.from_dict(bundle)
        answer = self._told(call.sync_detailed(client=self._client, body=body))
        assert answer.status_code == httpx.codes.OK, answer.text
        return [entry["resource"] for entry in answer.json()["entry"]]


MADE: list[Generated] = []
PARSED: set[str] = set()


@pytest.mark.usefixtures("generated")
def test_the_generated_client_performs_the_tour(demo: tuple[Path, Served]) -> None:
    state, served = demo
    told = Console(file=io.StringIO(), record=True, width=200)

    def token(client: str, purpose: str) -> str:
        done = throughline(state, "token", "--client", client, "--purpose", purpose)
        return done.stdout.strip()

    try:
        assert tour.run(served.base, token, told, agency=Generated) == 0, told.export_text()
    finally:
        for each in MADE:
            each.close()
    assert {"Bundle", "Task", "Consent", "MedicationRequest", "OperationOutcome"} <= PARSED


@pytest.mark.usefixtures("generated")
def test_the_generated_client_gets_its_own_token(demo: tuple[Path, Served]) -> None:
    state, served = demo
    added = throughline(
        state, "client", "add", "--name", "demo-generated-app", "--organization", "river-clinic"
    )
    assert added.returncode == 0, added.stderr
    root = served.base.removesuffix("/fhir")
    models = _module("models")
    with _module("client").Client(base_url=root) as anybody:
        answer = _module("api.administration.post_oauth_token").sync(
            client=anybody,
            body=models.PostOauthTokenBody.from_dict(
                {
                    "grant_type": "client_credentials",
                    "client_id": "demo-generated-app",
                    "client_secret": added.stdout.strip(),
                }
            ),
        )
    assert isinstance(answer, models.AccessToken)
    with _module("client").AuthenticatedClient(base_url=root, token=answer.access_token) as client:
        read = _module("api.records.get_fhir_type_id").sync("Patient", "survivor-a", client=client)
    assert isinstance(read, models.Patient)
