"""Tokens that an OpenID provider issues to people: staff of an agency, or a survivor with an own app.

A provider's word counts as far as its settings let it (`app.openid_settings`) and no further than the
registration of the app: scopes and purposes are what both grant, staff are those whose Practitioner entry is
kept by an agency that the provider may speak for. A token is verified once and then known for five minutes.
Pinned: RFC 9068, RFC 8725, hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html.
Neighbours: `app.security.tokens` (our own tokens; serves what is known here), docs/decisions/0005.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from typing import Any, Final

import httpx
from jose import JWTError, jwt

from app import clock
from app.consent import purposes
from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import registry
from app.openid_settings import OpenIdProvider
from app.security.claim_reading import Refused, moment, reference, text, words
from app.security.discovery import Discovery
from app.security.fetching import Unreachable
from app.security.keysets import Jwk, KeySets, fits
from app.security.scopes import common, parse_scopes
from app.security.tokens import Claims, TokenVerifier, VerifiedClaims, refuse
from app.storage import clients
from app.storage.clients import Client
from app.storage.database import Database
from app.storage.identities import Identity
from app.storage.resources import directory_entry

_LOG: Final = logging.getLogger("throughline.people")
_TYPES: Final = (None, "JWT", "at+jwt", "application/at+jwt")
_CLIENT_CLAIMS: Final = ("client_id", "azp", "cid")
_NOT_ACCESS: Final = frozenset({"nonce", "at_hash", "c_hash", "events"})
"""Claims of ID tokens and logout tokens; an access token has none of them."""

_SKEW_SECONDS: Final = 10
_LONGEST_TEXT: Final = 8192
_KNOWN_SECONDS: Final = 300.0
_MANY: Final = 10_000
_EMERGENCY_SECONDS: Final = 900
_EMERGENCY: Final = ("ETREAT", "BTG")
_LONGEST_REASON: Final = 1000


class People:
    """The tokens of outside providers that one process takes."""

    def __init__(
        self,
        providers: Iterable[OpenIdProvider],
        http: httpx.AsyncClient,
        key_sets: KeySets,
        database: Database,
        fhir_base: str,
    ) -> None:
        self.providers = {each.issuer: each for each in providers}
        self.http = http
        self.discovery = Discovery(http)
        self._key_sets = key_sets
        self._database = database
        self._base = fhir_base
        self._until: dict[bytes, float] = {}

    def provider(self, token: str) -> OpenIdProvider | None:
        """The provider that a token says it is of; nothing about it has been verified."""
        if not self.providers or len(token) > _LONGEST_TEXT:
            return None
        try:
            issuer = jwt.get_unverified_claims(token).get("iss")
        except JWTError:
            return None
        return self.providers.get(issuer) if isinstance(issuer, str) else None

    async def recognize(self, authorization: str | None, verifier: TokenVerifier) -> None:
        """Make a good token of a provider known to the verifier; leave every other token to it.

        FhirError: 401 for a token of a provider that is not taken, 503 while the provider cannot be asked.
        """
        if not self.providers or authorization is None or authorization[:7].lower() != "bearer ":
            return
        token = authorization[7:].strip()
        digest = hashlib.sha256(token.encode()).digest()
        now = time.monotonic()
        if verifier.knows(digest) and now < self._until.get(digest, 0.0):
            return
        provider = self.provider(token)
        if provider is None:
            return
        claims = await self.verify(token, provider)
        if len(self._until) >= _MANY:
            self._until.clear()
        self._until[digest] = now + _KNOWN_SECONDS
        verifier.learn(digest, claims)

    async def verify(self, token: str, provider: OpenIdProvider) -> VerifiedClaims:
        """The claims of a provider's token, checked in full; FhirError as `recognize` says.

        Does not ask whether it was revoked.
        """
        try:
            body = await self._body(token, provider)
            return VerifiedClaims(await self._claims(token, body, provider))
        except Refused as error:
            # The reason is for the operator; the sender learns that the token is not taken.
            _LOG.info("a token of a provider was refused: %s", error)
            raise refuse("it is not one that this server takes") from error
        except Unreachable as error:
            raise _away() from error

    def patient_of(self, token: str, provider: OpenIdProvider) -> str | None:
        """The id of the survivor that a token names; of one verified before."""
        body = jwt.get_unverified_claims(token)
        named = reference(_at(body, provider.claims.patient), "Patient", self._base) or reference(
            _at(body, provider.claims.person), "Patient", self._base
        )
        return named[1] if named else None

    def scope_of(self, token: str) -> str:
        """The scopes that a token says it was granted; of one verified before."""
        return _granted(jwt.get_unverified_claims(token))

    async def _body(self, token: str, provider: OpenIdProvider) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except JWTError as error:
            raise Refused("it is malformed") from error
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in provider.algorithms or not isinstance(kid, str):
            raise Refused("its algorithm or its kid is not taken")
        if header.get("typ") not in _TYPES or "crit" in header:
            raise Refused("its header says that it is something else")
        found = await self.discovery.configuration(provider.issuer)
        # Keys come from the provider's own address, whatever the header says of jku, jwk or x5u.
        key = await self._key_sets.find(found.jwks_uri, kid)
        if key is None or not fits(key, algorithm):
            raise Refused("its key is unknown, or not for its algorithm")
        body = _decode(token, key, algorithm, provider, provider.audience or self._base)
        if _NOT_ACCESS & body.keys() or body.get("typ", "Bearer") != "Bearer":
            raise Refused("it is no access token")
        _within(body, provider.longest_seconds)
        return body

    async def _claims(self, token: str, body: dict[str, Any], provider: OpenIdProvider) -> Claims:
        client = await self._client(body, provider)
        survivor = all(each.level == "patient" for each in parse_scopes(client.scope).held)
        level = "patient" if survivor else "user"
        granted = _granted(body)
        identity = (
            await self._survivor(body, provider, client)
            if survivor
            else await self._staff(body, provider, client)
        )
        purpose = text(body, provider.claims.purpose) or client.purposes[0]
        if purpose not in client.purposes:
            raise Refused("the app is not registered for its purpose of use")
        roles = set(words(_at(body, provider.claims.roles)))
        return Claims(
            client_id=client.client_id,
            identity=identity,
            purpose=purpose,
            purpose_bit=purposes.purpose_bit(purpose),
            scopes=parse_scopes(common(client.scope, granted, level)),
            emergency_reason=_emergency(body, provider, client, purpose, roles),
            privacy_officer=client.privacy_officer
            and provider.privacy_officer_role is not None
            and provider.privacy_officer_role in roles,
            expires=moment(body, "exp"),
            jti=outside_jti(token),
            issued=moment(body, "iat"),
            context=identity.patient,
        )

    async def _client(self, body: dict[str, Any], provider: OpenIdProvider) -> Client:
        name = next((body[each] for each in _CLIENT_CLAIMS if each in body), None)
        found = (
            await clients.find_client(self._database.pool, name) if isinstance(name, str) else None
        )
        if found is None or found.revoked or found.openid_issuer != provider.issuer:
            raise Refused("its app is not registered for this provider")
        return found

    async def _survivor(
        self, body: dict[str, Any], provider: OpenIdProvider, client: Client
    ) -> Identity:
        if not provider.survivors:
            raise Refused("the provider may not name survivors")
        person = reference(_at(body, provider.claims.person), None, self._base)
        patient = reference(_at(body, provider.claims.patient), "Patient", self._base)
        if person is not None and person[0] != "Patient":
            raise Refused("a survivor's app was used by somebody else")
        if person is not None and patient is not None and person != patient:
            raise Refused("it names two survivors")
        named = person or patient
        if named is None:
            raise Refused("it names no survivor")
        rid = await clients.identity_rid(
            self._database.pool, registry.type_code("Patient"), named[1]
        )
        if rid is None or client.patient not in (None, rid):
            raise Refused("the survivor is not known, or not the one that the app is for")
        return Identity(client.organization, None, rid)

    async def _staff(
        self, body: dict[str, Any], provider: OpenIdProvider, client: Client
    ) -> Identity:
        code = registry.type_code
        spoken_for = {client.organization}
        for name in provider.organizations:
            known = await directory_entry(self._database, code("Organization"), name)
            spoken_for |= {known.rid} if known else set()
        organization: int | None = client.organization
        acting = reference(_at(body, provider.claims.organization), "Organization", self._base)
        if acting is not None:
            named = await directory_entry(self._database, code("Organization"), acting[1])
            organization = named.rid if named else None
        if organization not in spoken_for:
            raise Refused("the provider may not speak for the organization")
        person = reference(_at(body, provider.claims.person), None, self._base)
        if person is None or person[0] != "Practitioner":
            raise Refused("it names no practitioner")
        # Whom another agency keeps, another provider vouches for: else one could borrow a named person's
        # permits by claiming to be that person.
        practitioner = await directory_entry(self._database, code("Practitioner"), person[1])
        if practitioner is None or practitioner.custodian not in spoken_for:
            raise Refused("the practitioner is not of an organization that the provider speaks for")
        return Identity(organization, practitioner.rid, None)


def outside_jti(token: str) -> str:
    """What names a provider's token in revocations: its hash, since providers may number alike."""
    return hashlib.sha256(token.encode()).hexdigest()


