"""The routes of the care domain beside the referral package, in one place for `app.main`."""

from __future__ import annotations

from fastapi import APIRouter

from app.routers import questionnaires

router = APIRouter()
router.include_router(questionnaires.router)
