"""docs/care/walkthrough.md, executed word for word by a shell with curl against a real server."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import Settings
from tests.conftest import Database
from tests.demo.conftest import loaded
from tests.demo.test_tour import _served

PAGE = Path(__file__).parent.parent.parent / "docs" / "care" / "walkthrough.md"
CLIENTS = {"RIVER": "river-clinic", "SHELTER": "open-door-shelter", "LEGAL": "bridge-legal-aid"}
APP = "survivor-b-app"
MARK = "=-=-= block"


def blocks() -> list[str]:
    """The page's shell blocks, in their order; the first one, with addresses and tokens, apart."""
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_gets_its_tokens_from_the_command_line() -> None:
    first = blocks()[0]
    for name, client in CLIENTS.items():
        assert f"{name}=$(.venv/bin/throughline token --client {client})" in first
    assert f"APP=$(.venv/bin/throughline token --client {APP})" in first


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_command_of_the_page_does_what_the_page_says(
    database: Callable[[], Database], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings = Settings(state_dir=tmp_path, port=port)
        async with loaded(database(), settings) as demo, _served(demo, listener):
            lines = [f"FHIR=http://127.0.0.1:{port}/fhir"]
            for name, client in CLIENTS.items():
                lines.append(f"{name}={await demo.token(client, 'TREAT')}")
            lines.append(f"APP={await demo.token(APP, 'PATRQT')}")
            for number, block in enumerate(blocks()[1:], start=1):
                lines += [f"echo; echo '{MARK} {number}'", block]
            shell = await asyncio.create_subprocess_exec(
                "bash",
                "-c",
                "\n".join(lines),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await asyncio.wait_for(shell.communicate(), timeout=120)
    assert err.decode() == ""
    told = re.split(rf"\n{MARK} \d+\n", "\n" + out.decode())[1:]
    _, patient, populated, wrong, right, refused, sent, answers, moved, closed, seen, gone = told[
        :12
    ]
    hours, danger, own, whole = told[12:]
    assert re.fullmatch(r"Patient/[0-9a-f-]{36}\s*", patient)
    assert '"language":"es"' in populated
    assert '"answer":[{"valueString":"Sky"}]' in populated
    assert json.loads(wrong)["issue"][0]["expression"] == [
        "QuestionnaireResponse.item[0].answer[0].value"
    ]
    assert right.startswith('{"resourceType":"QuestionnaireResponse","id":')
    assert "lets the owner read the Task and the ServiceRequest" in refused
    assert re.fullmatch(r"Task/[0-9a-f-]{36}\s*", sent)
    assert answers.count('"type":"searchset"') == 1
    assert answers.count('"type":"document"') == 1
    assert answers.rstrip().endswith('none that this caller may see."}]}')
    assert "Only the owner of this Task" in moved
    assert '"resourceType":"Task"' in moved
    assert "needs an output" in closed
    assert closed.count('{"resourceType":"Task"') == 1
    assert '"type":"searchset"' in seen
    assert '"status":"completed"' in seen or '"type":"history"' in seen
    assert '"resourceType":"Consent"' in gone
    assert "none that this caller may see" in gone
    assert "choose a time within those hours" in hours
    assert hours.count('{"resourceType":"Task"') == 1
    assert '"priority":"stat"' in danger
    assert "A task that cannot wait is waiting for you." in danger
    assert own.startswith('{"resourceType":"Goal"')
    assert "none that this caller may see" in own
    for kind in ("Parameters", "Bundle", "CarePlan", "OperationOutcome"):
        assert f'{{"resourceType":"{kind}"' in whole
