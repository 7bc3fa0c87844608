"""What is ruled is what runs: how a tool's schema parses proposed arguments, and what of it is frozen in the ticket."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, tool
from langgraph.graph import MessagesState
from langgraph.prebuilt import InjectedState, ToolRuntime
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic import v1 as pydantic_v1

from langgraph_signoff import Policy, Run, Signoff, Standing
from langgraph_signoff.ledger import Query
from langgraph_signoff.nodes.schema import Refused, ToolSchema
from support import agent

ran: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def tool_of(schema: Any, name: str = "act") -> BaseTool:
    """A tool of this schema that notes what it was called with."""

    def act(**given: Any) -> str:
        ran.append(given)
        return "done"

    return StructuredTool(name=name, description="Acts.", args_schema=schema, func=act)


def parsed(schema: Any, **args: Any) -> dict[str, Any]:
    return ToolSchema(tool_of(schema)).parse(args)


@dataclass
class Desk:
    """A gated tool in a graph whose model proposes one call of it."""

    signoff: Signoff
    run: Callable[[], Run]
    resume: Callable[[], Run]

    def approve(self, **edit: Any) -> None:
        [ticket] = self.signoff.pending()
        if edit:
            self.signoff.revise(ticket, by="ana", args=edit)
        else:
            self.signoff.approve(ticket, by="ana")

    def finish(self, **edit: Any) -> None:
        """Approves what is pending, and goes on to the end."""
        self.approve(**edit)
        assert self.resume().status == "completed"


def last_answer(run: Run) -> ToolMessage:
    return next(m for m in reversed(run.output["messages"]) if isinstance(m, ToolMessage))


@pytest.fixture
def propose(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    opened = []

    def make(tool: BaseTool, args: dict[str, Any], policy: Policy | None = None) -> Desk:
        signoff = Signoff(
            tmp_path / "signoff.db", policy=policy or Policy(tools={tool.name: "review"}), lease=0.5, wait=3
        )
        graph = agent(signoff, [tool], [[(tool.name, args)]], threads=tmp_path / "threads.db")
        opened.append((signoff, graph))
        built = graph.__enter__()
        return Desk(
            signoff,
            lambda: signoff.run(built, {"messages": [("user", "go")]}, thread_id="t"),
            lambda: signoff.resume(built, thread_id="t"),
        )

    yield make
    for signoff, graph in opened:
        graph.__exit__(None, None, None)
        signoff.close()


# What is shown -------------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Address(BaseModel):
    model_config = ConfigDict(extra="allow")
    street: str
    country: str = "TR"


@dataclass
class Box:
    width: int
    tags: list[str] = dataclass_field(default_factory=list)


class Everything(BaseModel):
    colour: Colour
    day: date
    price: Decimal
    data: bytes
    names: set[str]
    address: Address
    boxes: list[Box]
    pair: tuple[int, str]
    by_number: dict[int, str]
    id: uuid.UUID


def test_every_type_is_shown_as_json_in_the_form_it_is_given_in() -> None:
    shown = parsed(
        Everything,
        colour="red",
        day="2026-03-02",
        price="12.50",
        data="hello",
        names=["b", "a", "b"],
        address={"street": "Main", "flat": 3},
        boxes=[{"width": "4"}],
        pair=["1", "x"],
        by_number={"7": "seven"},
        id="12345678-1234-5678-1234-567812345678",
    )
    assert shown == {
        "colour": "red",
        "day": "2026-03-02",
        "price": 12.5,
        "data": "hello",
        "names": ["a", "b"],
        "address": {"street": "Main", "country": "TR", "flat": 3},
        "boxes": [{"width": 4, "tags": []}],
        "pair": [1, "x"],
        "by_number": {"7": "seven"},
        "id": "12345678-1234-5678-1234-567812345678",
    }
    schema = ToolSchema(tool_of(Everything))
    assert schema.fit(shown, shown) == shown


def test_a_decimal_that_no_float_holds_is_shown_as_text() -> None:
    class Pay(BaseModel):
        amount: Decimal

    assert parsed(Pay, amount="12345678901234567890.12") == {"amount": "12345678901234567890.12"}
    assert parsed(Pay, amount=5) == {"amount": 5.0}


def test_a_rule_compares_a_decimal_as_a_number(propose: Callable[..., Desk]) -> None:
    class Pay(BaseModel):
        amount: Decimal

    rules = [{"when": "args.amount <= 50.0", "then": "allow", "reason_code": "small"}]
    policy = Policy(tools={"act": {"rules": rules, "otherwise": "review"}})
    assert propose(tool_of(Pay), {"amount": "49.99"}, policy).run().status == "completed"
    assert ran == [{"amount": Decimal("49.99")}]


def test_big_integers_and_nan_reach_the_tool_as_they_were_approved(propose: Callable[..., Desk]) -> None:
    class Count(BaseModel):
        n: int
        ratio: float

    assert parsed(Count, n=2**70 + 1, ratio=1)["n"] == 2**70 + 1  # LangGraph's own messages end at 64 bits
    desk = propose(tool_of(Count), {"n": 2**60 + 1, "ratio": float("nan")})
    assert desk.run().status == "pending_approval"
    desk.finish()
    [given] = ran
    assert given["n"] == 2**60 + 1
    assert given["ratio"] != given["ratio"]


def test_deep_arguments_pass_and_bottomless_ones_run_nothing(propose: Callable[..., Desk]) -> None:
    class Tree(BaseModel):
        tree: Any

    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else 1

    desk = propose(tool_of(Tree), {"tree": nested(60)})
    desk.run()
    desk.finish()
    assert ran == [{"tree": nested(60)}]
    bottomless: Any = 1
    for _ in range(100_000):
        bottomless = [bottomless]
    with pytest.raises(RecursionError):
        ToolSchema(tool_of(Tree)).proposed({"tree": bottomless})


def test_a_serializer_of_the_author_hides_nothing_from_the_rules() -> None:
    class Transfer(BaseModel):
        amount: int = Field(exclude=True)

    class Order(BaseModel):
        transfer: Transfer

    assert parsed(Order, transfer={"amount": 9_000}) == {"transfer": {"amount": 9_000}}


def test_a_secret_is_shown_masked_and_runs_in_full(propose: Callable[..., Desk]) -> None:
    class Login(BaseModel):
        password: SecretStr

    desk = propose(tool_of(Login), {"password": "hunter2"})
    desk.run()
    assert desk.signoff.pending()[0].args == {"password": "**********"}
    desk.approve()
    desk.resume()
    assert ran[0]["password"].get_secret_value() == "hunter2"


def test_another_process_shows_the_same() -> None:
    program = """
