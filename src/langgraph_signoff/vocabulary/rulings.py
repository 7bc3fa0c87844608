"""What the policy says of an action."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from langgraph_signoff.durations import Duration
from langgraph_signoff.vocabulary.actions import Action
from langgraph_signoff.vocabulary.base import Amount, Json, Word
from langgraph_signoff.vocabulary.notices import Notify


class Risk(Word):
    """What an error would cost, as the policy states it for a tool; None and empty mean unstated."""

    reversible: bool | None = None
    blast_radius: Literal["one", "some", "all"] | None = None
    compliance: tuple[str, ...] = ()
    stakes: Literal["low", "medium", "high"] | None = None


class Slot(Word):
    """Approvals by some of these people; `who` holds names, and groups as `group:NAME`."""

    who: tuple[str, ...]
    approvals: int = 1


class Panel(Word):
    """Who must approve together, each in one slot only.

    Its levels are filled one after another; each by one of its alternatives, of which every slot must be filled.
    """

    levels: tuple[tuple[tuple[Slot, ...], ...], ...]


Part = Literal["requester", "author", "previous_reviser"]
"""For whom the agent acts, who has written the arguments as they are, who has revised the action in an earlier round."""


class Escalation(Word):
    """From a share of the window on, these people may decide too: names, and groups as `group:NAME`."""

    at: float
    to: tuple[str, ...]


class Fallback(Word):
    """What is called if nobody decides in time: a tool that the policy allows; its `args` may quote the ticket's."""

    tool: str = Field(max_length=200)
    args: dict[str, Json] = Field(default_factory=dict)


class Requirements(Word):
    """What a decision needs.

    Each clause of `reviewers` names people and `group:` names; a person must be in every clause. Each panel must be filled.
    """

    queue: str = "default"
    reviewers: tuple[tuple[str, ...], ...] = ()
    owner: str = Field(default="", description="Who answers for the queue.")
    backup: tuple[str, ...] = ()
    approvals: int = Field(default=1, description="How many people, at least.")
    panels: tuple[Panel, ...] = ()
    rejections: int = 1
    barred: tuple[Part, ...] = Field(default=("requester",), description="Whose part in it keeps them from deciding.")
    window: Duration = timedelta(hours=24)
    business: str = Field(default="", description="The window as business time, such as `1d`, where it is written so.")
    use_within: Duration = timedelta(hours=24)
    take_for: Duration = timedelta(minutes=30)
    reminders: tuple[float, ...] = Field(
        default=(), description="Shares of the window after which people are reminded."
    )
    escalations: tuple[Escalation, ...] = ()
    clock_shares: tuple[tuple[float, float], ...] = Field(
        default=(), description="Of a window in business time: to which share of it on the clock each such share comes."
    )
    on_timeout: Literal["deny"] | Fallback = Field(
        default="deny", description="What silence means: no; or no, and this is called instead."
    )
    reason: Literal["required", "optional"] = "optional"
    checklist: tuple[str, ...] = Field(default=(), description="What an approval must answer, item by item.")
    read_for: Duration | None = Field(default=None, description="Who approves faster than that is asked once more.")
    second_look: float = Field(default=0.0, description="The share of approved actions that another person looks at.")
    max_revisions: int = 3
    reask: int = 0
    priority: int = 0
    notify: tuple[Notify, ...] = Field(default=(), description="Which channels hear of it.")


class OnFlag(Word):
    """What a flag sets off besides the entry that says so: the undo that the tool declares, or the call of another tool."""

    undo: bool = False
    tool: str = Field(default="", max_length=200, description="The tool to call; it is gated like any other.")
    args: dict[str, Json] = Field(
        default_factory=dict, description="What to call it with; may quote the action and the flag."
    )


class Audit(Word):
    """How an action that runs at once is chosen to be looked at afterwards, and what a flag sets off."""

    sample: float = Field(default=1.0, description="The share that is chosen, 0 to 1, of actions with these stakes.")
    new_until: int = Field(default=20, description="How many actions of a tool are all chosen before it is sampled.")
    on_flag: OnFlag = OnFlag()


PLANNED = "planned"
"""The reason code of a call that runs because an approved plan permits it."""


class Planned(Word):
    """The step of an approved plan that a call is a use of, counted from 1; `plan` is the plan's ticket id."""

    plan: str
    step: int
    approved_by: tuple[str, ...] = ()


GRANTED, STANDING_REJECTION = "granted", "standing_rejection"
"""The reason codes of a call that a grant lets run, and of one that it keeps from running."""


class Granted(Word):
    """The grant that a call is a use of, who gave that, and when it ends."""

    grant: str
    by: tuple[str, ...]
    until: datetime


OVER_BUDGET = "over_budget"
"""The reason code of a call that a person is asked about because it would spend more than a budget has left."""


Period = Literal["hour", "day", "week", "month"]
Spender = Literal["actor", "requester", "thread", "all"]


class Charge(Word):
    """What a call takes of a budget: `amount`, of what the calls with this `key` may come to in a period."""

    tool: str
    sum: str
    per: Period
    by: Spender
    zone: str
    key: str
    amount: Amount
    limit: Amount


class Ruling(Word):
    """What the policy says of an action, by which rule of which policy version."""

    mode: Literal["allow", "review", "deny"]
    reason_code: str
    rule: str = Field(description="Where the rule stands in the policy, such as `tools.send_money.rules.2`.")
    policy_version: str
    detail: str = Field(default="", description="What went wrong, when the reason code is `policy_error`.")
    risk: Risk = Risk()
    requirements: Requirements = Requirements()
    record: bool = False
    for_report: bool = Field(
        default=False, description="Whether it is on record only because the outcome of its run is reviewed."
    )
    once: bool = False
    idempotent: bool = False
    at_the_end: bool = Field(
        default=False, description="Whether a person reviews it with the outcome of its run, and not before it."
    )
    describe: str = ""
    templates: dict[str, str] = Field(default_factory=dict, description="Reasons that are often given, by short names.")
    redact: tuple[str, ...] = ()
    audit: Audit | None = Field(default=None, description="Only beside allow, once and record.")
    planned: Planned | None = None
    always_ask: bool = Field(default=False, description="Whether a person is asked whatever has been granted.")
    granted: Granted | None = None
    charges: tuple[Charge, ...] = ()

    @property
    def rests_on_grant(self) -> bool:
        """Whether a person would be asked if no grant permitted it."""
        return self.granted is not None and self.mode == "allow"

    @property
    def word(self) -> Literal["allow", "audit", "review", "deny"]:
        """What becomes of the action, as a policy writes it."""
        return "audit" if self.audit else self.mode

    @property
    def rests_on_plan(self) -> bool:
        """Whether a person would have been asked if no plan permitted it."""
        return self.planned is not None and self.reason_code == PLANNED

    @property
    def needs_record(self) -> bool:
        """Whether anything must be written before or after the call."""
        return self.mode != "allow" or self.record or self.once

    @property
    def only_records(self) -> bool:
        """Whether it is allowed as often as it is called, and each run goes on record."""
        return self.mode == "allow" and not self.once


class Advice(Word):
    """What an advisor says of an action before a person does: a stricter mode than the policy's, a note for the reviewer."""

    mode: Literal["review", "deny"] | None = None
    note: str = Field(default="", max_length=2000)
    reason_code: str = Field(default="advised", pattern=r"^[a-z][a-z0-9_]{0,63}$")


Advisor = Callable[[Action, Ruling], Advice | None]
"""A scanner, a rule or a model that looks at what the policy would allow or review. It sees the arguments unmasked."""
