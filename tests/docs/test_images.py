"""The images that are built on and run can be pinned by the variables that docs/operations.md names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "compose.yaml").read_text()
_ROW = r"^\| `(\w+_IMAGE)` \| `([^`]+)` \|"
TOLD = dict(re.findall(_ROW, (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))


def test_every_variable_of_an_image_is_told_of_with_its_default() -> None:
    assert dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", COMPOSE)) == TOLD


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_pinned_name_takes_the_place_of_the_tag(name: str) -> None:
    pinned = f"{TOLD[name].partition(':')[0]}@sha256:{'0' * 64}"
    text = COMPOSE.replace(f"${{{name}:-{TOLD[name]}}}", pinned)
    services = yaml.safe_load(text)["services"].values()
    built = [each["build"]["args"].get(name) for each in services if "build" in each]
    assert pinned in [*(each.get("image") for each in services), *built]


def test_no_image_is_named_but_through_a_variable() -> None:
    (argument,) = re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert argument == ("DEBIAN_IMAGE", TOLD["DEBIAN_IMAGE"])
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${DEBIAN_IMAGE}"] * 2
    for image in re.findall(r"^ +image: (\S+)", COMPOSE, re.MULTILINE):
        assert image == "throughline" or re.fullmatch(r"\$\{\w+_IMAGE:-\S+\}", image), image