import json
from pydantic import BaseModel, Field
from langchain_core.tools import StructuredTool
from langgraph_signoff.ledger import Query
from langgraph_signoff.nodes.schema import ToolSchema

class Handle: pass

class M(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    names: set[str]
    pairs: frozenset[tuple[str, int]] = frozenset({("x", 1), ("y", 2), ("z", 3)})
    handle: Handle = Handle()
    call: object = print

tool = StructuredTool(name="act", description="Acts.", args_schema=M, func=lambda **_: None)
print(json.dumps(ToolSchema(tool).parse({"names": ["delta", "alpha", "charlie", "bravo", "echo"]})))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
    assert json.loads(outputs.pop())["names"] == ["alpha", "bravo", "charlie", "delta", "echo"]


# Keys and aliases ----------------------------------------------------------------------------------------------------


class Aliased(BaseModel):
    only_alias: int = Field(alias="onlyAlias")
    choice: int = Field(validation_alias=AliasChoices("first", "second"), default=1)
    out: int = Field(serialization_alias="elsewhere", default=2)


def test_an_argument_is_shown_under_the_key_it_is_given_by() -> None:
    assert parsed(Aliased, onlyAlias=3) == {"onlyAlias": 3, "first": 1, "out": 2}
    assert set(ToolSchema(tool_of(Aliased)).json_schema["properties"]) == {"onlyAlias", "first", "out"}


def test_where_a_name_will_do_the_name_is_shown() -> None:
    class Either(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        amount: int = Field(alias="Amount")

    assert parsed(Either, Amount=3) == parsed(Either, amount=3) == {"amount": 3}
    assert list(ToolSchema(tool_of(Either)).json_schema["properties"]) == ["amount"]


class Wide(BaseModel):
    model_config = ConfigDict(extra="allow")
    to: str


class Narrow(BaseModel):
    to: str

    @model_validator(mode="wrap")
    @classmethod
    def widen(cls, value: Any, _: Any) -> Any:
        return Wide.model_validate(value)


@pytest.mark.parametrize("model", [Wide, Narrow])
def test_what_a_model_lets_through_beside_its_fields_is_shown(model: type[BaseModel]) -> None:
    def send(to: str, **more: Any) -> str:
        return f"{to} {more}"

    schema = ToolSchema(StructuredTool.from_function(send, name="send", description="Sends.", args_schema=model))
    assert schema.parse({"to": "bob", "amount": 9999}) == {"to": "bob", "amount": 9999}


@pytest.mark.parametrize("key", ["first", "second"])
def test_a_value_given_by_any_of_its_aliases_is_parsed_once(key: str, propose: Callable[..., Desk]) -> None:
    class Pay(BaseModel):
        amount: Annotated[int, AfterValidator(lambda n: n * 100)] = Field(
            validation_alias=AliasChoices("first", "second")
        )

    desk = propose(tool_of(Pay), {key: 5})
    desk.run()
    assert desk.signoff.pending()[0].args == {"first": 500}
    desk.finish()
    assert ran == [{"amount": 500}]


# Validators and defaults ---------------------------------------------------------------------------------------------


def test_a_validator_that_scales_is_applied_once(propose: Callable[..., Desk]) -> None:
    class Pay(BaseModel):
        amount: int

        @field_validator("amount")
        @classmethod
        def in_cents(cls, value: int) -> int:
            return value * 100

    desk = propose(tool_of(Pay), {"amount": 5})
    desk.run()
    assert desk.signoff.pending()[0].args == {"amount": 500}
    desk.finish()
    assert ran == [{"amount": 500}]


def test_a_default_is_not_sent_through_its_validator(propose: Callable[..., Desk]) -> None:
    class Pay(BaseModel):
        to: str
        amount: Annotated[int, AfterValidator(lambda n: n * 100)] = 5
        id: uuid.UUID = Field(default_factory=uuid.uuid4)

    desk = propose(tool_of(Pay), {"to": "bob"})
    desk.run()
    shown = desk.signoff.pending()[0].args
    assert shown["amount"] == 5
    desk.finish()
    assert ran == [{"to": "bob", "amount": 5, "id": uuid.UUID(shown["id"])}]


def test_fields_that_exclude_each_other_can_be_approved(propose: Callable[..., Desk]) -> None:
    class Target(BaseModel):
        name: str | None = None
        number: int | None = None

        @model_validator(mode="before")
        @classmethod
        def one_of_them(cls, given: dict[str, Any]) -> dict[str, Any]:
            if len(given) != 1:
                raise ValueError("give a name or a number")
            return given

    desk = propose(tool_of(Target), {"name": "bob"})
    desk.run()
    desk.finish()
    assert ran == [{"name": "bob", "number": None}]


class Stamp(BaseModel):
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    nonce: str = Field(default_factory=lambda: uuid.uuid4().hex)
    label: str = "x"


class Stamped(BaseModel):
    note: str
    stamp: Stamp = Field(default_factory=Stamp)
    parts: list[Stamp] = []
    named: dict[str, Stamp] = {}
    maybe: Stamp | None = None


def test_what_a_default_factory_gave_is_what_runs(propose: Callable[..., Desk]) -> None:
    args = {"note": "n", "parts": [{"label": "a"}, {"nonce": "given"}], "named": {"k": {}}, "maybe": {}}
    desk = propose(tool_of(Stamped), args)
    desk.run()
    shown = desk.signoff.pending()[0].args
    desk.finish()
    assert ToolSchema(tool_of(Stamped)).is_dynamic
    [given] = ran
    assert Stamped.model_validate(shown) == Stamped.model_construct(**given)
    assert given["parts"][1].nonce == "given"


def test_the_factory_of_a_dataclass_and_of_a_v1_model_is_frozen_too(propose: Callable[..., Desk]) -> None:
    @dataclass
    class Inner:
        nonce: str = dataclass_field(default_factory=lambda: uuid.uuid4().hex)

    class Outer(BaseModel):
        inner: Inner

    class Old(pydantic_v1.BaseModel):
        nonce: str = pydantic_v1.Field(default_factory=lambda: uuid.uuid4().hex)

    for schema, args in ((Outer, {"inner": {}}), (Old, {})):
        tools = ToolSchema(tool_of(schema))
        shown = tools.parse(args)
        assert tools.fit(args, shown) == shown


def test_an_allowed_call_runs_with_the_values_that_were_ruled(propose: Callable[..., Desk]) -> None:
    amounts = itertools.cycle([10, 5_000])

    class Pay(BaseModel):
        amount: int = Field(default_factory=lambda: next(amounts))

    rules = [{"when": "args.amount <= 50.0", "then": "allow", "reason_code": "small"}]
    policy = Policy(tools={"act": {"rules": rules, "otherwise": "review"}})
    assert propose(tool_of(Pay), {}, policy).run().status == "completed"
    assert ran == [{"amount": 10}]


def test_a_secret_made_by_a_factory_is_never_replaced_by_its_mask() -> None:
    class Login(BaseModel):
        token: SecretStr = Field(default_factory=lambda: SecretStr("s3cret"))

    schema = ToolSchema(tool_of(Login))
    assert schema.fit({}, schema.parse({})) == {}


def test_a_default_changed_in_the_code_since_runs_as_it_was_approved() -> None:
    class Before(BaseModel):
        to: str
        amount: int = 5

    class After(BaseModel):
        to: str
        amount: int = 500

    shown = parsed(Before, to="bob")
    assert ToolSchema(tool_of(After)).fit({"to": "bob"}, shown) == {"to": "bob", "amount": 5}


def test_a_schema_that_reads_otherwise_since_is_asked_again(propose: Callable[..., Desk]) -> None:
    factor = {"now": 1}

    scale = AfterValidator(lambda n: n * factor["now"])

    class Pay(BaseModel):
        amount: Annotated[int, scale]

    desk = propose(tool_of(Pay), {"amount": 5})
    desk.run()
    desk.approve()
    factor["now"] = 100
    run = desk.resume()
    assert (run.status, ran) == ("pending_approval", [])
    ticket = desk.signoff.pending()[0]
    assert (ticket.args, ticket.reason_code) == ({"amount": 500}, "arguments_changed")
    desk.finish()
    assert ran == [{"amount": 500}]


def test_arguments_that_the_schema_takes_no_longer_do_not_run(propose: Callable[..., Desk]) -> None:
    now = {"is": datetime(2026, 3, 2, tzinfo=UTC)}

    def in_the_future(value: datetime) -> datetime:
        if value <= now["is"]:
            raise ValueError("is past")
        return value

    class Book(BaseModel):
        at: Annotated[datetime, AfterValidator(in_the_future)]

    desk = propose(tool_of(Book), {"at": "2026-03-03T00:00:00Z"})
    desk.run()
    desk.approve()
    now["is"] += timedelta(days=7)
    run = desk.resume()
    assert (run.status, ran) == ("completed", [])
    answer = last_answer(run)
    assert answer.status == "error"
    assert "is past" in answer.text
    [ticket] = desk.signoff.find(Query())
    assert ticket.standing is Standing.FAILED


def test_a_schema_that_never_reads_the_same_twice_asks_each_time_and_runs_nothing(
    propose: Callable[..., Desk],
) -> None:
    count = itertools.count(1)

    drift = AfterValidator(lambda n: n + next(count))

    class Odd(BaseModel):
        n: Annotated[int, drift]

    desk = propose(tool_of(Odd), {"n": 0})
    desk.run()
    for _ in range(3):
        desk.approve()
        assert desk.resume().status == "pending_approval"
    assert ran == []
    desk.signoff.reject(desk.signoff.pending()[0], by="ana", reason="it changes")
    assert desk.resume().status == "completed"
    assert ran == []


# What fits, and what does not ----------------------------------------------------------------------------------------


def test_extra_arguments_are_shown_refused_or_dropped_as_the_schema_says() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        n: int

    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        n: int

    class Deaf(BaseModel):
        n: int

    assert parsed(Open, n=1, more={"deep": [1]}) == {"n": 1, "more": {"deep": [1]}}
    assert parsed(Deaf, n=1, more=2) == {"n": 1}
    with pytest.raises(ValidationError):
        parsed(Closed, n=1, more=2)


def test_extra_arguments_that_were_approved_reach_the_tool(propose: Callable[..., Desk]) -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        n: int

    desk = propose(tool_of(Open), {"n": 1, "more": {"deep": [1]}})
    desk.run()
    desk.approve()
    desk.resume()
    assert ran == [{"n": 1, "more": {"deep": [1]}}]


def test_a_tool_without_arguments_is_called_without_any(propose: Callable[..., Desk]) -> None:
    @tool
    def ping() -> str:
        """Pings."""
        ran.append("ping")
        return "pong"

    desk = propose(ping, {"forged": 1})
    desk.run()
    assert desk.signoff.pending()[0].args == {}
    desk.approve()
    desk.resume()
    assert ran == ["ping"]


MCP = {"type": "object", "properties": {"amount": {"type": "number"}, "to": {"type": "string"}}, "required": ["amount"]}


def test_a_json_schema_checks_and_parses_nothing(propose: Callable[..., Desk]) -> None:
    schema = ToolSchema(tool_of(MCP))
    assert schema.parse({"amount": 5, "extra": [1]}) == {"amount": 5, "extra": [1]}
    for wrong in ({"amount": "5000"}, {"to": "bob"}, {"amount": 1, "to": 2}):
        with pytest.raises(Refused):
            schema.parse(wrong)
    desk = propose(tool_of(MCP), {"amount": 5})
    desk.run()
    desk.approve()
    desk.resume()
    assert ran == [{"amount": 5}]


def test_arguments_that_a_json_schema_refuses_get_an_error_and_no_ticket(propose: Callable[..., Desk]) -> None:
    desk = propose(tool_of(MCP), {"amount": "5000"})
    run = desk.run()
    assert (run.status, ran, desk.signoff.pending()) == ("completed", [], [])
    assert last_answer(run).status == "error"
    assert "'5000' is not of type 'number'" in last_answer(run).text


def test_a_json_schema_that_is_itself_wrong_checks_nothing_and_is_reviewed(propose: Callable[..., Desk]) -> None:
    desk = propose(tool_of({"type": "object", "properties": {"n": {"type": "nonsense"}}}), {"n": 1})
    desk.run()
    desk.finish()
    assert ran == [{"n": 1}]


def test_a_tool_without_a_schema_gets_what_was_proposed(propose: Callable[..., Desk]) -> None:
    class Bare(BaseTool):
        name: str = "bare"
        description: str = "Takes anything."

        def _run(self, **given: Any) -> str:
            ran.append(given)
            return "done"

    desk = propose(Bare(), {"x": 1, "y": [None]})
    desk.run()
    assert desk.signoff.pending()[0].args == {"x": 1, "y": [None]}
    desk.finish()
    assert ran == [{"x": 1, "y": [None]}]


def test_a_function_of_keywords_gets_what_it_would_get_without_a_gate(propose: Callable[..., Desk]) -> None:
    @tool
    def vary(n: int, *args: int, **kwargs: int) -> str:
        """Varies."""
        ran.append((n, args, kwargs))
        return "done"

    bare = vary.invoke({"n": 1})
    desk = propose(vary, {"n": 1})
    desk.run()
    assert desk.signoff.pending()[0].args == {"n": 1}
    desk.approve()
    assert last_answer(desk.resume()).text == bare
    assert ran == [(1, (), {})] * 2


def test_a_type_that_json_schema_cannot_describe_can_be_gated() -> None:
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        n: int
        hook: Callable[[], None] | None = None

    assert ToolSchema(tool_of(Odd)).json_schema == {}
    assert parsed(Odd, n=1) == {"n": 1, "hook": None}


def test_an_old_pydantic_schema_parses_aliases_defaults_and_refuses_as_the_new_one(
    propose: Callable[..., Desk],
) -> None:
    class Old(pydantic_v1.BaseModel):
        amount: int = pydantic_v1.Field(alias="Amount")
        kind: Literal["a", "b"] = "a"

        @pydantic_v1.validator("amount")
        def scale(cls, value: int) -> int:
            return value * 100

    assert parsed(Old, Amount=5) == {"Amount": 500, "kind": "a"}
    desk = propose(tool_of(Old), {"Amount": 5})
    desk.run()
    desk.finish()
    assert ran == [{"amount": 500, "kind": "a"}]


def test_arguments_that_an_old_schema_refuses_are_told_as_the_tool_tells_them(propose: Callable[..., Desk]) -> None:
    class Old(pydantic_v1.BaseModel):
        n: int

    patient = tool_of(Old)
    patient.handle_validation_error = lambda error: f"{len(error.errors())} wrong"
    run = propose(patient, {"n": "x"}).run()
    assert (run.status, ran) == ("completed", [])
    assert (last_answer(run).text, last_answer(run).status) == ("1 wrong", "error")


# Injected arguments --------------------------------------------------------------------------------------------------


class Explicit(BaseModel):
    n: int


@tool
def in_signature(
    n: int,
    state: Annotated[dict, InjectedState],
    runtime: ToolRuntime,
    call_id: Annotated[str, InjectedToolCallId],
    hidden: Annotated[str, InjectedToolArg] = "unforged",
) -> str:
    """Injected by signature."""
    ran.append((n, len(state["messages"]), runtime.tool_call_id, call_id, hidden))
    return "done"


@tool(args_schema=Explicit)
def outside_of_schema(
    n: int, state: Annotated[dict, InjectedState], hidden: Annotated[str, InjectedToolArg] = "u"
) -> str:
    """Injected beside an explicit schema."""
    ran.append((n, len(state["messages"]), hidden))
    return "done"


@tool(args_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
def beside_json_schema(n: int, state: Annotated[dict, InjectedState]) -> str:
    """Injected beside a JSON Schema."""
    ran.append((n, len(state["messages"])))
    return "done"


class OldState(pydantic_v1.BaseModel):
    n: int
    state: Annotated[Any, InjectedState]


@tool(args_schema=OldState)
def in_old_schema(n: int, state: Annotated[Any, InjectedState]) -> str:
    """Injected in a v1 schema."""
    ran.append((n, len(state["messages"])))
    return "done"


INJECTING: dict[str, tuple[BaseTool, tuple[Any, ...]]] = {
    "signature": (in_signature, (1, 2, "call-0-0", "call-0-0", "unforged")),
    "beside a model": (outside_of_schema, (1, 2, "u")),
    "beside a JSON Schema": (beside_json_schema, (1, 2)),
    "a v1 model": (in_old_schema, (1, 2)),
}
FORGED = {"n": 1, "state": {"messages": ["forged"] * 9}, "runtime": "forged", "call_id": "forged", "hidden": "forged"}


@pytest.mark.parametrize("kind", INJECTING)
@pytest.mark.parametrize("mode", ["allow", "review"])
def test_what_the_model_forges_for_an_injected_argument_counts_nowhere(
    kind: str, mode: str, propose: Callable[..., Desk]
) -> None:
    gated, expected = INJECTING[kind]
    forged = {key: value for key, value in FORGED.items() if key == "n" or key in ToolSchema(gated).injected}
    assert len(forged) > 1
    desk = propose(gated, forged, Policy(tools={gated.name: mode}))
    run = desk.run()
    if mode == "review":
        ticket = desk.signoff.pending()[0]
        assert ticket.args == {"n": 1}
        assert set(ticket.args_schema["properties"]) == {"n"}
        desk.approve()
        run = desk.resume()
    assert run.status == "completed"
    assert ran == [expected]


def test_a_validator_of_the_author_survives_the_removal_of_injected_fields() -> None:
    class WithState(BaseModel):
        n: int
        state: Annotated[MessagesState, InjectedState]

        @field_validator("n")
        @classmethod
        def positive(cls, value: int) -> int:
            if value < 0:
                raise ValueError("is negative")
            return value

    schema = ToolSchema(tool_of(WithState))
    assert schema.parse({"n": 1}) == {"n": 1}
    with pytest.raises(ValidationError, match="is negative"):
        schema.parse({"n": -1})


# Edits ---------------------------------------------------------------------------------------------------------------


def test_an_edit_is_parsed_once_too(propose: Callable[..., Desk]) -> None:
    class Pay(BaseModel):
        amount: float
        to: str = "bob"

    desk = propose(tool_of(Pay), {"amount": 7})
    desk.run()
    desk.finish(amount=5)
    assert ran == [{"amount": 5.0, "to": "bob"}]


def test_an_edit_that_parses_to_something_else_is_shown_before_it_runs(propose: Callable[..., Desk]) -> None:
    class Pay(BaseModel):
        amount: Annotated[int, AfterValidator(lambda n: n * 100)]

    desk = propose(tool_of(Pay), {"amount": 7})
    desk.run()
    desk.approve(amount=5)
    assert desk.resume().status == "pending_approval"
    assert desk.signoff.pending()[0].args == {"amount": 500}
    desk.finish()
    assert ran == [{"amount": 500}]