def _granted(body: dict[str, Any]) -> str:
    return " ".join(words(body.get("scope", body.get("scp"))))


def _at(body: dict[str, Any], name: str) -> Any:
    """A claim by its name, or by a path with dots into one."""
    if name in body or "." not in name:
        return body.get(name)
    found: Any = body
    for step in name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _decode(
    token: str, key: Jwk, algorithm: str, provider: OpenIdProvider, audience: str
) -> dict[str, Any]:
    try:
        body: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=provider.issuer,
            options={
                "require_iss": True,
                "require_aud": True,
                "require_sub": True,
                "verify_at_hash": False,
                # Times are checked by `_within`, which also bounds them.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (JWTError, AttributeError, TypeError, ValueError) as error:
        raise Refused("its signature, issuer, audience or subject is wrong") from error
    return body


def _within(body: dict[str, Any], longest: int) -> None:
    now = clock.now()
    issued, expires = moment(body, "iat"), moment(body, "exp")
    begins = moment(body, "nbf") if "nbf" in body else issued
    if expires <= now:
        raise Refused("it has expired")
    if max(issued, begins) > now + _SKEW_SECONDS:
        raise Refused("it is not valid yet")
    if expires - issued > longest:
        raise Refused("it lives longer than tokens of its provider may")


def _emergency(
    body: dict[str, Any], provider: OpenIdProvider, client: Client, purpose: str, roles: set[str]
) -> str | None:
    if purpose not in _EMERGENCY or not client.emergency:
        return None
    reason = (text(body, provider.claims.emergency_reason) or "").strip()
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise Refused("an emergency needs a written reason")
    if provider.emergency_role is not None and provider.emergency_role not in roles:
        raise Refused("the person has no role for emergencies")
    if moment(body, "exp") - moment(body, "iat") > _EMERGENCY_SECONDS:
        raise Refused("an emergency lasts 15 minutes at most")
    return reason


def _away() -> FhirError:
    return fhir_error(
        IssueCode.TRANSIENT,
        "The provider of this token cannot be asked for its keys at the moment; try again.",
        headers=(("Retry-After", "5"),),
    )
