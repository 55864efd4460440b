"""What an operator says of an OpenID provider whose tokens are taken (`TL_OPENID_PROVIDERS`).

Neighbours: `app.settings` (one of its fields), `app.security.people` (verifies by it). The defaults are those
of SMART App Launch 2.2; docs/people.md has examples for common providers.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Algorithm = Literal["RS256", "RS384", "RS512", "ES256", "ES384"]


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ValueError("an issuer is an https address")
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("an issuer is an address without user, query and fragment")
    return text


class ClaimNames(BaseModel):
    """Where a token says what: a claim's name, or a path with dots into one (`realm_access.roles`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    person: str = "fhirUser"
    """Who signed in: `Practitioner/x` or `Patient/x`, alone or as an address of this server."""

    patient: str = "patient"
    """The survivor, as `x` or `Patient/x`; with `person` naming a survivor too, the same one."""

    organization: str = "organization"
    """The agency that the person acts for, as `x` or `Organization/x`."""

    roles: str = "roles"
    """The person's roles at the provider, as a list or as words."""

    purpose: str = "purpose_of_use"
    """The purpose of use, a v3-ActReason code."""

    emergency_reason: str = "emergency_reason"
    """The written reason of an emergency."""


class OpenIdProvider(BaseModel):
    """One provider, and how far its word counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    issuer: Annotated[str, AfterValidator(_issuer)]
    """Its `iss`, character for character; its configuration is found beneath it."""

    audience: str | None = None
    """The `aud` that its tokens for this service carry; unset, the FHIR base."""

    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = (
        *("RS256", "RS384", "ES256", "ES384"),
    )
    """Signatures that are taken from it."""

    organizations: tuple[str, ...] = ()
    """Agencies, besides the app's own, that its tokens may act for and whose staff it may name."""

    survivors: bool = False
    """Whether it may say that somebody is a survivor whose record is kept here."""

    launch: bool = False
    """Whether apps are sent there to sign people in (SMART App Launch); one provider at most."""

    privacy_officer_role: str | None = None
    """The role that makes a privacy officer, in an app registered with `--privacy-officer`."""

    emergency_role: str | None = None
    """The role that emergency access needs, in an app registered with `--emergency`; unset, any."""

    longest_seconds: Annotated[int, Field(ge=60, le=86_400)] = 3600
    """Longest lifetime of a token that is taken."""

    claims: ClaimNames = ClaimNames()
    """The names of its claims."""
