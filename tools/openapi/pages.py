"""Which page of docs/ tells of an operation; served at /docs/#/pages (`app.routers.docs`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_DOCS: Final = Path(__file__).parents[2] / "docs"

_BY_WORD: Final = (
    (r"/fhir/metadata", "interactions/capabilities.md"),
    (r"AuditEvent|accounting-of-disclosures", "audit.md"),
    (r"\$(preview|explain)-access|\$enforcement", "consent.md"),
    (r"referral-package", "care/referrals.md"),
    (r"\$everything|/Patient/\{id\}/\{type\}", "interactions/everything.md"),
    (r"\$meta", "interactions/meta.md"),
    (r"\$validate$", "validation.md"),
    (r"CodeSystem|ValueSet", "terminology.md"),
    (r"\$(match|link|unlink|summary)", "care/record.md"),
    (r"\$(outcomes|extract|populate)", "care/questionnaires.md"),
    (r"\$(apply|evaluate-measure)", "care/plans.md"),
    (r"_history/", "interactions/read.md"),
    (r"_history", "interactions/history.md"),
    (r"_search", "search.md"),
    (r"^/(oauth|\.well-known)", "clients-and-tokens.md"),
    (r"^/(healthz|readyz)", "operations.md"),
)
_BY_METHOD: Final = {
    ("get", "/fhir"): "search.md",
    ("post", "/fhir"): "interactions/transaction.md",
    ("get", "/fhir/{type}"): "search.md",
    ("post", "/fhir/{type}"): "interactions/create.md",
    ("get", "/fhir/{type}/{id}"): "interactions/read.md",
}
_CHANGES: Final = {"put": "update", "patch": "patch", "delete": "delete"}


def page(method: str, path: str) -> str:
    """The page, as a path beneath docs/. LookupError where no page is known, or it is not there."""
    found = next((name for word, name in _BY_WORD if re.search(word, path)), None)
    if found is None:
        found = _BY_METHOD.get((method, path))
    if found is None and method in _CHANGES:
        found = f"interactions/{_CHANGES[method]}.md"
    if found is None or not (_DOCS / found).exists():
        raise LookupError(f"tools/openapi/pages.py knows no page of docs/ for {method} {path}")
    return found
