"""The routes that read a record over time and as a whole: histories, `$everything`, `$meta`.

They are registered before those of one resource, which would take their paths for ids.
"""

from __future__ import annotations

from fastapi import APIRouter

from app.routers import everything, history, meta

router = APIRouter()
for each in (everything, meta, history):
    router.include_router(each.router)
