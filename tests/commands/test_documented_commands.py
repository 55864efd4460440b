"""The commands in the README and in docs/ do what the pages say, run as they stand against a demo.

A command is a line of an indented or fenced block that begins with `curl`, `TOKEN=` or
`.venv/bin/throughline`, with its continuation lines. One page is one shell. A comment above a command that
speaks of 404 says that it is answered so; every other answer must be no refusal.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands.program import PROGRAM, Served, environment

ROOT = Path(__file__).parents[2]
_COMMAND = re.compile(r"(curl |[A-Z_]+=\$\(|\.venv/bin/throughline )")
_WRITES = re.compile(r"throughline (serve|demo|client)\b")


def commands(page: Path) -> list[tuple[str, bool]]:
    """(command, whether it is answered by a 404) in the order of the page."""
    found: list[tuple[str, bool]] = []
    refused = False
    lines = iter(page.read_text().splitlines())
    fenced = False
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
            continue
        if not fenced and not line.startswith("    "):
            refused = False
            continue
        text = line.strip()
        if text.startswith("#"):
            refused = "404" in text
        elif _COMMAND.match(text) and not _WRITES.search(text):
            while text.endswith("\\") or not _closed(text):
                more = next(lines).strip()
                text = f"{text[:-1]} {more}" if text.endswith("\\") else f"{text}\n{more}"
            found.append((text, refused and text.startswith("curl")))
    return found


def _closed(text: str) -> bool:
    try:
        shlex.split(text.removesuffix("\\"))
    except ValueError:
        return False
    return True


PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if commands(p)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the commands are curl's")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_the_page_works(demo: tuple[Path, Served], page: Path) -> None:
    state, served = demo
    told = commands(page)
    script = ["set -u", f'TOKEN=$("{PROGRAM}" token --client river-clinic --purpose COC)']
    for number, (command, _) in enumerate(told):
        run = command.replace(".venv/bin/throughline", str(PROGRAM))
        run = run.replace("http://127.0.0.1:8000/fhir", served.base)
        run = run.replace("http://127.0.0.1:8000", served.base.removesuffix("/fhir"))
        script += [f"printf '\\n@@{number}\\n'", run, "printf '\\n@@ended %s\\n' $?"]
    done = subprocess.run(
        ["sh", "-c", "\n".join(script)],
        env=environment(state),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for number, (command, refused) in enumerate(told):
        answer, _, status = done.stdout.partition(f"\n@@{number}\n")[2].partition("\n@@ended ")
        assert status.startswith("0"), f"{command}\n{done.stderr}"
        if command.startswith("curl"):
            outcome = json.loads(answer)
            if "$validate" in command:  # its answer is an outcome, whatever it says
                assert outcome["resourceType"] == "OperationOutcome", answer
                continue
            codes = [issue["code"] for issue in outcome.get("issue", [])]
            wrong = outcome.get("resourceType") == "OperationOutcome" and "error" in answer
            assert wrong == refused, f"{command}\n{answer}"
            assert not refused or codes == ["not-found"], answer


def test_the_readme_tells_enough_commands() -> None:
    assert len(commands(ROOT / "README.md")) >= 9


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"
