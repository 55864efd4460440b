"""Purposes of use as bits: one stable bit per ActReason code, in one bigint.

The order is data (`data/purpose-bits.json`), because stored grants hold the bits. A permit needs
the caller's exact purpose; a deny also reaches the purposes beneath it, hence `closure`
(docs/decisions/0001-the-spine.md). Pinned: hl7.org/fhir/R4/v3/PurposeOfUse/vs.html.
"""

from __future__ import annotations

from typing import Final

from app.consent.reading import packaged

SYSTEM: Final[str] = packaged("security-labels.json")["purposeOfUse"]["system"]
"""The code system of every purpose."""

_BITS: Final[dict[str, int]] = {
    code: 1 << bit for bit, code in enumerate(packaged("purpose-bits.json")["bits"])
}

_PARENTS: Final[dict[str, list[str]]] = {
    concept["code"]: concept["parents"]
    for concept in packaged("security-labels.json")["purposeOfUse"]["concepts"]
}


def _ancestors(code: str) -> set[str]:
    found = {code}
    for parent in _PARENTS.get(code, ()):
        found |= _ancestors(parent)
    return found


_CLOSURES: Final[dict[str, int]] = {
    code: sum(bit for other, bit in _BITS.items() if code in _ancestors(other)) for code in _BITS
}

ALL: Final[int] = sum(_BITS.values())
"""Every purpose."""


def purpose_bit(code: str) -> int:
    """The one bit of a purpose-of-use code; KeyError where ActReason has no such purpose."""
    return _BITS[code]


def closure(code: str) -> int:
    """The bits of a purpose and of all its descendants; KeyError where there is no such purpose."""
    return _CLOSURES[code]


def known(code: str) -> bool:
    """True where the code is a purpose of use of ActReason."""
    return code in _BITS


def describe(mask: int) -> tuple[str, ...]:
    """The codes of a mask, in bit order."""
    return tuple(code for code, bit in _BITS.items() if mask & bit)


EMERGENCY: Final[int] = purpose_bit("ETREAT") | purpose_bit("BTG")
"""The two purposes of emergency access (docs/decisions/0001-the-spine.md, "emergency")."""
