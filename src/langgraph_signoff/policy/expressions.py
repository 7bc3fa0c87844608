"""CEL: what a `when` may say, what it reads, and several of them answered in one evaluation."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph_signoff.vocabulary import Json, Risk

if TYPE_CHECKING:
    from cel_expr_python import cel  # type: ignore[import-untyped]  # it ships no py.typed

KINDS = ("proposed", "ran", "refused")
VARIABLES = ("tool", "args", "actor", "requester", "thread", "confidence", "risk", "vars", "now", "history")

EVERY_TOOL = "*"
"""In `Expression.counts`: it may read the count of any tool."""
OWN_TOOL = ""
"""In `Expression.counts`: it reads the count of the tool it rules on."""

_QUOTED = re.compile(r"""//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""")
_SHADOWED = re.compile(r"\(\s*(?:tool|args)\s*,")
_COUNT = re.compile(
    r"""history\s*\.\s*(?:proposed|ran|refused)\s*(?:\.\s*(\w+)\b(?!\s*\()|\[\s*(?:"([^"\\]*)"|'([^'\\]*)'|(tool))\s*\])"""
)
_ARGUMENT = re.compile(r"(?<![\w.])args\s*\.\s*([A-Za-z_]\w*)(?!\w|\s*\()")
_FIELD = re.compile(r"(?<![\w.])(vars|risk|history)\s*\.\s*([A-Za-z_]\w*)(?!\w|\s*\()")
_PROBLEM = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")

# CEL's parser stops at 32 levels; a chain of 16 leaves 15 to each expression in it.
_CHAIN = 16


class BadExpression(ValueError):
    """An expression that cannot be taken; line and column count from 1 inside its text."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line, self.column = line, column


@dataclass(frozen=True)
class Expression:
    """A checked `when`: the variables it reads, and whose counts in `history` it reads."""

    text: str
    program: cel.Expression
    variables: frozenset[str]
    counts: frozenset[str]

    @property
    def named(self) -> frozenset[str]:
        """The tools that it counts by name."""
        return self.counts - {EVERY_TOOL, OWN_TOOL}

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is true of `facts`. Raises RuntimeError with CEL's words when it is neither true nor false."""
        value = self.program.eval(data=facts)
        said, kind = value.plain_value(), value.type().name()
        if isinstance(said, bool):
            return said
        raise RuntimeError(str(said)[:300] if kind == "ERROR" else f"is {kind.lower()}, not true or false")

    def number(self, facts: Mapping[str, Any]) -> int | float:
        """What it comes to, as a number. Raises RuntimeError with CEL's words when it is none."""
        value = self.program.eval(data=facts)
        said, kind = value.plain_value(), value.type().name()
        if kind in _NUMBERS:
            return said  # type: ignore[no-any-return]  # CEL's kinds are untyped
        raise RuntimeError(str(said)[:300] if kind == "ERROR" else f"is {kind.lower()}, not a number")


_NUMBERS = ("INT", "UINT", "DOUBLE")


def compile_expression(text: str, variables: Iterable[str]) -> Expression:
    """The checked condition; `variables` names what `vars` holds. Raises BadExpression."""
    return _compiled(text, variables, ("BOOL",), "true or false")


def compile_amount(text: str) -> Expression:
    """The checked expression of a number. Raises BadExpression."""
    return _compiled(text, (), _NUMBERS, "a number")


def _compiled(text: str, variables: Iterable[str], kinds: Sequence[str], words: str) -> Expression:
    try:
        program = _environment().compile(text)
    except RuntimeError as error:
        raise _bad(str(error)) from error
    result = program.return_type().name()
    if result not in (*kinds, "DYN"):
        raise BadExpression(f"gives {result.lower()}; it must be {words}")
    bare = _QUOTED.sub(lambda match: " " * len(match[0]), text)
    _check_fields(bare, frozenset(variables))
    names = frozenset(re.findall(r"[A-Za-z_]\w*", text)) & frozenset(VARIABLES)
    return Expression(text, program, names, _counts(text))


