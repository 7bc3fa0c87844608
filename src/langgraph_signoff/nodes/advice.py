"""Supervisor first, person second: advisors may make a ruling stricter or add a note, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from threading import Thread

from langgraph_signoff.law import STRICTNESS
from langgraph_signoff.nodes.messages import spelled
from langgraph_signoff.vocabulary import Action, Advice, Advisor, Ruling


@dataclass(frozen=True, slots=True)
class Advised:
    """A ruling, stricter where an advisor says so, their notes, and whether one of them wants a person's word."""

    ruling: Ruling
    notes: tuple[str, ...] = ()
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Advisors:
    """Who is asked about each new action that the policy does not deny, and for how many seconds each is waited for."""

    ask: Sequence[Advisor] = ()
    within: float = 30.0

    def advise(self, action: Action, ruling: Ruling, *, review: Callable[[], Ruling]) -> Advised:
        """What comes of asking all of them. Who fails or answers nonsense leaves a person to decide."""
        notes, doubted = list[str](), False
        for advisor in self.ask:
            if ruling.mode == "deny":
                break
            advice = self._ask(advisor, action, ruling)
            ruling, doubted = _stricter(ruling, advice, review), doubted or advice.mode == "review"
            notes += [f"{_name(advisor)}: {advice.note}"] if advice.note else []
        return Advised(ruling, tuple(notes), doubted)

    def _ask(self, advisor: Advisor, action: Action, ruling: Ruling) -> Advice:
        # Copies: what an advisor does to them changes nothing that is shown, or run.
        given = (action.model_copy(deep=True), ruling.model_copy(deep=True))
        asked = _Asked(partial(copy_context().run, advisor, *given))
        asked.start()
        asked.join(self.within)
        return asked.advice or _failed(f"did not answer within {self.within:g} s")


class _Asked(Thread):
    """An advisor at work. One that is late cannot be stopped; nobody waits for it, not even the end of the process."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__(name="signoff-advisor", daemon=True)
        self._ask = ask
        self.advice: Advice | None = None

    def run(self) -> None:
        """Asks."""
        try:
            said = self._ask()
            self.advice = Advice() if said is None else Advice.model_validate(said)
        except BaseException as error:
            self.advice = _failed(f"failed: {type(error).__name__}: {spelled(error)}"[:500])


def _failed(note: str) -> Advice:
    return Advice(mode="review", reason_code="advisor_failed", note=note)


def _stricter(ruling: Ruling, advice: Advice, review: Callable[[], Ruling]) -> Ruling:
    if advice.mode is None or STRICTNESS[advice.mode] <= STRICTNESS[ruling.mode]:
        return ruling
    # An allowed call asks for nothing: a review of it asks for what the policy asks at least when it is in doubt.
    asked = review() if ruling.mode == "allow" else ruling
    redact = tuple(dict.fromkeys(ruling.redact + asked.redact))
    about = {"mode": advice.mode, "reason_code": advice.reason_code, "rule": ruling.rule, "redact": redact}
    return asked.model_copy(update=about)


def _name(advisor: Advisor) -> str:
    return getattr(advisor, "__name__", type(advisor).__name__)
