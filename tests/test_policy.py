"""What a policy says of an action."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import jsonschema
import pytest

from langgraph_signoff.errors import PolicyError
from langgraph_signoff.masking import mask
from langgraph_signoff.policy import Policy, render_describe
from langgraph_signoff.vocabulary import Action, Counts, Requirements, Ruling

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

SEND = """
version: 1
people:
  ana: {groups: [finance]}
  cem: {groups: [finance, leads]}
queues:
  payments: {owner: ana, reviewers: [group:finance], backup: [group:leads], window: 2h, use_within: 1h, on_timeout: deny}
vars: {blocked: [mallory]}
tools:
  get_balance: allow
  drop_database: deny
  send_money:
    risk: {reversible: false, compliance: [financial], stakes: high}
    rules:
      - {when: "args.recipient in vars.blocked", then: deny, reason_code: blocked_recipient}
      - {when: "args.amount <= 50.0", then: allow, reason_code: small_transfer}
      - {when: "args.amount > 10000.0", then: review, queue: payments, approvals: 2, reason_code: large_transfer}
    otherwise: {then: review, queue: payments}
"""


def action(tool: str, args: dict | None = None, **more: object) -> Action:
    args = args or {}
    plain = {"thread_id": "t-1", "proposal": "p", "digest": "d", "agent": "clerk"}
    return Action.model_construct(
        **{**Action(tool=tool, args={}, parsed={}, **plain).__dict__, "args": args, "parsed": args, **more}
    )


def ruled(policy: Policy, tool: str, args: dict | None = None, history: Counts | None = None, **more: object) -> Ruling:
    return policy.rule(action(tool, args, **more), now=NOW, history=history)


def one_rule(when: str, then: str = "allow", **policy: object) -> Policy:
    return Policy(tools={"send": {"rules": [{"when": when, "then": then}]}}, **policy)


def says(when: str, args: dict | None = None, **more: object) -> str:
    """The reason code of an allow rule with this expression."""
    return ruled(one_rule(when), "send", args, **more).reason_code


@pytest.fixture(scope="module")
def send() -> Policy:
    return Policy.parse(SEND)


@pytest.mark.parametrize(
    ("tool", "args", "mode", "reason_code", "rule"),
    [
        ("get_balance", {}, "allow", "allowed", "tools.get_balance.otherwise"),
        ("drop_database", {}, "deny", "denied", "tools.drop_database.otherwise"),
        ("send_money", {"recipient": "eve", "amount": 10}, "allow", "small_transfer", "tools.send_money.rules.1"),
        ("send_money", {"recipient": "mallory", "amount": 10}, "deny", "blocked_recipient", "tools.send_money.rules.0"),
        ("send_money", {"recipient": "eve", "amount": 20_000}, "review", "large_transfer", "tools.send_money.rules.2"),
        ("send_money", {"recipient": "eve", "amount": 500}, "review", "default_review", "tools.send_money.otherwise"),
        ("send_money", {"recipient": "eve"}, "review", "policy_error", "tools.send_money.rules.1"),
        ("never_heard_of", {}, "review", "unlisted_tool", "default"),
    ],
)
def test_the_policy_of_the_design_rules_as_it_reads(
    send: Policy, tool: str, args: dict, mode: str, reason_code: str, rule: str
) -> None:
    ruling = ruled(send, tool, args)
    assert (ruling.mode, ruling.reason_code, ruling.rule) == (mode, reason_code, rule)
    assert ruling.policy_version == send.version


def test_a_review_carries_what_its_queue_and_its_rule_ask_for(send: Policy) -> None:
    ruling = ruled(send, "send_money", {"recipient": "eve", "amount": 20_000})
    assert ruling.requirements == Requirements(
        queue="payments",
        owner="ana",
        backup=("group:leads",),
        reviewers=(("group:finance",),),
        approvals=2,
        priority=2,
        window=timedelta(hours=2),
        use_within=timedelta(hours=1),
    )
    assert ruling.risk.stakes == "high"
    assert ruling.risk.reversible is False


def test_a_queue_named_default_is_where_reviews_without_a_queue_wait() -> None:
    policy = Policy(queues={"default": {"approvals": 3, "window": "15m"}})
    needs = ruled(policy, "anything").requirements
    assert (needs.queue, needs.approvals, needs.window) == ("default", 3, timedelta(minutes=15))


def test_an_unlisted_tool_is_denied_when_the_default_says_so() -> None:
    ruling = ruled(Policy(default="deny"), "anything")
    assert (ruling.mode, ruling.reason_code) == ("deny", "unlisted_tool")


def test_a_tool_without_otherwise_is_reviewed() -> None:
    assert ruled(Policy(default="deny", tools={"send": {}}), "send").mode == "review"


def test_any_matching_deny_wins_wherever_it_stands() -> None:
    rules = [{"when": "args.n > 0", "then": "allow"}, {"when": "args.n == 7", "then": "deny"}]
    policy = Policy(tools={"send": {"rules": rules}})
    assert ruled(policy, "send", {"n": 7}).mode == "deny"
    assert ruled(policy, "send", {"n": 6}).mode == "allow"


def test_the_first_match_wins_among_the_others() -> None:
    rules = [{"when": "args.n > 5", "then": "review", "reason_code": "big"}, {"when": "args.n > 0", "then": "allow"}]
    assert ruled(Policy(tools={"send": {"rules": rules}}), "send", {"n": 7}).reason_code == "big"


def test_a_rule_after_the_first_match_is_not_asked() -> None:
    rules = [{"when": "args.n > 0", "then": "allow"}, {"when": "args.missing", "then": "review"}]
    assert ruled(Policy(tools={"send": {"rules": rules}}), "send", {"n": 7}).mode == "allow"


def test_a_rule_without_when_always_holds() -> None:
    rules = [{"when": "args.n > 5", "then": "deny"}, {"then": "allow"}]
    policy = Policy(tools={"send": {"rules": rules, "otherwise": "deny"}})
    assert ruled(policy, "send", {"n": 7}).mode == "deny"
    assert ruled(policy, "send", {"n": 1}).rule == "tools.send.rules.1"


# Names and patterns


def test_an_exact_name_beats_a_pattern_and_more_letters_beat_fewer() -> None:
    policy = Policy(
        tools={
            "*": "deny",
            "send_*": {"otherwise": {"then": "review", "reason_code": "sends"}},
            "send_m*": {"otherwise": {"then": "review", "reason_code": "sends_m"}},
            "send_money": {"otherwise": {"then": "review", "reason_code": "exact"}},
        }
    )
    assert [ruled(policy, tool).reason_code for tool in ("send_money", "send_mail", "send_fax", "fly")] == [
        "exact",
        "sends_m",
        "sends",
        "denied",
    ]


def test_a_deny_rule_of_a_wider_entry_binds_the_narrower_one() -> None:
    policy = Policy(
        tools={"send_*": {"rules": [{"when": "args.to == 'mallory'", "then": "deny"}]}, "send_money": "allow"}
    )
    assert ruled(policy, "send_money", {"to": "mallory"}).rule == "tools.send_*.rules.0"
    assert ruled(policy, "send_money", {"to": "eve"}).mode == "allow"


def test_what_a_wider_entry_denies_by_default_the_narrower_one_may_allow() -> None:
    assert ruled(Policy(tools={"send_*": "deny", "send_money": "allow"}), "send_money").mode == "allow"


def test_secrets_of_every_matching_entry_are_masked() -> None:
    policy = Policy(tools={"pay_*": {"redact": ["args.card"]}, "pay_card": {"redact": ["args.items.*.pin"]}})
    ruling = ruled(policy, "pay_card")
    assert ruling.redact == ("items.*.pin", "card")
    shown = mask({"card": "4111", "items": [{"pin": 1, "id": 2}]}, ruling.redact)
    assert shown == {"card": "•••", "items": [{"pin": "•••", "id": 2}]}


def test_only_the_star_is_a_wildcard() -> None:
    policy = Policy(tools={"a.c": "allow"})
    assert ruled(policy, "abc").mode == "review"
    assert ruled(policy, "a.c").mode == "allow"


def test_invented_names_do_not_fill_the_memory() -> None:
    policy = Policy(tools={"send_*": "deny"})
    for number in range(3000):
        ruled(policy, f"send_{number}")
    assert len(policy._indexes["tool"]._matched) <= 1000


# Numbers


@pytest.mark.parametrize("bound", ["5000", "5000.0"])
@pytest.mark.parametrize("given", [5000, 5000.0])
def test_whole_numbers_and_decimals_compare_by_value(given: float, bound: str) -> None:
    for sign, holds in [("==", True), (">=", True), ("<=", True), (">", False), ("<", False), ("!=", False)]:
        assert says(f"args.amount {sign} {bound}", {"amount": given}) == ("allowed" if holds else "default_review")
    assert says(f"args.amount in [{bound}]", {"amount": given}) == "allowed"


def test_a_text_is_no_number() -> None:
    assert says("args.amount > 50", {"amount": "5000"}) == "policy_error"
    assert says("args.amount == 5000", {"amount": "5000"}) == "default_review"


def test_arithmetic_between_a_whole_number_and_a_decimal_is_reviewed() -> None:
    assert says("args.amount * 2 < 100", {"amount": 5.0}) == "policy_error"
    assert says("double(args.amount) * 2.0 < 100.0", {"amount": 5.0}) == "allowed"
    assert says("double(args.amount) * 2.0 < 100.0", {"amount": 5}) == "allowed"


def test_variables_of_the_policy_compare_with_arguments() -> None:
    policy = one_rule("args.amount < vars.limit", vars={"limit": 50})
    assert ruled(policy, "send", {"amount": 49.5}).mode == "allow"


# Doubt


@pytest.mark.parametrize(
    ("when", "args"),
    [
        ("args.missing == 1", {}),
        ("args.a.b == 1", {"a": 5}),
        ("args.n > 1", {"n": None}),
        ("args.n > 1", {"n": True}),
        ("args.n", {"n": "yes"}),
        ("args.n", {"n": 1}),
        ("1 / args.n == 1", {"n": 0}),
        ("args.n * args.n > 0", {"n": 2**62}),
        ("args.n[3] == 1", {"n": [1]}),
        ("args.n.matches(args.m)", {"n": "a", "m": "("}),
        ("args.n.all(a, args.n.all(b, args.n.all(c, true)))", {"n": list(range(300))}),
        ("args.n.all(a, args.n.all(b, true))", {"n": list(range(5000))}),
        ("timestamp(args.n) < now", {"n": "soon"}),
        ("vars.x == args.y", {"y": 1, "z": float("nan")}),
        ("true", {"n": float("nan")}),
        ("true", {"n": [{"deep": float("inf")}]}),
        ("true", {"n": float("-inf")}),
        ("true", {"n": 2**63}),
        ("true", {"n": -(2**63) - 1}),
        ("true", {"n": "\ud800"}),
        ("true", {"\udfff": 1}),
        ("true", {"n": {1: 2}}),
        ("true", {"n": (1, 2)}),
        ("true", {"n": b"bytes"}),
        ("true", {"n": {1, 2}}),
        ("true", {"n": NOW}),
    ],
)
def test_what_cannot_be_told_is_reviewed(when: str, args: dict) -> None:
    ruling = ruled(one_rule(when, vars={"x": 1}), "send", args)
    assert (ruling.mode, ruling.reason_code) == ("review", "policy_error")
    assert ruling.detail


def test_arguments_that_hold_themselves_are_reviewed() -> None:
    endless: dict = {}
    endless["again"] = endless
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for args in (endless, {"deep": deep}):
        assert says("true", args) == "policy_error"


def test_nan_is_reviewed_even_where_no_expression_reads_it() -> None:
    assert ruled(Policy(tools={"send": "allow"}), "send", {"n": float("nan")}).reason_code == "policy_error"


def test_a_confidence_that_is_no_number_is_reviewed() -> None:
    assert says("!(confidence < 0.9)", confidence=float("nan")) == "policy_error"


def test_a_thread_name_that_is_no_text_is_reviewed() -> None:
    assert says("thread != 'x'", thread_id="\ud800") == "policy_error"


def test_the_detail_names_the_rule_and_the_reason(send: Policy) -> None:
    ruling = ruled(send, "send_money", {"recipient": "eve"})
    assert ruling.detail == 'tools.send_money.rules.1.when: NOT_FOUND: Key not found in map : "amount"'
    assert ruled(send, "send_money", {"recipient": "eve", "n": [1.5, float("nan")]}).detail == "args.n.1: is nan"


def test_the_detail_quotes_no_argument_of_a_tool_with_secrets() -> None:
    policy = Policy(
        tools={"pay": {"rules": [{"when": "vars.limits[args.card] > 1", "then": "allow"}], "redact": ["args.card"]}},
        vars={"limits": {}},
    )
    ruling = ruled(policy, "pay", {"card": "4111-1111"})
    assert ruling.reason_code == "policy_error"
    assert "4111" not in ruling.model_dump_json()


def test_a_failing_expression_asks_for_as_many_approvals_as_the_strictest_rule(send: Policy) -> None:
    needs = ruled(send, "send_money", {"recipient": "eve"}).requirements
    assert (needs.queue, needs.approvals) == ("payments", 2)


def test_a_denial_that_holds_wins_over_an_expression_that_fails() -> None:
    rules = [
        {"when": "args.missing", "then": "deny"},
        {"when": "args.n == 7", "then": "deny"},
        {"when": "args.n > 0", "then": "allow"},
    ]
    policy = Policy(tools={"send": {"rules": rules}})
    assert ruled(policy, "send", {"n": 7}).rule == "tools.send.rules.1"
    assert ruled(policy, "send", {"n": 6}).reason_code == "policy_error"


def test_a_denial_that_does_not_read_the_arguments_holds_although_they_are_garbage() -> None:
    policy = Policy(tools={"send": {"rules": [{"when": "actor == 'clerk'", "then": "deny"}], "otherwise": "allow"}})
    assert ruled(policy, "send", {"n": float("nan")}).mode == "deny"


def test_an_always_denied_tool_is_denied_whatever_its_arguments_are() -> None:
    assert ruled(Policy(tools={"send": "deny"}), "send", {"n": float("nan")}).mode == "deny"


def test_expressions_too_deep_to_be_joined_are_asked_one_by_one() -> None:
    policy = one_rule("(" * 25 + "args.n > 1" + ")" * 25)
    assert ruled(policy, "send", {"n": 2}).mode == "allow"
    assert ruled(policy, "send", {"n": 1}).mode == "review"


# What expressions read


@pytest.mark.parametrize(
    "when",
    [
        "tool == 'send'",
        "actor == 'clerk'",
        "requester == 'ana'",
        "thread == 't-1'",
        "confidence == 0.25",
        "args.names.exists(n, n == 'ü𝄞')",
        "has(args.names) && !has(args.missing)",
        "args['names'].size() == 1",
        "size(args) == 2",
        "args.at.x == 1",
        "{'args.names': 1}.size() == 1",
        "[{'x': 1}].exists(args, args.x == 1)",
        "risk.reversible == false && risk.stakes == null && 'financial' in risk.compliance",
        "vars.blocked.size() == 1 && vars.nested.deep == 1.5",
        "now == timestamp('2026-03-02T09:30:00Z')",
        "now.getHours('Europe/Istanbul') == 12",
        "history.proposed.send == 0 && history.ran['send'] == 0 && history.refused[tool] == 0",
        "history.ran.other == 3",
        "true // a comment",
        "args.names[0] == 'ü𝄞' // history.of(things) \"unclosed",
    ],
)
def test_an_expression_reads(when: str) -> None:
    policy = Policy(
        tools={
            "send": {
                "risk": {"reversible": False, "compliance": ["financial"]},
                "rules": [{"when": when, "then": "allow"}],
            }
        },
        vars={"blocked": ["mallory"], "nested": {"deep": 1.5}},
    )
    args = {"names": ["ü𝄞"], "at": {"x": 1}}
    ruling = ruled(policy, "send", args, history=Counts(ran={"other": 3}), requester="ana", confidence=0.25)
    assert ruling.mode == "allow", ruling.detail


def test_without_a_requester_the_requester_is_empty() -> None:
    assert says("requester == ''") == "allowed"


def test_the_third_transfer_of_a_thread_can_be_told() -> None:
    policy = one_rule("history.ran.send < 2")
    modes = [ruled(policy, "send", history=Counts(ran={"send": n} if n else {})).mode for n in range(4)]
    assert modes == ["allow", "allow", "review", "review"]


@pytest.mark.parametrize(
    ("when", "counted"),
    [
        ("history.ran.send > 1", {"send"}),
        ("history.ran['mail'] > 1", {"mail"}),
        ('history.ran["mail"] + history.refused.send > 1', {"mail", "send"}),
        ("history.ran[tool] > 1", {"send"}),
        ("history.ran[args.which] > 1", {"send", "mail", "read"}),
        ("history.ran.exists(name, history.ran[name] > 1)", {"send", "mail", "read"}),
        ("[history].exists(h, h.ran.mail > 1)", {"send", "mail", "read"}),
        ("['mail'].exists(tool, history.ran[tool] > 1)", {"send", "mail", "read"}),
        ("'''it's''' == args.x && history.ran.mail > 1", {"mail"}),
        ("args.n > 1", set()),
    ],
)
def test_a_tool_that_a_rule_counts_is_recorded_even_when_allowed(when: str, counted: set[str]) -> None:
    policy = Policy(
        tools={
            "send": {"rules": [{"when": when, "then": "deny"}], "otherwise": "allow"},
            "mail": "allow",
            "read": "allow",
        }
    )
    assert {tool for tool in ("mail", "read") if ruled(policy, tool).record} == counted - {"send"}
    assert policy.needs_history(action("send")) == bool(counted)
    assert not policy.needs_history(action("mail"))


def test_a_rule_of_a_pattern_that_counts_its_own_tool_counts_all_it_fits() -> None:
    policy = Policy(tools={"send_*": {"rules": [{"when": "history.ran[tool] < 2", "then": "allow"}]}})
    assert ruled(policy, "send_mail").record


def test_an_allowed_call_is_recorded_only_when_the_rule_says_so() -> None:
    policy = Policy(
        tools={
            "a": "allow",
            "b": {"otherwise": {"then": "allow", "record": True}},
            "c": {"otherwise": {"then": "allow", "once": True}},
        }
    )
    assert [ruled(policy, tool).needs_record for tool in "abc"] == [False, True, True]


# The document and its version


def test_the_stored_document_reads_back_to_the_same_version(send: Policy) -> None:
    assert Policy.parse(send.document).version == send.version
    assert Policy.parse(send.document).document == send.document
    assert Policy.restore(send.document).document == send.document
    for broken in ("", "[]", '{"version": 1', '{"version": 1, "tools": {"a": "maybe"}}'):
        with pytest.raises(PolicyError):
            Policy.restore(broken)


def test_the_same_meaning_has_the_same_version(send: Policy) -> None:
    told_otherwise = (
        SEND.replace("2h", "120m")
        .replace("get_balance: allow", "get_balance: {otherwise: allow}")
        .replace(", on_timeout: deny", "")
    )
    assert Policy.parse("# a comment\n" + told_otherwise + "\ndefault: review\n").version == send.version


def test_another_meaning_has_another_version(send: Policy) -> None:
    assert Policy.parse(SEND.replace("50.0", "51.0")).version != send.version
    assert Policy(vars={"n": 50}).version != Policy(vars={"n": 50.0}).version


def test_people_are_open_or_known(send: Policy) -> None:
    assert send.people == {"ana": frozenset({"finance"}), "cem": frozenset({"finance", "leads"})}
    assert Policy().people is None
    assert Policy(people="open").people is None
    assert Policy.parse("version: 1\npeople: open").people is None


# The graph's tools


def test_a_tool_that_no_entry_names_is_a_warning() -> None:
    policy = Policy(tools={"send_*": "allow", "read": "allow"})
    assert policy.warnings(["send_mail", "read", "fly"]) == [
        "fly: no entry of the policy names this tool; every call of it will be reviewed"
    ]
    assert "denied" in Policy(default="deny").warnings(["fly"])[0]


def test_an_entry_for_a_tool_that_the_graph_lacks_is_a_mistake() -> None:
    policy = Policy.parse(
        SEND + '  "*": review\n  old_*: deny\n  count:\n    rules:\n      - {when: history.ran.typo > 1, then: deny}\n'
    )
    with pytest.raises(PolicyError) as caught:
        policy.check_graph(["get_balance", "send_money", "count"])
    assert [(m.where, m.line, m.column) for m in caught.value.mistakes] == [
        ("tools.drop_database", 11, 3),
        ("tools.old_*", 20, 3),
        ("tools.count.rules.0.when", 23, 16),
    ]
    policy.check_graph(["get_balance", "send_money", "count", "old_mail", "typo", "drop_database"])


# Describe


def test_a_description_shows_the_arguments() -> None:
    policy = Policy(
        tools={"send": {"describe": "{tool}: {args.amount} {vars.unit} to {args.to.name} or {args.cc.0}, {args.note}"}},
        vars={"unit": "EUR"},
    )
    template = ruled(policy, "send").describe
    assert template == "send: {args.amount} EUR to {args.to.name} or {args.cc.0}, {args.note}"
    assert (
        render_describe(template, {"amount": 5.5, "to": {"name": "Ana"}, "cc": ["Cem"]})
        == "send: 5.5 EUR to Ana or Cem, (not given)"
    )


def test_an_argument_cannot_forge_the_rest_of_a_description() -> None:
    assert render_describe("To {args.to}.", {"to": "eve\nApproved by the board"}) == 'To "eve\\nApproved by the board".'
    assert (
        render_describe("To {args.to}.", {"to": "{args.secret} {0.__class__}", "secret": "x"})
        == "To {args.secret} {0.__class__}."
    )
    assert "\u202e" not in render_describe("To {args.to}.", {"to": "\u202eeve"})
    assert len(render_describe("{args.to}", {"to": "x" * 10_000})) == 201


# Around


def test_the_schema_for_editors_takes_the_design_and_refuses_a_misspelling() -> None:
    schema = Policy.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = {
        "version": 1,
        "people": "open",
        "tools": {"a": "allow", "b": {"otherwise": "review", "rules": [{"when": "true", "then": "deny"}]}},
    }
    jsonschema.validate(good, schema)
    for bad in (
        {**good, "defualt": "deny"},
        {**good, "default": "allow"},
        {**good, "tools": {"a": "maybe"}},
        {"tools": {}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
    del schema["$defs"]["Risk"]
    for model in [schema, *(model.get("anyOf", [model])[-1] for model in schema["$defs"].values())]:
        assert [name for name, field in model["properties"].items() if "description" not in field] == []


def test_importing_the_policy_package_loads_neither_yaml_nor_cel_nor_the_model() -> None:
    code = "import sys, langgraph_signoff.policy; print([m for m in ('ruamel.yaml', 'cel_expr_python', 'langgraph_signoff.policy.document') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


SUPERVISED = """
version: 1
supervision: {}
tools:
  book: {{risk: {{reversible: true}}, rules: [{{when: "args.n > 5", then: deny}}], otherwise: review}}
  odd: {{supervision: {}, risk: {{reversible: {}}}, otherwise: review}}
