"""What holds for every policy and every action."""

import contextlib
import math
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from langgraph_signoff.errors import PolicyError
from langgraph_signoff.policy import Policy, render_describe
from langgraph_signoff.policy.describe import describe_mistake
from langgraph_signoff.policy.expressions import compile_expression
from langgraph_signoff.vocabulary import Action, Counts, Ruling

calm = settings(deadline=None)  # a busy machine is no mistake of the policy

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
FAILING = ["args.gone", "args.gone > 1", "args.n.x == 1", "1 / (args.n - args.n) == 1", "args.text", "args.text > 1"]
NAMES = st.sampled_from(["n", "m", "text", "items", "args", "gone", "has"])
NUMBERS = st.one_of(st.integers(-3, 3), st.floats(-3, 3), st.just(2**63), st.just(math.nan))
VALUES = st.recursive(
    st.one_of(NUMBERS, st.booleans(), st.none(), st.text(st.characters(exclude_categories=())), st.binary(max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
ARGS = st.dictionaries(NAMES, VALUES, max_size=5)
GOOD_ARGS = st.fixed_dictionaries({"n": st.integers(-3, 3), "text": st.sampled_from("ab")})

CONDITIONS = st.recursive(
    st.sampled_from(
        [
            "true",
            "false",
            "args.n > 1",
            "args.n == 1.0",
            "args . m < 2",
            "args.text == 'args.n'",
            "has(args.n)",
            "has(args.items.n)",
            "args.items.n == 1",
            "args['n'] == 1",
            "'n' in args",
            "size(args) > 2",
            "args.items.exists(args, args.n == 1)",
            "args.items.all(n, n == 1 || args.n > n)",
            "{'args.n': args}['args.n'].n > 0",
            "history.ran.send > 0",
            "tool == 'send' // args.x",
            "args.n",
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}\n) || ({pair[1]}\n)"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}\n) && ({pair[1]}\n)"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}\n) ? ({pair[1]}\n) == true : false"),
        inner.map(lambda one: f"!({one}\n)"),
    ),
    max_leaves=4,
)
RULES = st.lists(
    st.fixed_dictionaries({"when": CONDITIONS, "then": st.sampled_from(["allow", "review", "deny"])}), max_size=6
)
FALLBACKS = st.sampled_from(["allow", "review", "deny"])


def rule(policy: Policy, args: dict, tool: str = "send") -> Ruling:
    action = Action.model_construct(
        thread_id="t",
        proposal="p",
        tool=tool,
        args=args,
        parsed=args,
        digest="d",
        agent="a",
        requester=None,
        confidence=0.0,
    )
    return policy.rule(action, now=NOW, history=Counts())


def made(rules: list[dict], otherwise: str = "review", **more: object) -> Policy:
    return Policy(tools={"send": {"rules": rules, "otherwise": otherwise}, **more})


def holds(when: str, args: dict) -> bool | None:
    """What one expression says on its own; None when it fails."""
    facts = {"args": args, "tool": "send", "history": {"ran": {"send": 0}}}
    with contextlib.suppress(RuntimeError):
        return compile_expression(when, ()).holds(facts)
    return None


@calm
@given(RULES, FALLBACKS, ARGS)
def test_a_ruling_is_always_given(rules: list[dict], otherwise: str, args: dict) -> None:
    assert rule(made(rules, otherwise), args).mode in ("allow", "review", "deny")


@calm
@given(RULES, FALLBACKS, ARGS)
@example([{"when": "args.items.exists(args, args.n == 1)", "then": "allow"}], "review", {"items": [{"n": 1}], "n": 0})
def test_many_rules_asked_at_once_say_what_they_say_one_by_one(rules: list[dict], otherwise: str, args: dict) -> None:
    assume(rule(made([], "allow"), args).mode == "allow")
    denials = [holds(each["when"], args) for each in rules if each["then"] == "deny"]
    others = [(holds(each["when"], args), each["then"]) for each in rules if each["then"] != "deny"]
    first = next(("doubt" if said is None else then for said, then in others if said is not False), otherwise)
    expected = "deny" if True in denials else "doubt" if None in denials else first
    ruling = rule(made(rules, otherwise), args)
    assert ("doubt" if ruling.reason_code == "policy_error" else ruling.mode) == expected


@calm
@given(st.one_of(st.just([]), RULES), st.sampled_from(["allow", "audit", "review", "deny"]), st.booleans(), ARGS)
def test_what_is_let_run_at_once_is_what_the_rules_let_run(
    rules: list[dict], then: str, record: bool, args: dict
) -> None:
    otherwise = {"then": then, "record": True} if record and then == "allow" else then
    policy = Policy(tools={"send": {"rules": rules, "otherwise": otherwise, "undo": True}})
    ruling, at_once = rule(policy, args), policy.lets_run("send", args)
    is_plain = not rules and then == "allow" and not record and ruling.mode == "allow"
    assert at_once == (ruling if is_plain else None)


