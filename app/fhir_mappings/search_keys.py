"""The one place where a search index key is made, for rows and for queries alike.

A row and the query that shall find it call the same function, so that they can never disagree. Keys
are signed 64-bit integers (`app.fhir_mappings.hashing`). A parameter is named by resource type and
code; the `:identifier` form of a reference parameter is a token parameter of its own. Neighbours:
`app.fhir_mappings.index_rows` writes them, `app.fhir_mappings.search_query` asks for them.

Pinned: hl7.org/fhir/R4/search.html#token, hl7.org/fhir/R4/search.html#reference.
"""

from __future__ import annotations

from app.fhir_mappings.hashing import hash64


def parameter_key(resource_type: str, code: str) -> int:
    """Of a parameter itself: the key of its date, string and reference rows."""
    return hash64(resource_type, code)


def presence_key(resource_type: str, code: str) -> int:
    """The resource has some value for the parameter (`:missing`)."""
    return hash64(resource_type, code, "p")


def token_key(resource_type: str, code: str, system: str, value: str) -> int:
    """`system|value`; with an empty system `|value`, a value that has no system."""
    return hash64(resource_type, code, "t", system, value)


def token_value_key(resource_type: str, code: str, value: str) -> int:
    """`value`, whatever its system."""
    return hash64(resource_type, code, "c", value)


def token_system_key(resource_type: str, code: str, system: str) -> int:
    """`system|`, any value of a system."""
    return hash64(resource_type, code, "s", system)


def reference_key(resource_type: str, code: str, target_type: str, target_id: str) -> int:
    """`Type/id` on this server."""
    return hash64(resource_type, code, "r", target_type, target_id)


def uri_key(resource_type: str, code: str, uri: str) -> int:
    """A URI, exactly; also of a reference to another server, and of a canonical."""
    return hash64(resource_type, code, "u", uri)


def identifier_parameter(code: str) -> str:
    """The token parameter that `reference:identifier` asks."""
    return code + ":identifier"
