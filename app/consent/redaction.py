"""Which elements of a resource carry inline security labels, and what is left without some of them.

An element is labelled by the DS4P extension on it (a primitive by the one on its `_` sibling). It counts with
the labels of whatever encloses it: who may not see the outer element does not see the inner one. A label on the
resource itself, or on its meta, labels the whole resource (`root_mask`) and is no element's.

What a Consent says of its grantees is for its custodian and the survivor; any other reader gets
`without_grantees`, always marked REDACTED, so that the mark tells nothing of whether there are others.

Pinned: hl7.org/fhir/R4/security-labels.html#4.1.1.5.3,
hl7.org/fhir/uv/security-label-ds4p/StructureDefinition-extension-inline-sec-label.html; docs/consent.md,
"Redaction". Neighbours: `app.consent.labels` (bits), `app.storage.elements` (who may see what).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from app.consent import labels
from app.consent.reading import Json, many

INLINE_LABEL: Final = (
    "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
)
REDACTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "REDACTED",
}

_VEIL: Final = 1 << 62
_HOLLOW: Final = frozenset({"id", "url"})
"""What makes no element by itself: an extension without a value, an element with nothing but an id."""

Hidden = Callable[[int], bool]


def veiled_code(key: int) -> int:
    """The key under which a code inside a labelled element is filed: denies look for it, permits do not.

    A permit by such a code would tell whoever may not see the element that the code is there.
    """
    return key ^ _VEIL


def _own(node: Json) -> int:
    mask = 0
    for kind in ("extension", "modifierExtension"):
        for extension in many(node, kind):
            if extension.get("url") == INLINE_LABEL:
                coding = extension.get("valueCoding")
                mask |= labels.label_bit(coding if isinstance(coding, dict) else {})
    return mask


def root_mask(resource: Json) -> int:
    """The labels that inline extensions on the resource itself or on its meta give to all of it."""
    meta = resource.get("meta")
    return _own(resource) | (_own(meta) if isinstance(meta, dict) else 0)


def element_masks(resource: Json) -> tuple[int, ...]:
    """The label masks of labelled elements, each once, those with the fewest labels first.

    A mask holds what is said inline, without the labels of the resource itself.
    """
    return tuple(sorted(set(all_masks(resource)), key=lambda mask: (mask.bit_count(), mask)))


def all_masks(resource: Json) -> list[int]:
    """The label mask of every labelled element, as often as there are such elements."""
    found: list[int] = []

    def note(mask: int) -> bool:
        found.append(mask)
        return False

    _filtered(resource, 0, note, root=True)
    return found


def without_elements(resource: Json, hidden: Hidden) -> dict[str, Any] | None:
    """The resource without the elements whose mask is hidden, nor any narrative; None where none is.

    Any narrative of the resource may tell of the element, so that all of them go with it.
    """
    left, removed = _filtered(resource, 0, hidden, root=True)
    return (
        {key: _unnarrated(value) for key, value in left.items() if not _narrative(key, value)}
        if removed
        else None
    )


def marked(resource: Json) -> dict[str, Any]:
    """The resource with REDACTED among its security labels."""
    meta = resource.get("meta")
    meta = dict(meta) if isinstance(meta, dict) else {}
    security = list(many(meta, "security"))
    if not any(each.get("code") == "REDACTED" for each in security):
        security.append(dict(REDACTED))
    return {**resource, "meta": {**meta, "security": security}}


def _filtered(
    node: Json, above: int, hidden: Hidden, *, root: bool = False
) -> tuple[dict[str, Any], bool]:
    """A node without its hidden children, and whether there were any."""
    left: dict[str, Any] = {}
    removed = False
    for key in dict.fromkeys(each.removeprefix("_") for each in node):
        value, beside = node.get(key), node.get(f"_{key}")
        many_ = isinstance(value, list) or isinstance(beside, list)
        pairs = list(_pairs(value, beside))
        kept = []
        for one, other in pairs:
            pair, gone = _pair(one, other, above, hidden, whole=root and key == "meta")
            removed |= gone
            if pair is not None:
                kept.append(pair)
        for name, given, part in ((key, value, 0), (f"_{key}", beside, 1)):
            parts = [pair[part] for pair in kept]
            while removed and parts and parts[-1] is None:
                parts.pop()
            if given is not None and parts:
                left[name] = parts if many_ else parts[0]
    if removed:
        return {name: left[name] for name in node if name in left}, True
    return dict(node), False


def _pairs(value: Any, beside: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of a property with what stands in its `_` sibling."""
    values = value if isinstance(value, list) else [value]
    others = beside if isinstance(beside, list) else [beside]
    for at in range(max(len(values), len(others))):
        yield (
            values[at] if at < len(values) else None,
            others[at] if at < len(others) else None,
        )