@calm
@given(RULES, st.sampled_from(FAILING), st.sampled_from(["allow", "review", "deny"]), FALLBACKS, GOOD_ARGS)
def test_nothing_is_allowed_past_an_expression_that_fails(
    rules: list[dict], failing: str, then: str, otherwise: str, args: dict
) -> None:
    ruling = rule(made([{"when": failing, "then": then}, *rules], otherwise), args)
    assert ruling.mode == "deny" or ruling.reason_code == "policy_error"


@calm
@given(RULES, FALLBACKS, ARGS, st.sampled_from([math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, "\ud800", b"", ()]))
def test_nothing_is_allowed_with_a_value_that_cannot_be_compared(
    rules: list[dict], otherwise: str, args: dict, value: object
) -> None:
    for hidden in (value, [value], {"deep": [{"er": value}]}):
        assert rule(made(rules, otherwise), {**args, "z": hidden}).mode != "allow"


@calm
@given(RULES, st.integers(0, 6), st.one_of(CONDITIONS, st.sampled_from(FAILING)), FALLBACKS, ARGS)
def test_one_more_deny_rule_never_allows(rules: list[dict], place: int, when: str, otherwise: str, args: dict) -> None:
    before = rule(made(rules, otherwise), args)
    after = rule(made([*rules[:place], {"when": when, "then": "deny"}, *rules[place:]], otherwise), args)
    wider = rule(made(rules, otherwise, **{"s*": {"rules": [{"when": when, "then": "deny"}]}}), args)
    assert before.mode == "allow" or "allow" not in (after.mode, wider.mode)
    assert (
        before.mode != "deny"
        or (after.mode, wider.mode) == ("deny", "deny")
        or rule(made([], otherwise), args).mode == "deny"
    )


@calm
@given(RULES, FALLBACKS, GOOD_ARGS)
def test_the_stored_document_gives_the_same_rulings(rules: list[dict], otherwise: str, args: dict) -> None:
    policy = made(rules, otherwise)
    again = Policy.parse(policy.document)
    assert again.version == policy.version
    assert rule(again, args) == rule(policy, args)


JSON = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.none(),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=10,
)


@calm
@given(JSON)
def test_every_variable_that_is_taken_survives_the_stored_document(value: object) -> None:
    try:
        policy = Policy(vars={"a": value})
    except PolicyError:
        return
    assert Policy.parse(policy.document).document == policy.document


def refused_or_taken(load: Callable[[], Policy]) -> None:
    """Fails with any other error than a PolicyError."""
    with contextlib.suppress(PolicyError):
        assert rule(load(), {}, "never_heard_of").mode != "allow"


@calm
@given(st.binary())
def test_any_bytes_as_a_policy_file_give_a_policy_error_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    for each in (content, b"version: 1\n" + content):
        path.write_bytes(each)
        refused_or_taken(lambda: Policy.load(path))


WRITTEN = """version: 1
default: review
people: {ana: {groups: [finance]}}
queues: {q: {owner: ana, reviewers: ["group:finance"], window: 2h, on_timeout: deny, backup: [ana]}}
tools:
  "*": deny
  send_*:
    rules:
      - {when: "args.n > 1 && tool == 'x'", then: review, queue: q}
    redact: [args.card]
    describe: "Send {args.n}"
"""


@calm
@given(
    st.integers(0, len(WRITTEN)),
    st.integers(0, 12),
    st.text(st.sampled_from("{}[]:,-&*!|>'\"%@`#?~ \n\taé0.\\<"), max_size=6),
)
def test_a_damaged_policy_is_refused_or_allows_nothing_unlisted(start: int, length: int, patch: str) -> None:
    refused_or_taken(lambda: Policy.parse(WRITTEN[:start] + patch + WRITTEN[start + length :]))


@calm
@given(st.dictionaries(st.sampled_from(["default", "tools", "people", "queues", "vars"]), VALUES))
def test_any_data_from_python_gives_a_policy_error_and_nothing_else(data: dict) -> None:
    refused_or_taken(lambda: Policy(**data))


@calm
@given(st.text(), ARGS)
def test_any_description_is_refused_or_rendered(template: str, args: dict) -> None:
    for each in (template, "{args." + template + "}", "{args.items.0.n}"):
        if describe_mistake(each, {}) is None:
            assert isinstance(render_describe(each, {k: v for k, v in args.items() if not isinstance(v, bytes)}), str)
