"""Which change a PATCH asks for: JSON Patch or FHIRPath Patch (hl7.org/fhir/R4/http.html#patch).

In a Bundle a JSON Patch travels as a Binary, a FHIRPath Patch as Parameters. Neighbours:
`app.fhir_mappings.json_patch`, `app.fhir_mappings.fhirpath_patch`; the change is applied to the locked
resource by `app.interactions.write_lock`, and its result validated like any other write.
"""

from __future__ import annotations

import base64
import binascii

from app.errors import FhirError, Issue, IssueCode, fhir_error
from app.fhir_mappings import json_patch, json_text
from app.fhir_mappings.fhirpath_patch import fhirpath_patch
from app.interactions.bundle_entry import Change
from app.interactions.write_plan import Json
from app.interactions.write_references import placed


def patch_of(resource: Json, where: str) -> Change:
    """The change that an entry's resource stands for; FhirError 400 placed at `where`."""
    try:
        if resource.get("resourceType") == "Binary":
            data, media = binary_patch(resource)
            if media.decode().partition(";")[0].strip() == json_patch.MEDIA_TYPE:
                return json_patch.json_patch(data, max_depth=json_text.MAX_DEPTH_LIMIT)
        elif resource.get("resourceType") == "Parameters":
            return fhirpath_patch(resource)
    except FhirError as error:
        raise FhirError(
            [
                Issue(i.code, i.diagnostics, tuple(_inside(where, e) for e in i.expression))
                for i in error.issues
            ],
            status=error.status,
        ) from error
    raise fhir_error(
        IssueCode.NOT_SUPPORTED,
        f"A PATCH entry holds Parameters, or a Binary with contentType {json_patch.MEDIA_TYPE}.",
        where,
    )


def _inside(where: str, expression: str) -> str:
    return f"{where}{expression}" if expression.startswith("[") else placed(where, expression)


def binary_patch(resource: Json) -> tuple[bytes, bytes]:
    """The document and media type of a Binary; 400 where its data is no base64."""
    try:
        data = base64.b64decode(str(resource.get("data", "")), validate=True)
    except binascii.Error as error:
        raise fhir_error(IssueCode.VALUE, "Binary.data must be base64.", status=400) from error
    return data, str(resource.get("contentType", "")).encode("latin-1", "replace")
