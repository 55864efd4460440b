"""The consent explorer in a real browser: who reads what, and which provision decided."""

from __future__ import annotations

from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.site.conftest import Browser


def test_the_explorer_shows_who_reads_the_note_and_which_provision_decided(
    chromium: Browser,
) -> None:
    chromium.view("explorer")
    names = [e.text for e in chromium.driver.find_elements(By.CSS_SELECTOR, "thead th")]
    row = chromium.until(
        "return [...document.querySelectorAll('tbody tr')]"
        ".find((r) => r.textContent.includes('survivor-a-psychotherapy-note'))"
    )
    cells = dict(zip(names[1:], row.find_elements(By.TAG_NAME, "td"), strict=True))
    assert "reads it" in cells["Harbor Psychiatry"].text
    for other in ("River Clinic", "Open Door Shelter", "Bridge Legal Aid"):
        assert "404" in cells[other].text
    cells["River Clinic"].find_element(By.TAG_NAME, "button").click()
    chromium.until("return document.querySelector('#why')")
    main = chromium.driver.find_element(By.TAG_NAME, "main").text
    assert "deny" in main
    assert "Consent/survivor-a-consent-river" in main
    chromium.sound("explorer-why")


def test_another_purpose_shows_another_record(chromium: Browser) -> None:
    chromium.view("explorer")
    counts = "return document.querySelector('main [aria-live] > p').textContent"
    before = chromium.until(counts)
    purpose = chromium.driver.find_elements(By.CSS_SELECTOR, "main select")[1]
    Select(purpose).select_by_value("HRESCH")
    chromium.until(
        f"const p = document.querySelector('main [aria-live] > p');"
        f"return p && p.textContent.includes('seen') && p.textContent !== {before!r}"
    )
    chromium.sound("explorer-research")
