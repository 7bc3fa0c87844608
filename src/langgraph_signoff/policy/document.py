"""The policy file as a model: what may be written, and what each word of it means."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from langgraph_signoff.policy.channels import Channels, Hearings, LinkTerms, link_terms
from langgraph_signoff.policy.fields import (
    APPROVALS,
    ELSEWHERE,
    ON_FLAG,
    OUTCOMES,
    SLOTS,
    AnyWindow,
    Approvals,
    Code,
    Count,
    Escalations,
    Moments,
    Rounds,
    Share,
    Silence,
    Supervision,
    Text,
    Window,
    checked_by,
    flag_words,
    for_all_stakes,
    not_allow,
    shorthand,
)
from langgraph_signoff.policy.hours import read_clock, read_days, read_holiday
from langgraph_signoff.vocabulary import Json, OnFlag, Period, Risk, Spender
from langgraph_signoff.vocabulary import Part as Involvement


class Part(BaseModel):
    """Base of what people write: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Person(Part):
    """Someone who may decide."""

    groups: list[Text] = []
    """The groups this person is in; reviewers name them as `group:NAME`."""
    address: Text | None = Field(default=None, exclude=True)  # personal, and no part of what may run
    """Where messages reach this person: what a channel `to: people` puts into its URL as {address}."""


class Terms(Part):
    """What a decision needs; what is left out comes from the queue, then from the defaults."""

    approvals: Approvals | None = None
    """How many people must approve (1); or who together: `{group: finance}` is a slot, `{all: [...]}` wants each, `{any: [...]}`
    one, `{then: [...]}` one after another. A person fills one slot only."""
    rejections: Count | None = None
    """How many people must reject to end it (1)."""
    barred: list[Involvement] | None = Field(default=None, alias="not")
    """Who may not decide: the requester, for whom the agent acts; the author of an edit; a previous_reviser ([requester])."""
    window: AnyWindow | None = None
    """How long a ticket waits for its decision before it expires (24h); `{business: 1d}` counts the hours of its queue."""
    use_within: Window | None = None
    """How long an approval may wait to be used before it lapses (24h)."""
    remind: Moments | None = None
    """After which shares of the window whoever may decide is reminded, such as [0.5, 0.9]."""
    escalate: Escalations | None = None
    """When others may decide too: a share of the window, from which on the backup may, or several, each `{at: 0.5, to: [...]}`
    with names and `group:NAME`s; without `to` it is the backup."""
    take_for: Window | None = None
    """How long a ticket that somebody has taken in hand stays theirs (30m)."""
    on_timeout: Silence | None = None
    """What silence means: deny; or deny, and call a `tool` that the policy allows instead, with `args` that may quote the
    ticket's."""
    reason: Literal["required", "optional"] | None = None
    """Whether a decision must say why (optional)."""
    checklist: Annotated[list[Text], Field(min_length=1, max_length=20)] | None = None
    """What whoever approves must have looked at: each item is answered with the approval, and the answers are recorded."""
    read_for: Window | None = None
    """How long whoever approves must have had it before them; who is faster is asked once more."""
    second_look: Share | None = None
    """The share of approved actions, 0 to 1, that another person looks at after they have run (0)."""
    max_revisions: Rounds | None = None
    """How many rounds of sending back are allowed (3)."""
    reask: Rounds | None = None
    """How often the same call may be proposed again after a rejection (0)."""
    priority: Annotated[int, Field(strict=True, ge=-1000, le=1000)] | None = None
    """Higher is listed first (by stakes: high 2, medium 1, else 0); among equals what is due first."""


