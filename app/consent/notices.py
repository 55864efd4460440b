"""What must go with records that are disclosed by consent: the redisclosure notices, the scope of the consent.

Pinned: 42 CFR 2.32(a)(2) (the short form) and 2.32(b) (a clear explanation of the scope of the consent);
34 USC 12291(b)(2); docs/consent.md. Neighbours: `app.storage.disclosures` (what was disclosed by which
provision), `app.care.referrals.package` (which says the notices in its Bundle).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from app.consent import labels
from app.consent.reading import Json, coded, many, one, text

PART2_NOTICE: Final = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."

VICTIM_NOTICE: Final = (
    "These records come from a victim-service provider: they may be passed on only with the "
    "survivor's written, time-limited release (34 USC 12291(b)(2))."
)

MARKERS: Final = labels.PART2 | labels.VICTIM
"""The labels of records that a notice goes with."""

_POSITION: Final = re.compile(r"\[(\d+)\]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9.:+-]{1,64}")


def notices(mask: int) -> tuple[str, ...]:
    """The notices that records with these labels need."""
    return tuple(
        words
        for bit, words in ((labels.PART2, PART2_NOTICE), (labels.VICTIM, VICTIM_NOTICE))
        if mask & bit
    )


def scope_of(consent: Json, path: str) -> str:
    """The scope of a permit in plain ASCII: `purpose=TREAT, COC; until=2027-01-01; class=Observation`.

    path: the FHIRPath of the provision. It says what the permit itself and those around it say: whom and what
    else the Consent names is left out, and so is what it refuses.
    """
    provisions = list(_along(consent, path))
    told = [
        ("purpose", _last(provisions, "purpose")),
        ("until", min((e for e in map(_end, provisions) if e), default="")),
        ("class", _last(provisions, "class")),
        ("label", _last(provisions, "securityLabel")),
    ]
    return "; ".join(f"{name}={value}" for name, value in told if value) or "the whole record"


def _along(consent: Json, path: str) -> Iterator[Json]:
    provision = one(consent, "provision")
    for position in map(int, _POSITION.findall(path)):
        if provision is None:
            return
        yield provision
        nested = many(provision, "provision")
        provision = nested[position] if position < len(nested) else None
    if provision is not None:
        yield provision


def _last(provisions: list[Json], name: str) -> str:
    """The codes of the innermost provision that lists any; only such as a header may hold."""
    for provision in reversed(provisions):
        codes = [code for _, code in map(coded, many(provision, name)) if _PLAIN.fullmatch(code)]
        if codes:
            return ", ".join(codes)
    return ""


def _end(provision: Json) -> str:
    end = text(one(provision, "period") or {}, "end") or ""
    return end if _PLAIN.fullmatch(end) else ""
