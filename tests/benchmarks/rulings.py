"""A ruling among many rules, against one bare evaluation of one CEL expression."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cel_expr_python import cel
from measure import Figure, in_turn, microseconds

from langgraph_signoff import Action, Policy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALLS = 50  # evaluations a sample, so that the clock's own cost does not count


def action(tool: str) -> Action:
    """A call whose amount no rule matches."""
    args = {"amount": 5.0, "recipient": "bob"}
    return Action(thread_id="t", proposal="p", tool=tool, args=args, parsed=args, digest="0" * 64)


def rules(count: int) -> list[dict[str, Any]]:
    """Rules that all have to be looked at before the last one decides."""
    return [{"when": f"args.amount > {1000 + number}.0", "then": "review"} for number in range(count)]


def figures(*, rounds: int) -> list[Figure]:
    """Two figures: rules spread over tools, and all on one."""
    spread = Policy(tools={f"tool_{n}": {"rules": rules(2), "otherwise": "allow"} for n in range(100)})
    crowded = Policy(tools={"tool_7": {"rules": rules(200), "otherwise": "allow"}})
    proposed = action("tool_7")
    expression = cel.NewEnv(variables={"args": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)}).compile(
        "args.amount > 1000.0"
    )

    def bare() -> None:
        for _ in range(CALLS):
            expression.eval(data={"args": proposed.parsed}).value()

    def ruled(policy: Policy) -> None:
        for _ in range(CALLS):
            assert policy.rule(proposed, now=NOW).mode == "allow"

    medians = in_turn({"bare": bare, "spread": lambda: ruled(spread), "crowded": lambda: ruled(crowded)}, rounds=rounds)
    each = {name: value / CALLS for name, value in medians.items()}
    return [
        Figure(
            "a ruling, 200 rules over 100 tools",
            "one CEL evaluation",
            each["spread"] / each["bare"],
            2.0,
            microseconds(each),
        ),
        Figure("a ruling, 200 rules on one tool", "one CEL evaluation", each["crowded"] / each["bare"], 6.0, ""),
    ]
