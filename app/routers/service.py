"""What every route needs: pools, keys, callers, audit; made once by the lifespan of `app.main`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from app import clock, metrics
from app.care.guards import GUARDS
from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import operation_outcome, registry
from app.interactions.emergency import Urgent, tell
from app.interactions.guards import Guard
from app.interactions.validation import ProfileGuard
from app.interactions.writing import WriteRules
from app.logs import request_id
from app.routers import disclosed
from app.routers.answer import fhir_response
from app.routers.deadline import Deadlines
from app.routers.headers import header
from app.routers.inner import inner_of
from app.routers.negotiation import PLAIN, negotiate, shape
from app.routers.pacing import Pacing
from app.security import scopes
from app.security.keysets import KeySets
from app.security.people import People
from app.security.scopes import Scopes
from app.security.tokens import TokenVerifier, VerifiedClaims
from app.security.trust import Trust
from app.settings import Settings
from app.storage import disclosures
from app.storage.audit import AuditRow, AuditWriter
from app.storage.database import Caller, Database, Reader, StaleClosure, refusal
from app.storage.identities import resolve_caller

Result = TypeVar("Result")

_LOG: Final = logging.getLogger("throughline")
_ATTEMPTS: Final = 5
_LONGEST_QUERY: Final = 4000
_MANY: Final = 10_000
_AT_ONCE: Final = frozenset({"read", "vread", "create", "update", "patch"})
_ACTIONS: Final = {"c": b"C", "r": b"R", "u": b"U", "d": b"D", "s": b"E"}


@dataclass(frozen=True, slots=True)
class SeenEntry:
    """One write of a transaction, written down in a row of its own."""

    interaction: str
    letter: str
    type: str
    id: str
    rids: list[int]


@dataclass(slots=True)
class Seen:
    """What an exchange touched, for its audit rows.

    interaction: where it turned out to be another than the route's. entries: of a transaction.
    inner: rows of the requests made inside it (`app.routers.inner`).
    """

    rids: list[int] = field(default_factory=list)
    interaction: str | None = None
    entries: list[SeenEntry] = field(default_factory=list)
    inner: list[AuditRow] = field(default_factory=list)
    query: str | None = None


@dataclass(slots=True)
class Service:
    """The running service."""

    settings: Settings
    database: Database
    trust: Trust
    verifier: TokenVerifier
    audit: AuditWriter
    cursor_key: bytes
    key_sets: KeySets
    people: People
    callers: dict[VerifiedClaims, Caller] = field(default_factory=dict)
    told: set[tuple[str, int, int]] = field(default_factory=set)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    pacing: Pacing = field(init=False)
    deadlines: Deadlines = field(init=False)

    def __post_init__(self) -> None:
        """The beat and the time limit of the settings."""
        self.pacing = Pacing(self.loop, self.settings.answer_beat_ms)
        self.deadlines = Deadlines(self.loop, self.settings.request_timeout_ms / 1000)

    def close(self) -> None:
        """Let everybody go who waits for the beat, and watch over nobody any more."""
        self.pacing.close()
        self.deadlines.close()

    @property
    def root(self) -> str:
        """The address of this server: its issuer name, without a slash at its end."""
        return self.settings.fhir_base.removesuffix("/fhir")

    @property
    def rules(self) -> WriteRules:
        """The settings that writing depends on."""
        return WriteRules(
            (self.settings.fhir_base,),
            self.settings.update_as_create,
            self._guards,
            self.settings.conditional_delete_limit,
        )

    @property
    def _guards(self) -> tuple[Guard, ...]:
        if self.settings.claimed_profiles == "ignore":
            return GUARDS
        return (*GUARDS, ProfileGuard(self.settings.claimed_profiles))

    def held(self, request: Request) -> Scopes:
        """The scopes of the request's token."""
        return self.verifier.verify(header(request, b"authorization")).scopes

    def reader(self, request: Request) -> Reader:
        """What reads for a request: the pool, or the transaction that it is made in."""
        inner = inner_of(request)
        return inner.reader if inner is not None and inner.reader is not None else self.database

    def may(self, request: Request, type_: str, letter: str) -> bool:
        """Whether the request's token has a scope for an interaction on a type."""
        claims = self.verifier.verify(header(request, b"authorization"))
        return claims.scopes.allow(type_, letter)

    def require(self, request: Request, type_: str, letter: str) -> None:
        """403 where the request's token lacks a scope for an interaction on a type."""
        claims = self.verifier.verify(header(request, b"authorization"))
        scopes.require(claims.scopes, type_, letter)

    async def as_caller(
        self, claims: VerifiedClaims, work: Callable[[Caller], Awaitable[Result]]
    ) -> Result:
        """Run `work` with the caller's closure as of now; again where memberships moved meanwhile.

        Also again where its write was undone because another waited for it in a circle (WriteCollision).
        """
        for _ in range(_ATTEMPTS):
            caller = self.callers.get(claims)
            if caller is None:
                caller = await resolve_caller(
                    self.database.pool,
                    claims.identity,
                    purpose=claims.purpose_bit,
                    emergency=claims.emergency_reason is not None,
                    privacy_officer=claims.privacy_officer,
                )
                caller = replace(caller, scope=claims.scopes.reading(claims.context))
                if len(self.callers) > 10_000:
                    self.callers.clear()
                self.callers[claims] = caller
            try:
                return await work(caller)
            except StaleClosure:
                self.callers.pop(claims, None)
        raise fhir_error(IssueCode.TRANSIENT, "The directory is changing; try again in a moment.")

    async def perform(
        self,
        request: Request,
        interaction: str,
        letter: str,
        type_: str | None,
        id_: str | None,
        work: Callable[[Caller, Seen], Awaitable[Response]],
    ) -> Response:
        """One FHIR exchange: who, may they, do it, write it down, answer, where need be on the beat.

        The audit row is durable before the answer leaves; where it cannot be written nothing is answered.
        """
        since = time.monotonic_ns()
        seen, claims = Seen(), None
        inner = inner_of(request)
        # What the requests inside a Bundle show is noted with that Bundle's own.
        noted = disclosures.begin() if inner is None else None
        wanted = PLAIN
        refused: FhirError | None = None
        try:
            wanted = negotiate(request)
            bearer = header(request, b"authorization")
            if inner is None and self.people.providers:
                await self.people.recognize(bearer, self.verifier)
            claims = verified = self.verifier.verify(bearer)
            if inner is None:
                # What a Bundle asks inside is one request of its client.
                pending = self.verifier.rate.admit(verified.client_id)
                if pending is not None:
                    await pending
            if type_ is not None:
                if not registry.is_resource_type(type_):
                    raise fhir_error(
                        IssueCode.NOT_FOUND, "FHIR R4 has no such resource type.", status=404
                    )
                scopes.require(verified.scopes, type_, letter)
            with self.deadlines.begin():
                response = await self.as_caller(verified, lambda caller: work(caller, seen))
                if verified.emergency_reason is not None and seen.rids:
                    await self.as_caller(
                        verified, lambda caller: self._tell_emergency(verified, caller, seen)
                    )
            if noted:
                response.headers.update(
                    await self.as_caller(
                        verified, lambda caller: disclosed.headers(self.database, caller, noted)
                    )
                )
            if "form" in request.scope.get("state", ()):
                wanted = negotiate(request)
        except FhirError as error:
            refused = error
            response = error_response(error)
        except Exception as error:
            refused = refusal(error)
            if refused is None:
                raise
            response = error_response(refused)
        if refused is not None:
            metrics.refused(seen.interaction or interaction, refused.issues[0].code)
        row = AuditRow(
            recorded=clock.today(),
            action=_ACTIONS[letter],
            interaction=seen.interaction or interaction,
            outcome=0 if response.status_code < 400 else 8 if response.status_code >= 500 else 4,
            client_id=claims.client_id if claims else None,
            organization=claims.identity.organization if claims else None,
            practitioner=claims.identity.practitioner if claims else None,
            purpose=claims.purpose if claims else None,
            emergency_reason=claims.emergency_reason if claims else None,
            type=registry.CODES.get(type_) if type_ else None,
            resource_id=id_[:64] if id_ else None,
            rids=seen.rids or None,
            query=seen.query
            or request.scope["query_string"].decode("latin-1")[:_LONGEST_QUERY]
            or None,
            request_id=request_id(),
        )
        rows = [row, *seen.inner, *[_entry_row(row, each) for each in seen.entries]]
        response = shape(response, wanted if inner is None else wanted.inside(), interaction)
        if request.method == "HEAD":
            # What a GET would answer, its length too, without its body (RFC 9110 section 9.3.2).
            response.body = b""
        if inner is not None:
            # Written with the outer request's own row, before its answer leaves.
            inner.audit.extend(rows)
            return response
        if not await self.write_down(*rows):
            response = error_response(
                fhir_error(
                    IssueCode.TRANSIENT,
                    "The access could not be written down, so nothing is answered; try again later.",
                    headers=(("Retry-After", "5"),),
                )
            )
        if not _tells_what_is_seen(request, interaction, response):
            await self.pacing.beat(since)
        return response

    async def _tell_emergency(self, claims: VerifiedClaims, caller: Caller, seen: Seen) -> None:
        if len(self.told) > _MANY:
            self.told.clear()
        urgent = Urgent(claims.jti, claims.client_id, claims.purpose, claims.emergency_reason or "")
        seen.rids += await tell(
            self.database,
            caller,
            urgent,
            seen.rids,
            self.told,
            self.settings.fhir_base,
            datetime.now(UTC),
        )

    async def write_down(self, *rows: AuditRow) -> bool:
        """Whether the rows are durable now; where not, nothing may be told (consent.md, audit)."""
        try:
            with self.deadlines.begin():
                await self.audit.write(*rows)
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing is told
            # Only the kind of the error: its text may repeat the row.
            _LOG.error("an audit row could not be written: %s", type(error).__name__)
            return False
        return True


def _tells_what_is_seen(request: Request, interaction: str, response: Response) -> bool:
    """Whether nothing that the caller may not see was looked at: one resource was read or written by its id.

    Not so where there was nothing to read, where something was searched, or where a write has criteria.
    """
    if interaction not in _AT_ONCE or response.status_code >= 400:
        return False
    return request.method in ("GET", "HEAD") or not (
        request.scope["query_string"] or header(request, b"if-none-exist") is not None
    )


def _entry_row(row: AuditRow, entry: SeenEntry) -> AuditRow:
    return row._replace(
        action=_ACTIONS[entry.letter],
        interaction=entry.interaction,
        type=registry.type_code(entry.type),
        resource_id=entry.id,
        rids=entry.rids,
        query=None,
    )


def error_response(error: FhirError) -> Response:
    """A FhirError as an OperationOutcome answer."""
    return fhir_response(
        operation_outcome.render(error.issues), status=error.status, headers=error.headers
    )


def service_of(request: Request) -> Service:
    """The service that the lifespan made."""
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("the application has not started")
    return service
