"""Every mistake in a policy file is refused with its line and column, and garbage is refused in plain words."""

import os
from pathlib import Path

import pytest

from langgraph_signoff.errors import PolicyError
from langgraph_signoff.policy import Policy

PEOPLE = "version: 1\npeople: {ana: {groups: [finance]}, cem: {groups: [finance, leads]}}\n"
AUDITED = (
    "version: 1\ntools: {{a: {{redact: [args.card], risk: {{reversible: true}}, otherwise: {{then: audit, {}}}}}}}"
)


def mistakes(text: str) -> list[tuple[str, int, int, str]]:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text)
    return [(m.where, m.line, m.column, m.message) for m in caught.value.mistakes]


MISTAKES = {
    "unknown key": ("version: 1\ndefualt: deny", ("defualt", 2, 1, "did you mean default?")),
    "unknown key of a rule": ("version: 1\ntools:\n  a:\n    rules:\n      - {then: deny, wen: x}", ("tools.a.rules.0.wen", 5, 22, "did you mean when?")),
    "unknown key of a queue": ("version: 1\nqueues: {q: {windw: 2h}}", ("queues.q.windw", 2, 14, "did you mean window?")),
    "a key of a later format": ("version: 1\naudit: {}", ("audit", 2, 1, "unknown key")),
    "duplicate key": ("version: 1\ntools:\n  a: allow\n  b: deny\n  a: deny", ("tools.a", 5, 3, "already stands in line 3")),
    "duplicate key in a flow": ("version: 1\ntools: {a: {risk: {}, risk: {}}}", ("tools.a.risk", 2, 23, "duplicate key")),
    "no version": ("default: review", ("version", 1, 1, "is missing")),
    "another version": ("version: 2", ("version", 1, 10, "should be 1")),
    "default: allow": ("version: 1\ndefault: allow", ("default", 2, 10, "never allowed")),
    "default: no": ("version: 1\ndefault: no", ("default", 2, 10, "should be 'review' or 'deny'")),
    "allow for any tool": ('version: 1\ntools:\n  "*": allow', ("tools.*.otherwise", 3, 8, "never allow")),
    "a rule that allows any tool": (
        'version: 1\ntools:\n  "*":\n    rules:\n      - {when: "true", then: allow}',
        ("tools.*.rules.0.then", 5, 30, "never allow"),
    ),
    "allow on timeout": ("version: 1\nqueues: {q: {on_timeout: allow}}", ("queues.q.on_timeout", 2, 26, "silence is no")),
    "execute on timeout": (
        "version: 1\ntools:\n  a:\n    otherwise: {then: review, on_timeout: execute}",
        ("tools.a.otherwise.on_timeout", 4, 43, "silence is no"),
    ),
    "audit for any tool": ('version: 1\ntools: {"*": {undo: true, otherwise: audit}}', ("tools.*.otherwise", 2, 38, "never audit")),
    "audit by default": ("version: 1\ndefault: audit", ("default", 2, 10, "should be 'review' or 'deny'")),
    "an audit of what nobody calls reversible": ("version: 1\ntools:\n  a: audit", ("tools.a.otherwise", 3, 6, "the entry must say `risk: {reversible: true}`")),
    "an audit of what is irreversible": (
        "version: 1\ntools: {a: {risk: {reversible: false}, rules: [{then: audit}]}}",
        ("tools.a.rules.0.then", 2, 55, "audit looks only afterwards"),
    ),
    "an undo that nobody declares": (AUDITED.format("on_flag: undo"), ("tools.a.otherwise.on_flag", 2, 94, "write `undo: true`")),
    "a flag that does something else": (AUDITED.format("on_flag: call"), ("tools.a.otherwise.on_flag", 2, 94, "alert, undo, or a mapping with a tool")),
    "a flag that calls nothing": (AUDITED.format("on_flag: {args: {}}"), ("tools.a.otherwise.on_flag", 2, 94, "alert, undo, or a mapping with a tool")),
    "an unknown key of a flag": (AUDITED.format("on_flag: {tool: x, arg: {}}"), ("tools.a.otherwise.on_flag.arg", 2, 104, "did you mean args?")),
    "a flag that quotes the actor": (AUDITED.format("on_flag: {tool: x, args: {by: '{actor}'}}"), ("tools.a.otherwise.on_flag.args", 2, 110, "'{actor}' is not a place")),
    "a flag that quotes an unknown variable": (AUDITED.format("on_flag: {tool: x, args: {by: ['{vars.q}']}}"), ("tools.a.otherwise.on_flag.args", 2, 110, "unknown vars.q")),
    "a flag that tells a secret": (
        AUDITED.format("on_flag: {tool: x, args: {a: 'see {args.card.0}'}}"),
        ("tools.a.otherwise.on_flag.args", 2, 110, "{args.card.0} is redacted here"),
    ),
    "a sample of more than all": (AUDITED.format("sample: 1.5"), ("tools.a.otherwise.sample", 2, 93, "a number from 0 to 1")),
    "a sample: true": (AUDITED.format("sample: true"), ("tools.a.otherwise.sample", 2, 93, "a number from 0 to 1")),
    "a sample of stakes that are none": (AUDITED.format("sample: {hihg: 1}"), ("tools.a.otherwise.sample.hihg", 2, 94, "did you mean high?")),
    "a sample below nothing": (AUDITED.format("sample: {low: -0.1}"), ("tools.a.otherwise.sample.low", 2, 99, "greater than or equal to 0")),
    "a negative count of new ones": (AUDITED.format("new_until: -1"), ("tools.a.otherwise.new_until", 2, 96, "greater than or equal to 0")),
    "a term of a review in an audit": (AUDITED.format("use_within: 1h"), ("tools.a.otherwise.use_within", 2, 85, "it has run before anybody looks")),
    "a timeout of an audit": (AUDITED.format("on_timeout: deny"), ("tools.a.otherwise.on_timeout", 2, 85, "it has run before anybody looks")),
    "an audit that records": (AUDITED.format("record: true"), ("tools.a.otherwise.record", 2, 85, "always recorded")),
    "an unknown queue of an audit": (AUDITED.format("queue: q"), ("tools.a.otherwise.queue", 2, 92, "unknown queue q")),
    "a sample of an allow": ("version: 1\ntools: {a: {otherwise: {then: allow, sample: 1}}}", ("tools.a.otherwise.sample", 2, 38, "nobody looks afterwards")),
    "a flag of a review": ("version: 1\ntools: {a: {otherwise: {then: review, on_flag: alert}}}", ("tools.a.otherwise.on_flag", 2, 39, "nobody looks afterwards")),
    "bad CEL": ('version: 1\ntools:\n  a:\n    rules:\n      - {when: "args.x >", then: deny}', ("tools.a.rules.0.when", 5, 25, "mismatched input")),
    "bad CEL in plain text": ("version: 1\ntools:\n  a:\n    rules:\n      - when: foo == 1\n        then: deny", ("tools.a.rules.0.when", 5, 15, "undeclared reference to 'foo'")),
    "a static type error": ("version: 1\ntools:\n  a:\n    rules:\n      - when: tool == 5\n        then: deny", ("tools.a.rules.0.when", 5, 20, "no matching overload")),
    "a decimal beside a whole number": (
        "version: 1\ntools:\n  a:\n    rules:\n      - when: confidence < 1\n        then: deny",
        ("tools.a.rules.0.when", 5, 26, "write whole numbers as 1.0"),
    ),
    "an expression that is no condition": ("version: 1\ntools:\n  a:\n    rules:\n      - when: 1 + 1\n        then: deny", ("tools.a.rules.0.when", 5, 15, "gives int; it must be true or false")),
    "an expression in a block": (
        "version: 1\ntools:\n  a:\n    rules:\n      - when: |\n          true &&\n          foo\n        then: deny",
        ("tools.a.rules.0.when", 5, 15, "(line 2, column 1 of the expression)"),
    ),
    "an empty expression": ('version: 1\ntools:\n  a:\n    rules:\n      - {when: "", then: deny}', ("tools.a.rules.0.when", 5, 16, "at least 1 character")),
    "an expression without end": (f"version: 1\ntools: {{a: {{rules: [{{when: '{'(' * 200}1', then: deny}}]}}}}", ("tools.a.rules.0.when", 2, 29, "recursion limit")),
    "an unknown variable": ("version: 1\nvars: {a: 1}\ntools: {t: {rules: [{when: vars.b == 1, then: deny}]}}", ("tools.t.rules.0.when", 3, 28, "unknown vars.b; vars holds a")),
    "an unknown count": ("version: 1\ntools: {t: {rules: [{when: history.run.t > 1, then: deny}]}}", ("tools.t.rules.0.when", 2, 28, "unknown history.run")),
    "an unknown risk": ("version: 1\ntools: {t: {rules: [{when: risk.steaks == 1, then: deny}]}}", ("tools.t.rules.0.when", 2, 28, "unknown risk.steaks")),
    "strategic supervision of what cannot be taken back": ("version: 1\nsupervision: strategic\ntools:\n  a: review", ("tools.a", 4, 3, "nothing says that it is reversible")),
    "strategic supervision of one tool": ("version: 1\ntools:\n  a: {supervision: strategic, risk: {reversible: false}}", ("tools.a", 3, 3, "write `supervision: hybrid`")),
    "a question that is allowed": ("version: 1\nquestions:\n  which: allow", ("questions.which.otherwise", 3, 10, "nobody would answer")),
    "a question that a rule allows": ("version: 1\nquestions:\n  which: {rules: [{when: 'true', then: allow}]}", ("questions.which.rules.0.then", 3, 40, "review or deny, never allow")),
    "an idempotent question": ("version: 1\nquestions:\n  which: {idempotent: true}", ("questions.which.idempotent", 3, 11, "nothing of it runs")),
    "a question put off": ("version: 1\nquestions:\n  which: {supervision: tactical}", ("questions.which.supervision", 3, 11, "nothing of it runs")),
    "a question's unknown key": ("version: 1\nquestions:\n  which: {describes: x}", ("questions.which.describes", 3, 11, "did you mean describe?")),
    "an unknown supervision": ("version: 1\nsupervision: lax", ("supervision", 2, 14, "should be 'tactical'")),
    "unknown queue": ("version: 1\ntools:\n  a:\n    otherwise: {then: review, queue: q}", ("tools.a.otherwise.queue", 4, 38, "unknown queue q")),
    "unknown person": (PEOPLE + "queues: {q: {owner: ana, reviewers: [ana, bob], backup: [ana]}}", ("queues.q.reviewers.1", 3, 43, "unknown person bob")),
    "unknown group": (PEOPLE + "queues: {q: {owner: ana, reviewers: [group:board], backup: [ana]}}", ("queues.q.reviewers.0", 3, 38, "unknown group board")),
    "unknown backup": (PEOPLE + "queues: {q: {owner: ana, backup: [group:board]}}", ("queues.q.backup.0", 3, 35, "unknown group board")),
    "unknown owner": (PEOPLE + "queues: {q: {owner: bob, backup: [ana]}}", ("queues.q.owner", 3, 21, "unknown person bob")),
    "a group without people": ("version: 1\nqueues: {q: {reviewers: [group:finance]}}", ("queues.q.reviewers.0", 2, 26, "unknown group finance")),
    "a queue without owner": (PEOPLE + "queues:\n  q: {reviewers: [ana], backup: [ana]}", ("queues.q", 4, 3, "has no owner")),
    "a queue without backup": (PEOPLE + "queues:\n  q: {reviewers: [ana], owner: ana}", ("queues.q", 4, 3, "has no backup")),
    "a person named as a group": ("version: 1\npeople: {'group:x': {}}", ("people.group:x", 2, 10, "cannot begin with")),
    "no window": ("version: 1\nqueues: {q: {window: 0s}}", ("queues.q.window", 2, 22, "is not a duration")),
    "a negative window": ("version: 1\nqueues: {q: {use_within: -1h}}", ("queues.q.use_within", 2, 26, "is not a duration")),
    "a window in a number": ("version: 1\nqueues: {q: {window: 60}}", ("queues.q.window", 2, 22, "is not a duration")),
    "a window of years": ("version: 1\nqueues: {q: {window: 999999999d}}", ("queues.q.window", 2, 22, "longer than 366d")),
    "more approvals than people": (
        PEOPLE + "queues: {q: {owner: ana, reviewers: [group:leads], backup: [ana]}}\ntools: {a: {otherwise: {then: review, queue: q, approvals: 2}}}",
        ("tools.a.otherwise.approvals", 4, 60, "2 approvals can never come: 1 may decide in queue q"),
    ),
    "more rejections than people": (PEOPLE + "queues: {q: {owner: ana, rejections: 3, backup: [ana]}}", ("queues.q.rejections", 3, 38, "3 rejections can never come")),
    "no approvals": ("version: 1\nqueues: {q: {approvals: 0}}", ("queues.q.approvals", 2, 25, "should be a number from 1 to 100")),
    "approvals: true": ("version: 1\nqueues: {q: {approvals: true}}", ("queues.q.approvals", 2, 25, "should be a number from 1 to 100")),
    "approvals: '2'": ("version: 1\nqueues: {q: {approvals: '2'}}", ("queues.q.approvals", 2, 25, "should be a number from 1 to 100")),
    "not: nobody": ("version: 1\nqueues: {q: {not: [nobody]}}", ("queues.q.not.0", 2, 20, "should be 'requester', 'author' or 'previous_reviser'")),
    "a requirement of an allow": ("version: 1\ntools:\n  a:\n    otherwise: {then: allow, approvals: 2}", ("tools.a.otherwise.approvals", 4, 30, "means nothing beside `then: allow`")),
    "a queue of a deny": ("version: 1\ntools:\n  a:\n    otherwise: {then: deny, queue: x}", ("tools.a.otherwise.queue", 4, 29, "means nothing beside `then: deny`")),
    "once of a review": ("version: 1\ntools:\n  a:\n    otherwise: {then: review, once: true}", ("tools.a.otherwise.once", 4, 31, "always recorded")),
    "record of a deny": ("version: 1\ntools:\n  a:\n    otherwise: {then: deny, record: true}", ("tools.a.otherwise.record", 4, 29, "always recorded")),
    "a rule out of reach": ("version: 1\ntools:\n  a:\n    rules:\n      - {then: review}\n      - {when: 'true', then: allow}", ("tools.a.rules.1", 6, 9, "never reached: rule 0 has no `when`")),
    "a rule without then": ("version: 1\ntools:\n  a:\n    rules:\n      - {when: 'true'}", ("tools.a.rules.0.then", 5, 9, "is missing")),
    "an unknown verdict": ("version: 1\ntools: {a: maybe}", ("tools.a", 2, 12, "should be a mapping")),
    "a reserved reason code": ("version: 1\ntools: {a: {otherwise: {then: deny, reason_code: policy_error}}}", ("tools.a.otherwise.reason_code", 2, 50, "choose another")),
    "a reason code in words": ("version: 1\ntools: {a: {otherwise: {then: deny, reason_code: Too large}}}", ("tools.a.otherwise.reason_code", 2, 50, "match pattern")),
    "another wildcard": ("version: 1\ntools: {'send_?': deny}", ("tools.send_?", 2, 9, "* is the only wildcard")),
    "two stars": ("version: 1\ntools: {'**': deny}", ("tools.**", 2, 9, "no two stand together")),
    "a tool without a name": ("version: 1\ntools: {'': deny}", ("tools.", 2, 9, "at least 1 character")),
    "a secret that is no argument": ("version: 1\ntools: {a: {redact: [card]}}", ("tools.a.redact.0", 2, 22, "write args.NAME")),
    "a secret by number": ("version: 1\ntools: {a: {redact: [args.items.0.pin]}}", ("tools.a.redact.0", 2, 22, "without a number")),
    "all secrets": ("version: 1\ntools: {a: {redact: [args]}}", ("tools.a.redact.0", 2, 22, "write args.NAME")),
    "a description with a format": ("version: 1\ntools: {a: {describe: '{args.x!r}'}}", ("tools.a.describe", 2, 23, "is not a place")),
    "a description of the actor": ("version: 1\ntools: {a: {describe: 'by {actor}'}}", ("tools.a.describe", 2, 23, "'{actor}' is not a place")),
    "a description with a lone brace": ("version: 1\ntools: {a: {describe: 'a } b'}}", ("tools.a.describe", 2, 23, "'}' is not a place")),
    "a description of all arguments": ("version: 1\ntools: {a: {describe: '{args}'}}", ("tools.a.describe", 2, 23, "{args} is not a place")),
    "a description of an unknown variable": ("version: 1\ntools: {a: {describe: '{vars.x}'}}", ("tools.a.describe", 2, 23, "unknown vars.x")),
    "a risk in other words": ("version: 1\ntools: {a: {risk: {stakes: huge}}}", ("tools.a.risk.stakes", 2, 28, "'low', 'medium' or 'high'")),
    "a variable's name": ("version: 1\nvars: {a-b: 1}", ("vars.a-b", 2, 8, "match pattern")),
    "a variable beyond comparison": ("version: 1\nvars: {a: .nan}", ("vars.a", 2, 11, "not a number that can be compared")),
    "a variable beyond 64 bits": ("version: 1\nvars: {a: 9223372036854775808}", ("vars.a", 2, 11, "beyond 64 bits")),
    "people in a list": ("version: 1\npeople: [ana]", ("people", 2, 9, "should be a mapping")),
    "an alias": ("version: 1\ntools:\n  a: &x allow\n  b: *x", ("file", 3, 6, "anchors and aliases are not taken")),
    "a tag": ("version: 1\nvars: {a: !!python/object/apply:os.system [ls]}", ("file", 2, 11, "is not taken")),
    "a tag of YAML": ("version: 1\nvars: {a: !!binary aGk=}", ("file", 2, 11, "is not taken")),
    "a tab": ("version: 1\ntools:\n\ta: allow", ("file", 3, 1, "is not YAML")),
    "an open quote": ("version: 1\nvars: {a: 'b}", ("file", 2, 14, "is not YAML")),
    "a second document": ("version: 1\n---\nversion: 1", ("file", 2, 1, "second document")),
    "an escaped surrogate": ('version: 1\nvars: {a: "\\ud800"}', ("vars.a", 2, 11, "unprintable character '\\ud800'")),
    "an escaped control": ('version: 1\nvars: {a: "\\x07"}', ("vars.a", 2, 11, "unprintable character '\\x07'")),
    "a bidirectional mark": ("version: 1\n# \u2028", ("file", 2, 3, "unprintable character '\\u2028'")),
    "a merge": ("version: 1\ntools: {a: {<<: {risk: {}}}}", ("tools.a.<<", 2, 13, "unknown key")),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_where_it_stands(name: str) -> None:
    text, (where, line, column, words) = MISTAKES[name]
    found = mistakes(text)
    assert len(found) == 1, found
    assert found[0][:3] == (where, line, column)
    assert words in found[0][3]


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes(
        PEOPLE
        + "queues: {q: {owner: bob, windw: 1h, on_timeout: allow, backup: [ana]}}\n"
        + "default: allow\n"
        + "tools:\n"
        + "  a:\n"
        + "    rules:\n"
        + "      - {when: 'args.x >', then: maybe}\n"
        + "      - {when: 'tool == 5', then: review, queue: nowhere}\n"
        + "  b: allow\n"
        + "  b: deny\n"
    )
    assert [line for _, line, _, _ in found] == [3, 3, 3, 4, 8, 8, 9, 9, 11]


def test_the_error_reads_as_file_line_column_path_and_words() -> None:
    with pytest.raises(
        PolicyError, match=r"^signoff.yaml:2:10 default: an unlisted tool is never allowed; write review or deny$"
    ):
        Policy.parse("version: 1\ndefault: allow")


def test_the_same_mistakes_from_python_have_no_line() -> None:
    with pytest.raises(
        PolicyError, match=r"^Policy\(\.\.\.\): tools.a.rules.0.when: undeclared reference to 'foo'$"
    ) as caught:
        Policy(tools={"a": {"rules": [{"when": "foo", "then": "deny"}]}})
    assert (caught.value.mistakes[0].line, caught.value.mistakes[0].column) == (0, 0)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan"), 2**64, "\ud800", {"k": {"\x00": 1}}])
def test_what_yaml_could_not_hold_is_refused_from_python_too(value: object) -> None:
    with pytest.raises(PolicyError, match=r"vars\.a"):
        Policy(vars={"a": value})


def test_data_that_holds_itself_is_refused() -> None:
    endless: dict = {}
    endless["again"] = endless
    with pytest.raises(PolicyError, match="nested more than"):
        Policy(vars={"a": endless})


BOMB = "version: 1\nvars:\n  a: &a [x, x]\n" + "".join(
    f"  {chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)

GARBAGE = {
    "nothing": (b"", "is empty"),
    "only a comment": (b"# nothing\n", "is empty"),
    "an empty document": (b"---\n...\n", "is not a mapping"),
    "a list": (b"- version: 1", "is not a mapping"),
    "a text": (b"allow", "is not a mapping"),
    "a number": (b"1", "is not a mapping"),
    "null": (b"null", "is not a mapping"),
    "a key that is a list": (b"? [a]\n: 1", "a key must be a plain text"),
    "an alias bomb": (BOMB.encode(), "anchors and aliases are not taken"),
    "a merge bomb": (b"a: &a {b: 1}\nc: {<<: [*a, *a]}", "anchors and aliases are not taken"),
    "a recursive alias": (b"version: 1\nvars: &v {a: *v}", "anchors and aliases are not taken"),
    "an unknown alias": (b"version: *v", "anchors and aliases are not taken"),
    "UTF-16": ("version: 1".encode("utf-16"), "is not UTF-8"),
    "Latin-1": ("version: 1 # é".encode("latin-1"), "is not UTF-8"),
    "a NUL": (b"version: 1\x00", "unprintable character '\\x00'"),
    "binary": (bytes(range(256)), "UTF-8"),
    "deep flow": (b"version: 1\nvars: " + b"[" * 5000, "nested more than"),
    "deep maps": (b"{a: " * 5000, "nested more than"),
    "deep block": (b"\n".join(b" " * n + b"a:" for n in range(500)), "nested more than"),
    "too long": (b"#" * 1_000_001, "is longer than 1,000,000 characters"),
    "a long number": (b"version: " + b"1" * 100_000, "should be 1"),
    "a directive": (b"%YAML 3.7\n---\nversion: 1\n", ""),
    "an old YAML": (b"%YAML 1.1\n---\nversion: 1\ndefault: no\n", "should be 'review' or 'deny'"),
    "a directive of nobody": (b"%TAG ! tag:x,2000:\n---\n!foo bar", "is not taken"),
    "an unfinished flow": (b"{version: 1", "is not YAML"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_in_plain_words(name: str, tmp_path: Path) -> None:
    content, words = GARBAGE[name]
    path = tmp_path / "signoff.yaml"
    path.write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000


def test_a_large_policy_loads_in_seconds() -> None:
    text = "version: 1\ntools:\n" + "".join(
        f"  tool_{n}:\n    rules: [{{when: 'args.n > {n}', then: deny}}]\n" for n in range(1000)
    )
    assert Policy.parse(text).version


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "signoff.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\r\ntools:\r\n  a: allow\r\n")
    assert Policy.load(path).version == Policy(tools={"a": "allow"}).version


def test_a_file_that_cannot_be_read_is_a_policy_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path, "nul\x00byte", os.fspath(tmp_path / ("x" * 5000))):
        with pytest.raises(PolicyError, match="cannot be read"):
            Policy.load(path)


def test_words_that_yaml_1_1_would_bend_stay_texts() -> None:
    policy = Policy.parse(
        "version: 1\nvars: {country: no, day: 2024-01-01, time: 12:30:00, code: 012, hex: 0x1F, on: off, empty: , tilde: ~}"
    )
    assert '"country": "no"' in policy.document
    assert '"day": "2024-01-01"' in policy.document
    assert '"time": "12:30:00"' in policy.document
    assert '"code": 12' in policy.document
    assert '"hex": 31' in policy.document
    assert '"on": "off"' in policy.document
    assert '"empty": null' in policy.document
