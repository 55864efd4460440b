"""The guards of the care domain, in the order in which they are asked (`app.interactions.guards`)."""

from __future__ import annotations

from typing import Final

from app.care.appointments.guard import AppointmentGuard
from app.care.contact.guard import ContactGuard
from app.care.own_record import OwnRecordGuard
from app.care.plans.goals import GoalGuard
from app.care.plans.progress import ProgressGuard
from app.care.questionnaires.guard import QuestionnaireGuard
from app.care.referrals.guard import ReferralGuard
from app.care.workforce import WorkforceGuard
from app.interactions.guards import Guard

GUARDS: Final[tuple[Guard, ...]] = (
    OwnRecordGuard(),
    ReferralGuard(),
    QuestionnaireGuard(),
    GoalGuard(),
    ContactGuard(),
    WorkforceGuard(),
    AppointmentGuard(),
    ProgressGuard(),
)
