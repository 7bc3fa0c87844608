"""Review: what a ticket's history permits, who may decide, and what time does. Pure."""

from langgraph_signoff.law.case import Case, Claim
from langgraph_signoff.law.halts import HALTS, Halt, Halts, Scope, halt, halts, release
from langgraph_signoff.law.history import advance, fold, recorded, standing
from langgraph_signoff.law.questions import is_secret, worded
from langgraph_signoff.law.strictness import STRICTNESS, permitted, ruled_again, stricter
from langgraph_signoff.law.verdicts import (
    Edit,
    People,
    Say,
    answer,
    comment,
    decide,
    erase,
    hear,
    revise,
    roll_back,
    settle,
    settled,
    silence,
    why_not,
    withdraw,
)

__all__ = [
    "HALTS",
    "STRICTNESS",
    "Case",
    "Claim",
    "Edit",
    "Halt",
    "Halts",
    "People",
    "Say",
    "Scope",
    "advance",
    "answer",
    "comment",
    "decide",
    "erase",
    "fold",
    "halt",
    "halts",
    "hear",
    "is_secret",
    "permitted",
    "recorded",
    "release",
    "revise",
    "roll_back",
    "ruled_again",
    "settle",
    "settled",
    "silence",
    "standing",
    "stricter",
    "why_not",
    "withdraw",
    "worded",
]