class Sample(Part):
    """The share that is looked at, 0 to 1, by the stakes that the entry states in its `risk`; what is left out is 1."""

    low: Share = 1.0
    """Of actions whose stakes are low."""
    medium: Share = 1.0
    """Of actions whose stakes are medium."""
    high: Share = 1.0
    """Of actions whose stakes are high."""
    unstated: Share = 1.0
    """Of actions whose entry states no stakes."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, handler(core_schema)]}


class Sampling(Part):
    """Which of the actions that ran are looked at afterwards; what is left out comes from the queue, then from the defaults."""

    sample: Annotated[Sample, BeforeValidator(for_all_stakes)] | None = None
    """The share that is looked at: a number from 0 to 1, or one for each of the stakes (1)."""
    new_until: Annotated[int, Field(strict=True, ge=0, le=1000)] | None = None
    """How many actions of a tool are all looked at before it is sampled (20)."""


class ServiceHours(Part):
    """When the people of a queue work."""

    zone: Text
    """The time zone, such as Europe/Berlin."""
    days: Annotated[Text, checked_by(read_days)] = "mon-fri"
    """The weekdays, such as mon-fri or mon,wed,fri."""
    opens: Annotated[Text, checked_by(read_clock)] = "09:00"
    """When they begin, on the clock there."""
    closes: Annotated[Text, checked_by(read_clock)] = "17:00"
    """When they end, on the same day; at most 24:00."""
    holidays: list[Annotated[Text, checked_by(read_holiday)]] = []
    """Days off: dates as 2026-12-24, and public holidays of a country or of a part of it, as DE or DE-BY."""


class Queue(Terms, Sampling):
    """Where tickets wait, who owns them and who may decide them."""

    owner: Text | None = None
    """Who answers for the queue; needed as soon as `people` are given."""
    reviewers: list[Text] = []
    """Names and `group:NAME`s that may decide; empty means anybody known."""
    on_timeout: Annotated[Silence | None, AfterValidator(lambda given: None if given == "deny" else given)] = None
    """What silence means in this queue: deny; or deny, and call a `tool` that the policy allows instead."""
    hours: ServiceHours | None = None
    """When its people work; windows in business time count these hours."""
    backup: list[Text] = []
    """Names and `group:NAME`s that may decide after an escalation; needed as soon as `people` are given."""
    notify: Hearings | None = None
    """The channels that hear of its tickets; left out: those that the policy names for all, `[]`: none."""


class Then(Terms, Sampling):
    """What happens to a call."""

    then: Literal["allow", "audit", "review", "deny"]
    """allow: it runs. audit: it runs, and a person may look at it afterwards. review: a person decides. deny: it never runs."""
    reason_code: Code | None = None
    """A short name for why, such as `large_transfer`."""
    queue: Text | None = None
    """The queue a review waits in (`default`)."""
    record: StrictBool = False
    """Writes an allowed call into the record."""
    once: StrictBool = False
    """Runs an allowed call at most once, without a person."""
    always_ask: StrictBool = False
    """Whether a person is asked about each such call, whatever has been granted."""
    on_flag: Annotated[OnFlag, BeforeValidator(flag_words), WithJsonSchema(ON_FLAG)] = OnFlag()
    """What the flag of an audit sets off: `alert`, `undo`, or a `tool` with its `args` (alert)."""


class Otherwise(Then):
    """What happens to a call that no rule matched."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _or_shorthand(handler(core_schema))


class Rule(Then):
    """What happens to a call when an expression holds."""

    when: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    """A CEL expression over tool, args, actor, requester, thread, confidence, risk, vars, now and history; left out: always."""


class Tool(Part):
    """What the policy says of a tool, or of all tools whose name fits a pattern such as `send_*`."""

    risk: Risk = Risk()
    """What an error would cost."""
    rules: list[Rule] = []
    """Any matching deny wins, then the first match."""
    otherwise: Annotated[Otherwise, BeforeValidator(lambda given: shorthand(given, lambda then: {"then": then}))] = (
        Otherwise(then="review")
    )
    """When no rule matched; left out: review."""
    describe: Annotated[str, Field(max_length=1000)] = ""
    """A sentence for the reviewer, such as `Send {args.amount} to {args.recipient}`."""
    redact: list[Text] = []
    """Secret arguments, such as `args.card_number` or `args.items.*.secret`: masked wherever they are shown."""
    templates: dict[Code, Annotated[str, Field(min_length=1, max_length=1000)]] = {}
    """Reasons that reviewers often give, by short names: `duplicate: this invoice has been paid already`."""
    idempotent: StrictBool = False
    """Whether running it twice with one key is harmless."""
    always_ask: StrictBool = False
    """Whether a person is asked whenever a call is reviewed, whatever has been granted."""
    supervision: Supervision | None = None
    """When its reviews take place, if otherwise than the policy says for all."""
    undo: StrictBool = False
    """Whether its gate declares an `undo=` for it."""

    @property
    def can_be_taken_back(self) -> bool:
        """Whether the policy states that what it did can be made good."""
        return bool(self.risk.reversible or self.undo)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _or_shorthand(handler(core_schema))