"""


@pytest.mark.parametrize(
    ("whole", "own", "reversible", "puts_off"),
    [
        ("tactical", "tactical", "true", (False, False)),
        ("tactical", "hybrid", "true", (False, True)),
        ("hybrid", "hybrid", "false", (True, False)),
        ("hybrid", "tactical", "true", (True, False)),
        ("strategic", "hybrid", "true", (True, True)),
    ],
)
def test_only_reviews_of_what_is_reversible_are_put_off_to_the_end_of_a_run(
    whole: str, own: str, reversible: str, puts_off: tuple[bool, bool]
) -> None:
    policy = Policy.parse(SUPERVISED.format(whole, own, reversible))
    rulings = [policy.rule(action(tool, {"n": 1}), now=NOW) for tool in ("book", "odd")]
    assert tuple(ruling.at_the_end for ruling in rulings) == puts_off
    assert {ruling.mode for ruling in rulings} == {"review"}


def test_a_declared_undo_is_as_good_as_being_reversible() -> None:
    policy = Policy(tools={"book": {"undo": True, "otherwise": "review"}}, supervision="strategic")
    assert policy.rule(action("book", {}), now=NOW).at_the_end


def test_neither_a_denial_nor_a_doubt_nor_an_unknown_tool_is_put_off() -> None:
    policy = Policy.parse(SUPERVISED.format("hybrid", "hybrid", "true"))
    for tool, args in (("book", {"n": 9}), ("book", {"n": "?"}), ("book", {"n": float("nan")}), ("other", {})):
        ruling = policy.rule(action(tool, args), now=NOW)
        assert (ruling.mode, ruling.at_the_end) in (("deny", False), ("review", False))


# Questions -----------------------------------------------------------------------------------------------------------------

ASKS = """
version: 1
supervision: hybrid
queues: {desk: {window: 8h}}
tools: {which: allow}
questions:
  which:
    risk: {reversible: true}
    rules: [{when: "args.question == ''", then: deny}]
    otherwise: {then: review, queue: desk, approvals: 2}
  "secret_*": deny
