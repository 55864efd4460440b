"""The docs site as a person meets it, in a real browser: it works, offline, by keyboard, for everybody."""

from __future__ import annotations

import time

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.site.conftest import Browser

VIEWS = ("guide", "explorer", "referral", "scores", "reference", "pages")


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_meets_wcag_aa_complains_of_nothing_and_asks_nobody_else(
    chromium: Browser, view: str
) -> None:
    chromium.view(view)
    if view == "reference":
        chromium.until("return document.querySelectorAll('.opblock').length > 10")
    chromium.sound(view)


def test_the_guide_pulls_a_referral_package(chromium: Browser) -> None:
    chromium.view("guide")
    buttons = chromium.driver.find_elements(By.CSS_SELECTOR, "main section button")
    assert len(buttons) == 5
    for button in buttons:
        button.click()
    chromium.until("return document.querySelectorAll('main .status').length === 4")
    chromium.until("return document.querySelectorAll('main table').length === 2")
    statuses = [e.text for e in chromium.driver.find_elements(By.CSS_SELECTOR, "main .status")]
    assert statuses == ["200", "200", "404", "404"]
    package = chromium.driver.find_elements(By.CSS_SELECTOR, "main table")[1].text
    for name in ("Task", "ServiceRequest", "Consent", "Patient"):
        assert name in package
    assert "Referral of ServiceRequest/" in package
    blank = [row for row in package.splitlines() if row.strip() == "OperationOutcome"]
    assert blank == [], "every row says what it is"
    assert "The two bodies are the same." in chromium.driver.find_element(By.TAG_NAME, "main").text
    chromium.sound("guide-done")


def test_the_guide_can_be_gone_through_by_keyboard_alone(chromium: Browser) -> None:
    chromium.view("guide")
    focused = "return document.activeElement.textContent"
    ActionChains(chromium.driver).send_keys(Keys.TAB).perform()
    assert chromium.driver.execute_script(focused) == "Skip to the content"
    ActionChains(chromium.driver).send_keys(Keys.ENTER).perform()
    for _ in range(12):
        ActionChains(chromium.driver).send_keys(Keys.TAB).perform()
        if chromium.driver.execute_script(focused) == "Run it":
            break
    assert chromium.driver.execute_script(focused) == "Run it"
    ActionChains(chromium.driver).send_keys(Keys.ENTER).perform()
    chromium.until("return document.querySelector('main').textContent.includes('A token of')")


def test_the_timeline_tells_the_referral_from_request_to_completion(chromium: Browser) -> None:
    chromium.view("referral")
    steps = [
        e.text for e in chromium.driver.find_elements(By.CSS_SELECTOR, ".timeline li > strong")
    ]
    assert steps[0] == "requested"
    assert steps[-1] == "completed"
    agency = chromium.driver.find_elements(By.CSS_SELECTOR, "main select")[0]
    Select(agency).select_by_value("bridge-legal-aid")
    chromium.until("return !document.querySelector('main').textContent.includes('survivor-a')")
    chromium.sound("referral-of-legal-aid")


def test_the_charts_draw_the_scores_that_an_agency_may_see(chromium: Browser) -> None:
    chromium.view("scores")
    drawn = "[...document.querySelectorAll('svg.chart')].map((e) => e.getAttribute('aria-label'))"
    before = chromium.until(f"const all = {drawn}; return all.length && all")
    assert any(each.startswith("PHQ-9 total") for each in before)
    points = "return document.querySelectorAll('svg.chart circle').length"
    rows = "return document.querySelectorAll('main tbody tr').length"
    execute = chromium.driver.execute_script
    assert execute(points) == execute(rows) >= 2, "the table beside a chart tells the same"
    agency = chromium.driver.find_element(By.CSS_SELECTOR, "main select")
    Select(agency).select_by_value("harbor-psychiatry")
    chromium.until(f"const all = {drawn}; return all.some((e) => e.startsWith('PCL-5 total'))")
    chromium.sound("scores-of-psychiatry")
    Select(agency).select_by_value("bridge-legal-aid")
    chromium.until("return document.querySelector('main').textContent.includes('sees no scores')")
    chromium.sound("scores-of-legal-aid")


def test_a_page_of_the_documentation_is_read_in_the_browser(chromium: Browser) -> None:
    chromium.view("pages")
    chromium.driver.find_element(By.LINK_TEXT, "consent").click()
    heading = "return document.querySelector('h1').textContent"
    chromium.until(f"{heading} === 'Consent: what is promised, and how it is proven'")
    chromium.sound("pages-consent")
    chromium.view("pages/interactions/README.md")
    chromium.driver.find_element(By.LINK_TEXT, "history.md").click()
    chromium.until(f"{heading} === 'history'")
    chromium.until("return document.querySelectorAll('main table').length > 0")
    chromium.sound("pages-history")


def test_the_reference_opens_fast_and_calls_with_a_demo_token(chromium: Browser) -> None:
    begun = time.monotonic()
    chromium.view("reference")
    chromium.until("return document.querySelectorAll('.opblock').length > 10")
    print(f"the reference opened in {time.monotonic() - begun:.2f} s")
    caller = chromium.driver.find_element(By.CSS_SELECTOR, "main .row select")
    Select(caller).select_by_value("open-door-shelter")
    chromium.driver.find_element(By.CSS_SELECTOR, "main .row button").click()
    chromium.until("return document.querySelector('main').textContent.includes('are made as')")
    found = "[...document.querySelectorAll('.opblock')].find((e) => e.textContent.includes('$referral-'))"
    chromium.driver.execute_script(f"{found}.querySelector('.opblock-summary-control').click()")
    # Swagger UI puts the example into the field a moment after it shows the button.
    chromium.until(f"return [...{found}.querySelectorAll('input')].some((e) => e.value)")
    chromium.driver.execute_script(f"{found}.querySelector('.execute').click()")
    chromium.picture("reference-called")
    answered = f"const e = {found}.querySelector('.live-responses-table tr.response td.response-col_status');"
    chromium.until(answered + "return e && e.textContent.startsWith('200')")
    assert "ServiceRequest" in chromium.until(f"return {found}.textContent")
    # Each type's own elements alone: resolving all that they lead to took half a minute a click.
    chromium.driver.execute_script(f"{found}.querySelector('.tablinks[data-name=model]').click()")
    model = f"{found}.querySelector('.json-schema-2020-12')"
    chromium.until(f"return {model}")
    chromium.driver.execute_script(
        f"{model}.querySelectorAll('li .json-schema-2020-12-expand-deep-button').forEach((e) => e.click())"
    )
    chromium.until(f"return {model}.textContent.includes('Bundle.entry: its elements stand')")
    assert "fullUrl" not in chromium.driver.execute_script(f"return {model}.textContent")
    chromium.sound("reference-called")