class Budget(Part):
    """What the calls of a tool, or of all tools whose name fits a pattern, may come to in a period; past it a person is asked."""

    tool: Text
    """The tool whose calls count, or a pattern such as `send_*`."""
    sum: Annotated[str, Field(min_length=1, max_length=1000)]
    """What a call comes to: a CEL expression such as `args.amount`; 1 counts the calls."""
    limit: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
    """What they may come to without asking."""
    per: Period
    """In which period: hour, day, week (from Monday) or month."""
    by: Spender
    """For whom it is counted: each actor (agent), requester or thread, or all together."""
    zone: Text = "UTC"
    """The time zone in which a period begins."""


Entries = dict[Text, Annotated[Tool, BeforeValidator(lambda given: shorthand(given, lambda then: {"otherwise": then}))]]
SECTIONS = {"tool": "tools", "node": "nodes", "question": "questions"}
"""Where the policy speaks of each kind of action."""


class Document(Part):
    """A policy of langgraph-signoff."""

    version: Literal[1]
    """The version of this format."""
    default: Annotated[Literal["review", "deny"], BeforeValidator(not_allow)] = "review"
    """What happens to a tool that no entry names."""
    people: Annotated[dict[Text, Person] | None, BeforeValidator(lambda given: None if given == "open" else given)] = (
        None
    )
    """Who may decide; left out or `open`: whatever name is given is believed."""
    queues: dict[Text, Queue] = {}
    """Where tickets wait."""
    vars: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], Json] = {}
    """Constants that expressions read as `vars.NAME`."""
    channels: Channels = {}
    """Ways to tell people of tickets, by name. Their definitions are neither stored in the ledger nor part of the version."""
    notify: Hearings = []
    """The channels that hear of the tickets of queues which do not say."""
    links: Annotated[LinkTerms | None, BeforeValidator(link_terms, json_schema_input_type=LinkTerms | str | None)] = (
        Field(default=None, exclude=True)
    )
    """The URL below which a message's links are, or a mapping of it and how long they hold; left out or `off`: no links."""
    record: StrictBool = False
    """Whether all that is allowed goes on record, so that `watch` tells of it: two entries a call."""
    supervision: Supervision = "tactical"
    """tactical: reviews before the action. hybrid: what is reversible runs, and is reviewed with the outcome of its run, where the
    graph's edges lead on to an outcome review. strategic: the same, and every reviewed tool must be reversible."""
    budgets: list[Budget] = []
    """What calls may come to in a period without asking, whatever the rules, plans and grants say."""
    tools: Entries = {}
    """What happens to each tool, by name or by pattern."""
    nodes: Entries = {}
    """What happens at each guarded node of a graph, by name or by pattern: written as for a tool."""
    questions: Entries = {}
    """Who answers each question, by name or by pattern: written as for a tool, but it is review or deny."""


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the policy file, shorthands and descriptions included."""
    schema = Document.model_json_schema()
    people = schema["properties"]["people"]
    people["anyOf"] = [{"const": "open"}, *(choice for choice in people["anyOf"] if choice.get("type") != "null")]
    schema["$defs"] |= {"Approvals": APPROVALS, "Slots": SLOTS}
    schema = json.loads(json.dumps(schema).replace(ELSEWHERE, "#/$defs/Approvals"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _or_shorthand(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [{"enum": list(OUTCOMES)}, schema]}
