"""The application: `create_app(settings, database_url)`; its lifespan owns pool, keys and audit writer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.routers import (
    bundle,
    conditional,
    health,
    instance,
    oauth,
    operations,
    system,
    terminology,
    validation,
)
from app.routers import type as type_router
from app.routers.hot_read import HotRead
from app.routers.service import Service
from app.security.keys import load_keys
from app.security.tokens import TokenVerifier
from app.settings import Settings
from app.storage.audit import AuditWriter
from app.storage.clients import server_secret
from app.storage.database import Database


def create_app(settings: Settings, database_url: str) -> FastAPI:
    """The ASGI application. database_url: of the service's own role, on a migrated database."""

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        database = await Database.open(
            database_url,
            minimum=settings.pool_min,
            maximum=settings.pool_max,
            statement_timeout_ms=settings.statement_timeout_ms,
        )
        audit = AuditWriter(database_url)
        await audit.start()
        keys = await load_keys(database.pool)
        verifier = TokenVerifier(keys, settings.fhir_base.removesuffix("/fhir"))
        application.state.service = Service(
            settings, database, keys, verifier, audit, await server_secret(database.pool, "cursor")
        )
        try:
            yield
        finally:
            await audit.stop()
            await database.close()

    application = FastAPI(
        title="Throughline",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # Who read what is the audit's to tell; asking at each request whether anybody listens costs 20 µs.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # The first added is the innermost: whatever wraps the routes wraps the hot read too.
    application.add_middleware(HotRead)
    application.include_router(health.router)
    application.include_router(oauth.router)
    application.include_router(system.router, prefix="/fhir")
    application.include_router(bundle.router, prefix="/fhir")
    application.include_router(operations.router, prefix="/fhir")
    application.include_router(terminology.router, prefix="/fhir")
    application.include_router(validation.router, prefix="/fhir")
    application.include_router(instance.router, prefix="/fhir")
    application.include_router(type_router.router, prefix="/fhir")
    application.include_router(conditional.router, prefix="/fhir")
    return application
