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


def canonical_key(resource_type: str, code: str) -> int:
    """String rows that join canonicals to what they name: of a reference parameter, or, with the code "",
    of what the resources of a type are called (their `url`).
    """
    return hash64(resource_type, code, "n")


def canonical_name(url: str) -> str:
    """A canonical URL, without version, as those rows hold it."""
    return f"{hash64('canonical', url) & 0xFFFFFFFFFFFFFFFF:016x}"


def identifier_parameter(code: str) -> str:
    """The token parameter that `reference:identifier` asks."""
    return code + ":identifier"


def of_type_key(resource_type: str, code: str, system: str, type_: str, value: str) -> int:
    """`:of-type`: an Identifier's type (system and code) and value."""
    return hash64(resource_type, code, "o", system, type_, value)


def text_key(resource_type: str, code: str) -> int:
    """String rows of what a token is called (`:text`)."""
    return hash64(resource_type, code, "x")


def sort_key(resource_type: str, code: str) -> int:
    """String rows by which a token or uri parameter sorts: the code or the URI itself."""
    return hash64(resource_type, code, "z")


def quantity_key(resource_type: str, code: str, system: str, unit: str) -> int:
    """Number rows of quantities of one coded unit, in that unit; without system and unit, of all."""
    return hash64(resource_type, code, "q", system, unit)


def quantity_unit_key(resource_type: str, code: str, unit: str) -> int:
    """Number rows of quantities whose unit, coded or written, is this."""
    return hash64(resource_type, code, "w", unit)


def canonical_quantity_key(resource_type: str, code: str, dimension: str) -> int:
    """Number rows in base units of a physical dimension (`app.fhir_mappings.ucum`)."""
    return hash64(resource_type, code, "d", dimension)


def component_parameter(code: str, position: int) -> str:
    """The parameter as which a component of a composite is filed; position from 0."""
    return f"{code}${position}"


def coordinate_parameter(code: str, axis: str) -> str:
    """The parameter as which a latitude or longitude is filed."""
    return f"{code}@{axis}"
