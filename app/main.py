"""The application: `create_app(settings, database_url)`; its lifespan owns pool, keys and audit writer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app import __version__, metrics
from app.care.referrals import expiry
from app.interactions import definitions
from app.routers import (
    access,
    audit,
    bundle,
    compartment,
    conditional,
    discovery,
    health,
    hot_read,
    instance,
    longitudinal,
    oauth,
    operations,
    search,
    system,
    terminology,
    validation,
)
from app.routers import type as type_router
from app.routers.docs import Site
from app.routers.docs import router as docs_router
from app.routers.protection import Protection
from app.routers.service import Service
from app.security.fetching import open_http
from app.security.keysets import KeySets
from app.security.people import People
from app.security.rate import RateLimit
from app.security.sealing import Seal
from app.security.trust import Trust
from app.settings import Settings
from app.storage.audit import AuditWriter
from app.storage.clients import server_secret
from app.storage.database import Database


class _Application(FastAPI):
    """The routes, and past them the plain read (`app.routers.hot_read`)."""

    plain_read: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any kind."""
        if hot_read.is_plain(scope):
            scope["app"] = self
            await self.plain_read(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    settings: Settings,
    database_url: str,
    connect: Callable[[], httpx.AsyncClient] = open_http,
) -> FastAPI:
    """The ASGI application. database_url: of the service's own role, on a migrated database.

    connect: makes the client that other houses are asked with (key sets, OpenID providers).
    """

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        # What was opened is closed again in reverse, also where a later part does not start.
        async with AsyncExitStack() as opened:
            database = await Database.open(
                database_url,
                minimum=settings.pool_min,
                maximum=settings.pool_max,
                statement_timeout_ms=settings.statement_timeout_ms,
                traced=settings.traces,
            )
            opened.push_async_callback(database.close)
            writer = AuditWriter(database_url)
            opened.push_async_callback(writer.stop)
            await writer.start()
            seal = Seal(settings)
            trust = await Trust.open(database_url, database.pool, seal)
            opened.push_async_callback(trust.close)
            http = await opened.enter_async_context(connect())
            key_sets = KeySets(http)
            people = People(settings.openid_providers, http, key_sets, database, settings.fhir_base)
            service = application.state.service = Service(
                settings,
                database,
                trust,
                trust.verifier(
                    settings.fhir_base.removesuffix("/fhir"),
                    RateLimit(settings.rate_limit, database.pool),
                ),
                writer,
                seal.derive("cursors", await server_secret(database.pool, "cursor")),
                key_sets,
                people,
            )
            opened.callback(service.close)
            await opened.enter_async_context(definitions.watching(database))
            await opened.enter_async_context(
                expiry.watching(
                    database,
                    writer.write,
                    (settings.fhir_base,),
                    settings.consent_end_seconds,
                )
            )
            if settings.metrics_port is not None:
                await opened.enter_async_context(
                    metrics.sampling(database.connections, __version__)
                )
            yield

    application = _Application(
        title="Throughline",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # Who read what is the audit's to tell; asking at each request whether anybody listens costs 20 µs.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    https = settings.fhir_base.startswith("https://")
    application.add_middleware(Protection, https=https, max_parameters=settings.max_parameters)
    application.plain_read = hot_read.HotRead(https=https)
    if settings.cors_origins:
        application.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                *("Authorization", "Content-Type", "Prefer", "X-Request-Id"),
                *("If-Match", "If-None-Match", "If-None-Exist", "If-Modified-Since"),
            ],
            expose_headers=["ETag", "Location", "Last-Modified", "Retry-After", "X-Request-Id"],
        )
    application.include_router(health.router)
    application.include_router(oauth.router)
    application.include_router(discovery.router)
    application.include_router(system.router, prefix="/fhir")
    application.include_router(bundle.router, prefix="/fhir")
    application.include_router(access.router, prefix="/fhir")
    application.include_router(longitudinal.router, prefix="/fhir")
    application.include_router(operations.router, prefix="/fhir")
    application.include_router(terminology.router, prefix="/fhir")
    application.include_router(validation.router, prefix="/fhir")
    application.include_router(audit.router, prefix="/fhir")
    application.include_router(instance.router, prefix="/fhir")
    # Before create, whose path would take `_search` for a type.
    application.include_router(search.router, prefix="/fhir")
    application.include_router(type_router.router, prefix="/fhir")
    application.include_router(conditional.router, prefix="/fhir")
    # After every operation on a Patient, whose name it would take for a type.
    application.include_router(compartment.router, prefix="/fhir")
    application.include_router(docs_router)
    application.mount("/docs", Site())
    return application
