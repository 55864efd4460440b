from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings, SettingsError

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TL_{name.upper()}", raising=False)


def test_fhir_base_follows_from_host_and_port_when_base_url_is_unset() -> None:
    assert Settings(host="127.0.0.1", port=8123).fhir_base == "http://127.0.0.1:8123/fhir"
    assert Settings(host="::1", port=8123).fhir_base == "http://[::1]:8123/fhir"


def test_fhir_base_is_the_base_url_without_its_last_slash() -> None:
    assert Settings(base_url="https://care.example/fhir/").fhir_base == "https://care.example/fhir"


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TL_MAX_COUNT", "50")
    monkeypatch.setenv("TL_UPDATE_AS_CREATE", "true")
    settings = Settings()
    assert settings.max_count == 50
    assert settings.update_as_create is True


def test_a_secret_does_not_show_in_the_text_of_settings() -> None:
    url = "postgresql://someone:hush@db/records"
    text = repr(Settings.model_validate({"database_url": url, "service_password": "hush"}))
    assert "hush" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TL_PORT", "70000"),
        ("TL_LOG_LEVEL", "loud"),
        ("TL_POOL_MAX", "1"),
        ("TL_DEFAULT_COUNT", "5000"),
        ("TL_SERVICE_ROLE", "drop table"),
    ],
)
def test_a_value_that_cannot_be_used_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


def test_load_names_each_setting_that_cannot_be_used_and_no_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TL_PORT", "hush")
    monkeypatch.setenv("TL_WORKERS", "0")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "TL_PORT: " in str(caught.value)
    assert "TL_WORKERS: " in str(caught.value)
    assert "hush" not in str(caught.value)


def test_load_says_which_settings_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TL_POOL_MIN", "20")
    with pytest.raises(SettingsError, match="pool_min must not exceed pool_max"):
        Settings.load()


def test_the_settings_page_lists_every_setting_with_its_default_and_meaning() -> None:
    rows = {
        name: (default, meaning)
        for name, default, meaning in re.findall(
            r"^\| `(TL_\w+)` \| `([^`]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE
        )
    }
    shown = {None: "unset", False: "false"}
    assert rows == {
        f"TL_{name.upper()}": (
            shown[field.default] if field.default in shown else str(field.default),
            field.description,
        )
        for name, field in Settings.model_fields.items()
    }
