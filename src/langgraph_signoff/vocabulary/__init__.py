"""The words of this package: frozen models, plain JSON in and out.

Times are timezone-aware UTC datetimes. Durations are written `90s`, `15m`, `2h` or `3d`.
"""

from langgraph_signoff.vocabulary.actions import Action, Counts, CurrentAction, Happened, Kind, Probe
from langgraph_signoff.vocabulary.base import InboxSchema, Json, Word
from langgraph_signoff.vocabulary.decisions import (
    AUDITS,
    SHORTEST_DIGEST,
    Answer,
    Decision,
    Outcome,
    Reply,
    Standing,
    Verdict,
)
from langgraph_signoff.vocabulary.notices import EVENTS, USUAL, Delivery, Event, Notify
from langgraph_signoff.vocabulary.rulings import (
    PLANNED,
    Advice,
    Advisor,
    Audit,
    Escalation,
    Fallback,
    OnFlag,
    Panel,
    Part,
    Planned,
    Requirements,
    Risk,
    Ruling,
    Slot,
)
from langgraph_signoff.vocabulary.tickets import Reviewer, Run, Stuck, Ticket, Use
from langgraph_signoff.vocabulary.undoing import Done, FollowUp, Left, Rollback, Undo, Undoing

__all__ = [
    "AUDITS",
    "EVENTS",
    "PLANNED",
    "SHORTEST_DIGEST",
    "USUAL",
    "Action",
    "Advice",
    "Advisor",
    "Answer",
    "Audit",
    "Counts",
    "CurrentAction",
    "Decision",
    "Delivery",
    "Done",
    "Escalation",
    "Event",
    "Fallback",
    "FollowUp",
    "Happened",
    "InboxSchema",
    "Json",
    "Kind",
    "Left",
    "Notify",
    "OnFlag",
    "Outcome",
    "Panel",
    "Part",
    "Planned",
    "Probe",
    "Reply",
    "Requirements",
    "Reviewer",
    "Risk",
    "Rollback",
    "Ruling",
    "Run",
    "Slot",
    "Standing",
    "Stuck",
    "Ticket",
    "Undo",
    "Undoing",
    "Use",
    "Verdict",
    "Word",
]
