"""LForms, the form renderer of the National Library of Medicine, unchanged, shows and fills our questionnaires.

In a browser, at an origin of its own, which asks the service across origins.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests import npm_packages
from tests.javascript.conftest import HERE, Demo
from tests.site.chromium import headless
from tests.site.conftest import PICTURES

LFORMS = npm_packages.Package(
    "lforms",
    "40.1.3",
    "WLruTm+BcVnafC0rSAQ3/cNqhxvclBUxyBG68aub/uha2NaK9H8ZZcEXTTuORuGzzCt0wa7fvhuieZtcDIdPzQ==",
)
QUESTIONNAIRES = ("intake", "social-needs", "safety-check-in", "how-life-goes", "how-was-it")
"""Those whose wording is ours, as the demonstration carries them."""

_FETCH = """
const [base, token, path, done] = [arguments[0], arguments[1], arguments[2], arguments[3]];
fetch(`${base}/${path}`, {headers: {Authorization: `Bearer ${token}`}})
  .then((answer) => answer.json()).then(done, (error) => done({error: String(error)}));
"""
_SHOW = """
const [form, answers, done] = [arguments[0], arguments[1], arguments[2]];
let shown = LForms.Util.convertFHIRQuestionnaireToLForms(form, 'R4');
if (answers) {
  shown = LForms.Util.mergeFHIRDataIntoLForms('QuestionnaireResponse', answers, shown, 'R4');
}
document.querySelector('#form').replaceChildren();
LForms.Util.addFormToPage(shown, 'form').then(() => done(null), (error) => done(String(error)));
"""
_SEND = """
const [base, token, subject, form, done] = arguments;
const answers = LForms.Util.getFormFHIRData('QuestionnaireResponse', 'R4');
answers.subject = {reference: subject};
answers.questionnaire = form;
const headers = {Authorization: `Bearer ${token}`, 'Content-Type': 'application/fhir+json'};
fetch(`${base}/QuestionnaireResponse`, {method: 'POST', headers, body: JSON.stringify(answers)})
  .then(async (answer) => done([answer.status, await answer.json()]), (error) => done([0, String(error)]));
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def page(origin: str) -> Iterator[str]:
    """The address of a page that has loaded nothing but LForms."""
    folder = npm_packages.CACHE / f"lforms-{LFORMS.version}"
    if not folder.exists():
        LFORMS.unpack(folder)
    handler = partial(_Served, directory=str(folder / "dist"))
    with ThreadingHTTPServer(("127.0.0.1", urlsplit(origin).port or 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{origin}/forms.html"
        server.shutdown()
        thread.join()


class _Served(_Quiet):
    def translate_path(self, path: str) -> str:
        return str(HERE / "forms.html") if path == "/forms.html" else super().translate_path(path)


@pytest.fixture(scope="module")
def browser(page: str, demo: Demo) -> Iterator[webdriver.Chrome]:
    with headless() as driver:
        driver.get(page)
        WebDriverWait(driver, 60).until(
            lambda d: d.execute_script("return Boolean(window.LForms?.Util?.addFormToPage)")
        )
        yield driver


def _ask(driver: webdriver.Chrome, demo: Demo, client: str, path: str) -> dict[str, Any]:
    answer = driver.execute_async_script(_FETCH, demo.served.base, demo.token(client), path)
    assert "error" not in answer, answer
    told: dict[str, Any] = answer
    return told


def _show(driver: webdriver.Chrome, form: dict[str, Any], answers: Any = None) -> str:
    assert driver.execute_async_script(_SHOW, form, answers) is None
    WebDriverWait(driver, 30).until(lambda d: form["title"] in d.find_element(By.ID, "form").text)
    return driver.find_element(By.ID, "form").text


def _items(form: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in form.get("item", []):
        yield item
        yield from _items(item)


@pytest.mark.parametrize("name", QUESTIONNAIRES)
def test_lforms_shows_every_question_that_is_not_enabled_by_another(
    browser: webdriver.Chrome, demo: Demo, name: str
) -> None:
    browser.get_log("browser")
    form = _ask(browser, demo, "river-clinic", f"Questionnaire/{name}")
    seen = _show(browser, form)
    for item in _items(form):
        if "enableWhen" not in item:
            assert item["text"] in seen
    PICTURES.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(PICTURES / f"lforms-{name}.png")
    assert [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def test_answers_shown_by_lforms_and_sent_back_give_the_same_score(
    browser: webdriver.Chrome, demo: Demo
) -> None:
    form = _ask(browser, demo, "river-clinic", "Questionnaire/how-life-goes")
    given = _ask(browser, demo, "river-clinic", "QuestionnaireResponse/survivor-a-life-later")
    _show(browser, form, given)
    token = demo.token("river-clinic")
    status, made = browser.execute_async_script(
        _SEND, demo.served.base, token, "Patient/survivor-a", given["questionnaire"]
    )
    assert status == 201, made
    assert [(i["linkId"], i["answer"][0]["valueCoding"]["code"]) for i in made["item"]] == [
        (i["linkId"], i["answer"][0]["valueCoding"]["code"]) for i in given["item"]
    ]
    scores = [
        sorted(
            entry["resource"]["valueQuantity"]["value"]
            for entry in _ask(
                browser, demo, "river-clinic", f"QuestionnaireResponse/{id_}/$extract"
            )["entry"]
            if entry["resource"]["resourceType"] == "Observation"
        )
        for id_ in (made["id"], given["id"])
    ]
    assert scores[0] == scores[1]
    assert scores[0]


def test_a_person_fills_a_form_by_keyboard_and_the_service_takes_it(
    browser: webdriver.Chrome, demo: Demo
) -> None:
    form = _ask(browser, demo, "river-clinic", "Questionnaire/how-was-it")
    _show(browser, form)
    text = next(i for i in _items(form) if i["type"] == "text")
    field = browser.find_element(By.CSS_SELECTOR, f"#form textarea[id^='{text['linkId']}']")
    field.send_keys("They listened.", Keys.TAB)
    status, made = browser.execute_async_script(
        _SEND,
        demo.served.base,
        demo.token("river-clinic"),
        "Patient/survivor-a",
        "Questionnaire/how-was-it",
    )
    assert status == 201, made
    assert made["item"][0]["answer"] == [{"valueString": "They listened."}]