def places(expression: Expression, tool: str) -> list[str]:
    """What an expression on `tool` reads, as far as its text tells: `args.amount`, `history.ran.send`, or all of a variable."""
    text = _QUOTED.sub(lambda match: " " * len(match[0]), expression.text)
    found = [f"args.{name}" for name in _ARGUMENT.findall(text)]
    found += [f"{root}.{name}" for root, name in _FIELD.findall(text) if root != "history"]
    counted = [OWN_TOOL if name == OWN_TOOL else name for name in expression.counts]
    if EVERY_TOOL in counted:
        found.append("history")
    else:
        kinds = dict.fromkeys(name for root, name in _FIELD.findall(text) if root == "history")
        found += [f"history.{kind}.{name or tool}" for kind in kinds for name in sorted(counted)]
    rest = re.sub(r"\bhistory\b", " ", _FIELD.sub(" ", _ARGUMENT.sub(" ", text)))
    # What is called like a variable behind a dot is a field of something else.
    found += [name for name in re.findall(r"(?<![\w.])[A-Za-z_]\w*", rest) if name in VARIABLES]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Chain:
    """One program for many conditions; it gives what `compile_chain` says.

    It reads `variables`, and each of `fields` as a variable of its own, such as `args.amount`: CEL then converts that argument
    only, once, and not all of them. A field that is absent makes it an error.
    """

    program: cel.Expression
    variables: frozenset[str]
    fields: tuple[tuple[str, str], ...]


def compile_chain(conditions: Sequence[Expression | None]) -> Chain | None:
    """A program that gives the number of the first condition that holds, or a list with one such number a chunk, -1 for none.

    None stands for a condition that always holds. An error in a condition makes the whole an error. None is given back when
    the conditions nest too deeply to be joined.
    """
    texts = [condition.text if condition else "true" for condition in conditions]
    chunks = [_chain(texts[start : start + _CHAIN], start) for start in range(0, len(texts), _CHAIN)]
    whole = chunks[0] if len(chunks) == 1 else f"[{', '.join(chunks)}]"
    fields = frozenset() if _SHADOWED.search(whole) else frozenset(_ARGUMENT.findall(whole))
    try:
        program = _environment(fields).compile(whole)
    except RuntimeError:
        return None
    variables = frozenset[str]().union(*(condition.variables for condition in conditions if condition))
    if not re.search(r"\bargs\b|\bhas\s*\(", _ARGUMENT.sub("", whole)):
        variables -= {"args"}
    return Chain(program, variables, tuple((f"args.{field}", field) for field in sorted(fields)))


def risk_facts(risk: Risk) -> dict[str, Json]:
    """`risk` as expressions read it: all four fields, null where unstated."""
    return risk.model_dump(mode="json")


def _chain(texts: Sequence[str], start: int) -> str:
    chain = "-1"
    for number, text in reversed(list(enumerate(texts, start))):
        # The line break ends a comment that the author may have left at the end.
        chain = f"({text}\n) ? {number} : {chain}"
    return chain


@functools.lru_cache(maxsize=256)
def _environment(fields: frozenset[str] = frozenset()) -> cel.Env:
    from cel_expr_python import cel

    kind = cel.Type
    values = kind.Map(kind.STRING, kind.DYN)
    types = dict.fromkeys(VARIABLES, kind.STRING)
    types |= {"args": values, "risk": values, "vars": values, "confidence": kind.DOUBLE, "now": kind.TIMESTAMP}
    types["history"] = kind.Map(kind.STRING, kind.Map(kind.STRING, kind.INT))
    types |= {f"args.{field}": kind.DYN for field in fields}
    return cel.NewEnv(variables=types)


def _bad(words: str) -> BadExpression:
    found = _PROBLEM.search(words)
    if not found:
        return BadExpression(words.split("\n")[0][:300])
    message = found[3].removesuffix(" [INVALID_ARGUMENT]").removesuffix(" (in container '')")[:300]
    if "double" in message and "int" in message:
        message += "; beside a decimal, write whole numbers as 1.0"
    return BadExpression(message, int(found[1]), int(found[2]))


def _check_fields(bare: str, variables: frozenset[str]) -> None:
    known = {"vars": variables, "risk": frozenset(Risk.model_fields), "history": frozenset(KINDS)}
    for match in _FIELD.finditer(bare):
        if match[2] not in known[match[1]]:
            line, column = bare.count("\n", 0, match.start()) + 1, match.start() - bare.rfind("\n", 0, match.start())
            names = ", ".join(sorted(known[match[1]])) or "nothing"
            raise BadExpression(f"unknown {match[1]}.{match[2]}; {match[1]} holds {names}", line, column)


def _counts(text: str) -> frozenset[str]:
    counted = set()
    for use in re.finditer("history", text):
        match = None if _SHADOWED.search(text) else _COUNT.match(text, use.start())
        # What is not plainly one tool's count may be any tool's: better a record too many than a count too low.
        counted.add(
            EVERY_TOOL if not match else OWN_TOOL if match[4] else match[1] or match[2] or match[3] or EVERY_TOOL
        )
    return frozenset(counted)
