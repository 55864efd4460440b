"""The routes of the care domain beside the referral package, in one place for `app.main`."""

from __future__ import annotations

from fastapi import APIRouter

from app.routers import measures, plans, questionnaires, record

router = APIRouter()
router.include_router(questionnaires.router)
router.include_router(plans.router)
router.include_router(record.router)
router.include_router(measures.router)
