"""The README and the pages of docs/ tell of what is there: links, paths, commands, the picture of the house."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from app.cli import app, audit_app, client_app, keys_app, labels_app

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(each for name in ("bench", "docs") for each in sorted((ROOT / name).rglob("*.md"))),
]
README = (ROOT / "README.md").read_text()
GROUPS = {"client": client_app, "audit": audit_app, "keys": keys_app, "labels": labels_app}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            found = (page.parent / path).resolve() if path else page
            assert found.exists(), f"{page.name}: {target}"
            if anchor and found.suffix == ".md":
                assert anchor in _anchors(found), f"{page.name}: {target}"


def test_the_list_of_pages_leads_to_every_page() -> None:
    """By one link, or by two where a folder has a list of its own."""
    folder = ROOT / "docs"
    reached: set[Path] = set()
    for start in ("README.md", "care/README.md", "interactions/README.md"):
        page = folder / start
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
        reached |= {(page.parent / link).resolve() for link in links}
    pages = {p for p in folder.rglob("*.md") if p.parent.name != "decisions"}
    assert pages - {folder / "README.md"} <= reached


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def test_the_picture_of_the_house_shows_every_room_and_no_other() -> None:
    picture = README.partition("## The picture of the house")[2]
    drawn = set(re.findall(r"^ +(app/\w+/?)", picture, re.MULTILINE))
    drawn |= set(re.findall(r"  (app/\w+/)  ", picture))
    rooms = {f"app/{p.name}/" for p in (ROOT / "app").iterdir() if (p / "__init__.py").exists()}
    assert {each for each in drawn if each.endswith("/")} == rooms
    for path in re.findall(r"(?<!\S)((?:app|docs|tests|tools|migrations)/[\w./-]*)", picture):
        assert (ROOT / path).exists(), path


def _names(group: typer.Typer) -> set[str]:
    return {
        each.name or each.callback.__name__.removeprefix("client_").replace("_", "-")
        for each in group.registered_commands
        if each.callback is not None
    }


def test_every_command_that_a_page_names_exists() -> None:
    known = _names(app) | {f"{name} {each}" for name, of in GROUPS.items() for each in _names(of)}
    named: set[str] = set()
    for page in PAGES:
        for words in re.findall(
            rf"(?:bin/|`)throughline ((?:(?:{'|'.join(GROUPS)}) )?[a-z]+)", page.read_text()
        ):
            assert words in known, f"{page.name}: {words}"
            named.add(words)
    assert {"tour", "doctor", "token", "client add"} <= named
    table = (ROOT / "docs" / "command-line.md").read_text()
    for command in known:
        assert f"`{command}" in table, f"docs/command-line.md does not tell of {command}"


def test_the_tour_in_the_readme_says_what_the_tour_says() -> None:
    part = README.partition("## The tour, in part")[2].partition("\n## ")[0]
    said = (ROOT / "app" / "demo" / "tour.py").read_text()
    sentences = re.findall(r"✓ (.+)", part)
    assert len(sentences) >= 8
    for sentence in sentences:
        fixed = re.sub(r"^to the shelter |^to legal aid |: read by .*", "", sentence)
        words = {"medicine": '"medicine"', "psychotherapy note": '"psychotherapy note"'}
        assert words.get(fixed, fixed) in said, sentence