"""


def asked(policy: Policy, name: str, question: str = "Which one?") -> Ruling:
    return policy.rule(action(name, {"question": question}, kind="question"), now=NOW)


def test_a_question_is_ruled_by_its_own_section_and_is_never_put_off_or_allowed() -> None:
    policy = Policy.parse(ASKS)
    ruling = asked(policy, "which")
    assert (ruling.mode, ruling.rule, ruling.at_the_end) == ("review", "questions.which.otherwise", False)
    assert (ruling.requirements.queue, ruling.requirements.approvals) == ("desk", 2)
    assert asked(policy, "which", "").mode == "deny"
    assert asked(policy, "secret_word").mode == "deny"
    assert (asked(policy, "anything").mode, asked(policy, "anything").rule) == ("review", "default")
    assert asked(Policy(default="deny"), "anything").mode == "deny"
    assert ruled(policy, "which").mode == "allow", "the tool of that name is another matter"
    assert Policy.parse(policy.document).version == policy.version


def test_an_entry_for_a_question_may_be_for_one_that_a_node_asks() -> None:
    policy = Policy.parse(ASKS + "nodes: {n: {rules: [{when: history.proposed.which > 1, then: deny}]}}\n")
    policy.check_graph(["which"], ["n"])
    assert policy.warnings(["which"], ["n"], ["which", "when"]) == [
        "when: no entry of the policy names this question; every asking of it will be put to anybody"
    ]
    with pytest.raises(PolicyError, match="the graph has no tool which"):
        policy.check_graph([], ["n"], ["which"])
