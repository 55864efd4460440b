"""A running demo and a headless Chromium that looks at its docs site."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.commands.program import Served, serving
from tests.site.chromium import headless
from tests.spine.conftest import world

__all__ = ["world"]

PICTURES = Path(__file__).parents[2] / ".cache" / "screenshots"
# axe-core 4.14.1 (MPL-2.0), unchanged.
_AXE = Path(__file__).with_name("vendor") / "axe.min.js"


@pytest.fixture(scope="package")
def demo() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tl-site-") as folder:
        Path(folder).chmod(0o711)
        with serving(Path(folder) / "state", "demo") as served:
            yield served


class Browser:
    """The docs site in Chromium, one view after the other."""

    def __init__(self, driver: webdriver.Chrome, root: str) -> None:
        self.driver = driver
        self.root = root
        self.requests: list[str] = []

    def view(self, name: str) -> None:
        """Open a view from anew and wait until it is there; what was said before it is forgotten."""
        self.driver.get("about:blank")
        self.complaints()
        self.asked()
        self.driver.get(f"{self.root}/docs/#/{name}")
        ready = name.partition("/")[0]
        self.until(f"return document.querySelector('main').dataset.ready === '{ready}'")

    def sound(self, name: str) -> None:
        """The state that is seen meets WCAG AA; on the way nothing complained, and nobody else was asked.

        name: of the picture that is kept of it.
        """
        self.picture(name)
        assert self.driver.find_elements(By.CSS_SELECTOR, ".fault") == []
        assert self.axe() == []
        assert self.complaints() == []
        asked = [url for url in self.asked() if not url.startswith(("data:", "about:", "blob:"))]
        assert asked
        assert [url for url in asked if not url.startswith(self.root + "/")] == []

    def until(self, script: str) -> Any:
        """What the script gives, as soon as it is truthy."""
        return WebDriverWait(self.driver, 90).until(lambda d: d.execute_script(script))

    def picture(self, name: str) -> None:
        """Keep what is seen, whole, for a person to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.driver.set_window_size(1280, min(max(height, 800), 4000))
        self.driver.save_screenshot(PICTURES / f"{name}.png")
        self.driver.set_window_size(1280, 900)

    def complaints(self) -> list[str]:
        """What the console holds since it was last asked, but for answers that a view asks for."""
        return [
            each["message"]
            for each in self.driver.get_log("browser")
            if each["level"] in ("SEVERE", "WARNING") and "status of 404" not in each["message"]
        ]

    def asked(self) -> list[str]:
        """The addresses of all requests since it was last asked."""
        found = []
        for each in self.driver.get_log("performance"):
            message = json.loads(each["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def axe(self) -> list[str]:
        """Violations of WCAG A and AA, each with the places."""
        self.driver.execute_script(_AXE.read_text())
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
            ".then(done, (error) => done({violations: [{id: String(error), help: '', nodes: []}]}))"
        )
        return [
            f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:5]}"
            for each in found["violations"]
        ]


@pytest.fixture(scope="package")
def chromium(demo: Served) -> Iterator[Browser]:
    with headless() as driver:
        yield Browser(driver, demo.base.removesuffix("/fhir"))
