"""`Patient/$match`: is this person known here, to this caller (hl7.org/fhir/R4/patient-operation-match.html)?

Only Patients that the caller may see are looked at, so that an answer tells nothing of the others: whoever
may see nobody gets what an empty service would say. Pure scoring; neighbour: `operations`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

_MOST: Final = 20
"""Identifiers and family names of a person that are looked for."""

GRADE: Final = "http://hl7.org/fhir/StructureDefinition/match-grade"


@dataclass(frozen=True, slots=True)
class Match:
    """score: 0 to 1. grade: certain, probable or possible (R4's codes)."""

    score: float
    grade: str


def plain(text: str) -> str:
    """Letters only, case and accents apart."""
    split = unicodedata.normalize("NFKD", text)
    return "".join(c for c in split.lower() if c.isalnum())


def match(wanted: Json, candidate: Json) -> Match | None:
    """How well a candidate fits; None where it does not.

    A shared identifier is certain. Without one: family name, given name, birth date and telephone count,
    and a contradiction of birth dates rules out.
    """
    if _identifiers(wanted) & _identifiers(candidate):
        return Match(1.0, "certain")
    born = (wanted.get("birthDate"), candidate.get("birthDate"))
    if all(born) and not _dates_agree(str(born[0]), str(born[1])):
        return None
    score = 0.0
    if _names(wanted, "family") & _names(candidate, "family"):
        score += 0.35
    if _names(wanted, "given") & _names(candidate, "given"):
        score += 0.2
    if all(born):
        score += 0.3 if born[0] == born[1] else 0.1
    if _telecom(wanted) & _telecom(candidate):
        score += 0.15
    if score < 0.35:
        return None
    return Match(round(score, 2), "probable" if score >= 0.85 else "possible")


def queries(wanted: Json) -> list[list[tuple[str, str]]]:
    """The searches that find candidates, four at most: by identifier, family name, birth date and given name.

    A telephone alone finds nobody: it is not enough for a match.
    """
    found = [
        [
            ("identifier", f"{_escaped(i.get('system', ''))}|{_escaped(i['value'])}")
            for i in wanted.get("identifier", ())
            if "value" in i
        ]
    ]
    names = wanted.get("name", ())
    found.append([("family", _escaped(name["family"])) for name in names if name.get("family")])
    # Several values of one parameter are one search: whoever sends a thousand identifiers asks once.
    made = [[(each[0][0], ",".join(value for _, value in each[:_MOST]))] for each in found if each]
    if wanted.get("birthDate"):
        given = [g for n in names for g in n.get("given", ())]
        made += [[("birthdate", wanted["birthDate"]), ("given", _escaped(g))] for g in given[:2]]
    return made


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")


def _identifiers(patient: Json) -> set[tuple[str, str]]:
    return {
        (i.get("system", ""), i["value"])
        for i in patient.get("identifier", ())
        if "value" in i and i.get("system")
    }


def _names(patient: Json, part: str) -> set[str]:
    found = set()
    for name in patient.get("name", ()):
        stated = name.get(part, ())
        found |= {plain(each) for each in ([stated] if isinstance(stated, str) else stated)}
    return found - {""}


def _telecom(patient: Json) -> set[str]:
    return {plain(str(t.get("value", ""))) for t in patient.get("telecom", ())} - {""}


def _dates_agree(left: str, right: str) -> bool:
    """Partial dates agree where one begins with the other."""
    return left.startswith(right) or right.startswith(left)