def _pair(
    one: Any, other: Any, above: int, hidden: Hidden, *, whole: bool
) -> tuple[tuple[Any, Any] | None, bool]:
    """A value and its sibling without what is hidden in them; None where nothing is left."""
    mask = above
    if not whole:
        said = (_own(one) if isinstance(one, dict) else 0) | (
            _own(other) if isinstance(other, dict) else 0
        )
        mask |= said
        if said and hidden(mask):
            return None, True
    removed = False
    parts: list[Any] = []
    for each in (one, other):
        part = each
        if isinstance(each, dict):
            part, gone = _filtered(each, mask, hidden)
            removed |= gone
            if gone and not part.keys() - _HOLLOW:
                part = None
        parts.append(part)
    if removed and all(part is None for part in parts):
        return None, True
    return (parts[0], parts[1]), removed


def _narrative(key: str, value: object) -> bool:
    return key == "text" and isinstance(value, dict) and "div" in value


def _unnarrated(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unnarrated(each) for key, each in value.items() if not _narrative(key, each)}
    return [_unnarrated(each) for each in value] if isinstance(value, list) else value


_OPAQUE: Final = frozenset({"text", "sourceAttachment", "extension"})
"""Parts of a Consent that may name anybody: its narrative, the scanned form, extensions."""


def without_grantees(consent: Json, own: Collection[str]) -> dict[str, Any]:
    """A Consent as one of its grantees reads it: their own actor entries, and what applies to them.

    own: literal references (`Type/id`) of who the reader is. A provision that names others alone is left out
    with all that stands below it; where something below names the reader, its type and period stay around that.
    """
    left: dict[str, Any] = {}
    for key, value in consent.items():
        if key in _OPAQUE:
            continue
        if key == "provision" and isinstance(value, dict):
            provision = _provision(value, own)
            if provision is not None:
                left[key] = provision
        else:
            left[key] = value
    contained = many(left, "contained")
    if contained:
        referenced = set(_references({k: v for k, v in left.items() if k != "contained"}))
        kept = [each for each in contained if f"#{each.get('id')}" in referenced]
        left.pop("contained")
        if kept:
            left["contained"] = kept
    return left


def _provision(provision: Json, own: Collection[str]) -> dict[str, Any] | None:
    actors = many(provision, "actor")
    mine = [each for each in actors if _reference(each.get("reference")) in own]
    nested = [(each, _provision(each, own)) for each in many(provision, "provision")]
    if actors and not mine:
        named = [kept for each, kept in nested if kept is not None and _names(kept)]
        if not named:
            return None
        shell = {key: provision[key] for key in ("type", "period") if key in provision}
        return {**shell, "provision": named}
    left: dict[str, Any] = {}
    for key, value in provision.items():
        if key == "actor":
            left[key] = mine
        elif key == "provision":
            kept_below = [kept for _, kept in nested if kept is not None]
            if kept_below:
                left[key] = kept_below
        elif key not in _OPAQUE:
            left[key] = value
    return left


def _names(provision: Json) -> bool:
    """Whether a provision that has been cut to the reader names the reader at all."""
    return bool(many(provision, "actor")) or any(map(_names, many(provision, "provision")))


def _reference(value: object) -> str:
    text = value.get("reference") if isinstance(value, dict) else None
    return text.split("/_history/")[0] if isinstance(text, str) else ""


def is_about(consent: Json, own: Collection[str]) -> bool:
    """Whether the reader is the Consent's own patient, who reads all of it."""
    return _reference(consent.get("patient")) in own


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            yield reference
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def layers(resource: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The resource as seen with ever more of its labelled elements: (mask, resource), mask 0 first.

    Whatever a layer has beyond the ones before is to be seen by who may see a resource with the mask besides
    its own labels. The last layer is the whole resource. Nothing but the whole where no element is labelled.
    """
    masks = element_masks(resource)
    grantees = resource.get("resourceType") == "Consent"
    if not masks and not grantees:
        yield 0, resource
        return
    for mask in (0, *masks):
        cut = without_elements(resource, lambda each, shown=mask: bool(each & ~shown))  # type: ignore[misc]
        seen = resource if cut is None else cut
        if grantees:
            yield mask, without_grantees(seen, ())
            yield mask | labels.GRANTEES, seen
        else:
            yield mask, seen
    everything = 0
    for mask in masks:
        everything |= mask
    if masks and masks[-1] != everything:
        yield everything | (labels.GRANTEES if grantees else 0), resource
