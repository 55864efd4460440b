"""Units of measure: a UCUM quantity in base units, so that 5 mg is found as 0.005 g.

Parsing is ucumvert's, arithmetic pint's. What cannot be converted exactly enough is not converted: special
units on a logarithmic scale, arbitrary units ([IU], which no two laboratories define alike), and words that
are no UCUM. Such a quantity is still found in the unit that it was written in.

Values are rounded to 12 significant digits, rows and queries alike, because factors are floating.
Pinned: hl7.org/fhir/R4/search.html#quantity, ucum.org/ucum (sections 4.2, 4.5).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

UCUM: Final = "http://unitsofmeasure.org"

_DIGITS: Final = 12
_ANNOTATION: Final = re.compile(r"\{[^{}]*\}")
# UCUM's arbitrary units (isArbitrary): commensurable with nothing but themselves.
_ARBITRARY: Final = re.compile(
    r"\[(?:iU|IU|arb'U|USP'U|GPL'U|MPL'U|APL'U|beth'U|anti'Xa'U|todd'U|dye'U|smgy'U|bdsk'U|ka'U"
    r"|knk'U|mclg'U|tb'U|CCID_50|TCID_50|EID_50|PFU|FFU|CFU|IR|BAU|AU|Amb'a'1'U|PNU|Lf|D'ag'U"
    r"|FEU|ELU|EU|hp'_[XCMQ]|kp_[XCMQ])\]"
)


class Conversion(NamedTuple):
    """From a unit to base units: `value * factor + offset`, in a dimension named by its base units."""

    dimension: str
    factor: float
    offset: float

    def apply(self, value: Decimal | float) -> float:
        """A value in base units, rounded; infinities stay."""
        return rounded(float(value) * self.factor + self.offset)


def rounded(value: float) -> float:
    """To 12 significant digits."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))


@lru_cache(maxsize=4096)
def conversion(unit: str) -> Conversion | None:
    """How a UCUM unit converts to base units; None where it cannot. unit: case-sensitive code."""
    if len(unit) > 100 or _ARBITRARY.search(unit):
        return None
    plain = _ANNOTATION.sub("", unit)
    if not plain:
        return Conversion("", 1.0, 0.0)
    if plain[0] in "*." or plain[-1] in "*./":
        return None
    try:
        at = [_in_base_units(plain, value) for value in (0.0, 1.0, 2.0)]
    except Exception:  # noqa: BLE001 - two libraries' own errors: whatever is no unit is not converted
        return None
    (zero, dimension), (one, _), (two, _) = at
    # A logarithmic unit is not a straight line, and 0 of it is no 0 of anything.
    if not math.isclose(two - one, one - zero, rel_tol=1e-9) or one == zero:
        return None
    return Conversion(dimension, rounded(one - zero), rounded(zero))


def _in_base_units(unit: str, value: float) -> tuple[float, str]:
    registry = _registry()
    parsed = registry.from_ucum(unit)
    base = registry.Quantity(value * parsed.magnitude, parsed.units).to_base_units()
    return float(base.magnitude), str(base.units)


@cache
def _registry() -> Any:
    # Made at the first quantity: it reads a file of a thousand units (about 0.3 s).
    from ucumvert import PintUcumRegistry  # type: ignore[import-untyped]

    return PintUcumRegistry()
