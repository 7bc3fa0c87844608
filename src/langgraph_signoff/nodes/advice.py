"""Supervisor first, person second: advisors may make a ruling stricter or add a note, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

from langgraph_signoff.law import STRICTNESS
from langgraph_signoff.nodes.messages import spelled
from langgraph_signoff.policy import Policy
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

    def advise(self, policy: Policy, action: Action, ruling: Ruling) -> Advised:
        """What comes of asking all of them. Who fails or answers nonsense leaves a person to decide."""
        notes, doubted = list[str](), False
        for advisor in self.ask:
            if ruling.mode == "deny":
                break
            advice = self._ask(advisor, action, ruling)
            ruling, doubted = _stricter(policy, action, ruling, advice), doubted or advice.mode == "review"
            notes += [f"{_name(advisor)}: {advice.note}"] if advice.note else []
        return Advised(ruling, tuple(notes), doubted)

    def _ask(self, advisor: Advisor, action: Action, ruling: Ruling) -> Advice:
        # A thread that is late cannot be stopped; nobody waits for it, and what it says is not heard.
        asked = ThreadPoolExecutor(max_workers=1, thread_name_prefix="signoff-advisor")
        try:
            said = asked.submit(copy_context().run, advisor, action, ruling).result(self.within)
            return Advice() if said is None else Advice.model_validate(said)
        except TimeoutError:
            return Advice(mode="review", reason_code="advisor_failed", note=f"did not answer within {self.within:g} s")
        except Exception as error:
            words = f"failed: {type(error).__name__}: {spelled(error)}"[:500]
            return Advice(mode="review", reason_code="advisor_failed", note=words)
        finally:
            asked.shutdown(wait=False)


def _stricter(policy: Policy, action: Action, ruling: Ruling, advice: Advice) -> Ruling:
    if advice.mode is None or STRICTNESS[advice.mode] <= STRICTNESS[ruling.mode]:
        return ruling
    # An allowed call asks for nothing: a review of it asks for what the policy asks at least when it is in doubt.
    asked = policy.review(action) if ruling.mode == "allow" else ruling
    redact = tuple(dict.fromkeys(ruling.redact + asked.redact))
    about = {"mode": advice.mode, "reason_code": advice.reason_code, "rule": ruling.rule, "redact": redact}
    return asked.model_copy(update=about)


def _name(advisor: Advisor) -> str:
    return getattr(advisor, "__name__", type(advisor).__name__)
