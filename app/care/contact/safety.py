"""What a Patient says about being reached: our extensions, read (docs/care/safety.md). Pure.

- `contact-safety` on Patient.telecom: safe, available (days, from, until), hours, voicemail-allowed, code-word.
- `refused-participant` on Patient: somebody whom the person does not want to meet (an interpreter, a relative).
- `substitute-address` on Patient.address: the address that an address-confidentiality programme gives.
- `alias` on Patient.name: a name that the person uses instead of the official one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_BASE: Final = "https://throughline.example/fhir/StructureDefinition"
CONTACT_SAFETY: Final = f"{_BASE}/contact-safety"
REFUSED: Final = f"{_BASE}/refused-participant"
SUBSTITUTE_ADDRESS: Final = f"{_BASE}/substitute-address"
ALIAS: Final = f"{_BASE}/alias"

_SYSTEMS: Final = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})

Json = Mapping[str, Any]


def _stated(contact: Json) -> dict[str, Any]:
    """The parts of contact-safety: name to value."""
    return {
        str(part.get("url")): next((v for k, v in part.items() if k.startswith("value")), None)
        for extension in contact.get("extension", ())
        if extension.get("url") == CONTACT_SAFETY
        for part in extension.get("extension", ())
    }


def _key(contact: Json) -> str:
    """A contact as it is dialled or written to: spaces, hyphens and case apart."""
    text = str(contact.get("value", "")).lower()
    digits = "".join(c for c in text if c.isdigit())
    return digits.lstrip("0") if contact.get("system") in ("phone", "sms", "fax") else text.strip()


def unsafe(patient: Json) -> set[str]:
    """Every contact of a person that is said to be unsafe, in comparable form."""
    return {_key(c) for c in patient.get("telecom", ()) if _stated(c).get("safe") is False}


def is_unsafe(contact: Json, patient: Json) -> bool:
    """True for a contact that this person says is unsafe."""
    return bool(_key(contact)) and _key(contact) in unsafe(patient)


def safe_contact(patient: Json) -> dict[str, Any] | None:
    """The contact to use, with its hours and code word: the first that is said to be safe; None without.

    A contact of which nothing is said is not known to be safe.
    """
    for contact in sorted(patient.get("telecom", ()), key=lambda c: int(c.get("rank", 99))):
        if _stated(contact).get("safe") is True:
            return dict(contact)
    return None


def refused(patient: Json) -> set[str]:
    """References ("Type/id") to those whom the person does not want to meet."""
    return {
        str(extension.get("valueReference", {}).get("reference"))
        for extension in patient.get("extension", ())
        if extension.get("url") == REFUSED
    }


def same_contact(contact: Json, patient: Json) -> Json | None:
    """The contact of a person that this is, with what is stated of it; None where it is none of theirs."""
    wanted = _key(contact)
    return next((c for c in patient.get("telecom", ()) if wanted and _key(c) == wanted), None)


def unprotected(patient: Json) -> list[int]:
    """Positions of addresses that must not stand beside a substitute one; those that are old may."""
    addresses = patient.get("address", ())
    if not any(_flagged(each, SUBSTITUTE_ADDRESS) for each in addresses):
        return []
    return [
        position
        for position, each in enumerate(addresses)
        if not _flagged(each, SUBSTITUTE_ADDRESS) and each.get("use") != "old"
    ]


def presented(patient: Json) -> dict[str, Any]:
    """A person as a document shows them: by the alias where there is one, by the substitute address where there
    is one, and without a contact that is said to be unsafe.
    """
    shown = dict(patient)
    for element, url in (("name", ALIAS), ("address", SUBSTITUTE_ADDRESS)):
        chosen = [each for each in patient.get(element, ()) if _flagged(each, url)]
        if chosen:
            shown[element] = chosen
    kept = [c for c in patient.get("telecom", ()) if _stated(c).get("safe") is not False]
    if len(kept) < len(patient.get("telecom", ())):
        shown.pop("telecom")
        shown |= {"telecom": kept} if kept else {}
    if shown != patient:
        # The narrative tells what was left out.
        shown.pop("text", None)
    return shown


def _flagged(element: Json, url: str) -> bool:
    return any(
        each.get("url") == url and each.get("valueBoolean") is True
        for each in element.get("extension", ())
    )


def contacts(node: Any) -> Iterator[tuple[Json, str]]:
    """Every ContactPoint beneath a resource, with its path."""
    yield from _contacts(node, "")


def _contacts(node: Any, path: str) -> Iterator[tuple[Json, str]]:
    if isinstance(node, dict):
        if node.get("system") in _SYSTEMS and "value" in node:
            yield node, path
        for key, value in node.items():
            yield from _contacts(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _contacts(value, f"{path}[{position}]")
