"""What is seen with ever more of a resource's labelled elements: each extent once, the whole last."""

from __future__ import annotations

from typing import Any

import pytest

from app.consent.labels import GRANTEES, label_bit
from app.consent.redaction import INLINE_LABEL, layers

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
MH = {"system": ACT_CODE, "code": "MH"}
HIV = {"system": ACT_CODE, "code": "HIV"}


def note(text: str, *codings: dict[str, str]) -> dict[str, Any]:
    """An annotation under inline labels."""
    return {
        "text": text,
        "extension": [{"url": INLINE_LABEL, "valueCoding": coding} for coding in codings],
    }


@pytest.mark.parametrize(
    ("resource", "masks"),
    [
        ({"resourceType": "Observation"}, [0]),
        ({"resourceType": "Consent"}, [0, GRANTEES]),
        ({"resourceType": "Observation", "note": [note("a", MH)]}, [0, label_bit(MH)]),
        (
            {"resourceType": "Observation", "note": [note("a", MH), note("b", HIV)]},
            [0, *sorted([label_bit(MH), label_bit(HIV)]), label_bit(MH) | label_bit(HIV)],
        ),
        (
            {"resourceType": "Observation", "note": [note("a", MH), note("b", MH, HIV)]},
            [0, label_bit(MH), label_bit(MH) | label_bit(HIV)],
        ),
    ],
)
def test_every_extent_is_a_layer_once(resource: dict[str, Any], masks: list[int]) -> None:
    found = list(layers(resource))
    assert [mask for mask, _ in found] == masks
    assert found[-1][1] == resource
