"""Whoever alters the record is found out; whoever has contents erased is not called a forger."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import LedgerCorrupt, LedgerError, Policy, Signoff
from langgraph_signoff.audit import verify
from langgraph_signoff.ledger import Draft, Query, open_ledger
from langgraph_signoff.ledger.sqlite import SqliteLedger
from support import Clock, agent, forge, open_ticket

PARTS = 8  # of the file, for a machine with several cores
CALLS = [("send", {"to": "bob"}), ("send", {"to": "eve"}), ("send", {"to": "carol"})]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small ledger in which everything happened once, closed; and the seal that was noted in its middle."""
    path = tmp_path_factory.mktemp("record") / "ledger.db"

    def send(to: str) -> str:
        """Sends."""
        return f"sent to {to}"

    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA page_size = 512")  # fewer bytes of free space to flip
        db.execute("VACUUM")
    signoff = Signoff(path)
    with agent(signoff, [send], [CALLS, "Done."]) as graph:
        run = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        one, two, three = run.tickets
        signoff.approve(one, by="ana", reason="known")
        signoff.revise(two, by="ana", args={"to": "eva"})
        noted = signoff.seal()
        signoff.reject(three, by="cem", reason="too late")
        assert signoff.resume(graph, thread_id="t").status == "completed"
    signoff.seal()
    signoff.comment(one, by="ana", text="done")
    waiting = open_ticket(signoff)
    signoff.withdraw(waiting, by="ana")
    signoff.erase(waiting, by="dpo", reason="asked for")
    signoff.close()
    return path, noted


@pytest.fixture
def path(record: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the record."""
    return Path(shutil.copy(record[0], tmp_path / "ledger.db"))


def broken(path: Path, noted: str | None = None) -> list[str]:
    """What a check of the file names, or the error that it raises."""
    try:
        with closing(open_ledger(str(path))) as ledger:
            return verify(ledger, noted_seal=noted).broken
    except LedgerError as error:
        return [f"{type(error).__name__}: {error}"]


def content(path: Path) -> list[Any]:
    """All that the ledger tells."""
    with closing(open_ledger(str(path))) as ledger:
        return [list(ledger.scan()), list(ledger.all_rows()), list(ledger.policies())]


def test_a_whole_record_is_whole_and_says_what_was_erased(record: tuple[Path, str]) -> None:
    path, noted = record
    with closing(open_ledger(str(path))) as ledger:
        report = verify(ledger, noted_seal=noted)
    assert report.broken == []
    assert (report.tickets, report.erased, report.unsealed) == (4, 2, 4)
    assert report.seal
    assert report.seal != noted
    assert broken(path, noted[:12]) == []


@pytest.mark.parametrize("part", range(PARTS))
def test_every_byte_that_is_flipped_is_found_or_tells_nothing(
    record: tuple[Path, str], path: Path, part: int, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    bytes_, told = record[0].read_bytes(), content(path)
    every = range(part, len(bytes_), PARTS)
    places = every if request.config.getoption("--long") else sorted(rng.sample(every, 40))
    found = silent = 0
    for place in places:
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        flipped = bytearray(bytes_)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        if broken(path):
            found += 1
        else:
            silent += 1
            assert content(path) == told, f"byte {place} changed what the record tells, unseen"
    assert found > len(places) / 10, "hardly any flip was noticed: the record has moved elsewhere"
    assert silent


SEALED = "SELECT stream FROM entries WHERE kind = 'claimed' LIMIT 1"
UNSEALED = "SELECT stream FROM entries WHERE kind = 'withdrawn'"

FORGERIES: dict[str, list[str]] = {
    "an entry removed": ["DELETE FROM entries WHERE kind = 'decided' AND position = (SELECT min(position) FROM entries WHERE kind = 'decided')"],
    "the last entry of a ticket removed": ["DELETE FROM entries WHERE kind = 'executed' AND position = (SELECT max(position) FROM entries WHERE kind = 'executed')"],
    "an entry changed": ["UPDATE entries SET body = replace(body, 'ana', 'eve') WHERE kind = 'decided'"],
    "an entry's time changed": ["UPDATE entries SET at = replace(at, '20', '19') WHERE position = 1"],
    "two entries swapped": [
        "UPDATE entries SET position = -1 WHERE position = 2",
        "UPDATE entries SET position = 2 WHERE position = 4",
        "UPDATE entries SET position = 4 WHERE position = -1",
    ],
    "a reason changed": ["UPDATE contents SET data = replace(data, 'known', 'blown') WHERE data LIKE '%known%'"],
    "contents put in place of others": [
        "UPDATE contents SET data = (SELECT data FROM contents WHERE data LIKE '%too late%') WHERE data LIKE '%known%'"
    ],
    "contents taken away in silence": ["UPDATE contents SET data = NULL, salt = NULL WHERE data LIKE '%known%'"],
    "contents half taken away": ["UPDATE contents SET salt = NULL WHERE data LIKE '%known%'"],
    "contents removed": ["DELETE FROM contents WHERE data LIKE '%known%'"],
    "a sealed ticket removed": [
        f"DELETE FROM standings WHERE id IN ({SEALED})", f"DELETE FROM entries WHERE stream IN ({SEALED})",
    ],
    "an unsealed ticket removed": [
        f"DELETE FROM standings WHERE id IN ({UNSEALED})", f"DELETE FROM entries WHERE kind <> 'erased' AND stream IN ({UNSEALED})",
    ],
    "a standing changed": ["UPDATE standings SET standing = 'pending' WHERE standing = 'rejected'"],
    "a due time changed": ["UPDATE standings SET priority = 9 WHERE standing = 'executed'"],
    "a standing removed": ["DELETE FROM standings WHERE standing = 'rejected'"],
    "a standing added": ["CREATE TEMP TABLE forged AS SELECT * FROM standings LIMIT 1", "UPDATE forged SET id = 'f' || substr(id, 2)",
                         "INSERT INTO standings SELECT * FROM forged"],
    "a policy changed": ["UPDATE policies SET document = document || ' '"],
    "a policy removed": ["DELETE FROM policies"],
    "a seal changed": ["UPDATE entries SET body = replace(body, 'upto', 'upon') WHERE kind = 'sealed'"],
    "a seal removed": ["DELETE FROM entries WHERE kind = 'sealed' AND seq = 1"],
}  # fmt: skip


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forgery_is_found(path: Path, what: str) -> None:
    forge(path, *FORGERIES[what])
    assert broken(path)


@pytest.mark.parametrize("trigger", ["entries_keep", "entries_stay", "contents_keep", "contents_stay", "policies_keep"])
def test_a_dropped_trigger_is_found(path: Path, trigger: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"DROP TRIGGER {trigger}")
    assert any("triggers" in text for text in broken(path))


def renumbered(where: str) -> list[str]:
    """A removal whose traces in the numbering are wiped."""
    return [
        f"DELETE FROM standings WHERE id IN ({where})",
        f"CREATE TEMP TABLE gone AS {where}",
        "DELETE FROM entries WHERE stream IN (SELECT stream FROM gone)",
        "CREATE TEMP TABLE kept AS SELECT * FROM entries ORDER BY position",
        "DELETE FROM entries",
        "INSERT INTO entries SELECT rowid, stream, seq, at, kind, body, contents_hash, prev, hash FROM kept ORDER BY rowid",
    ]


def test_a_sealed_ticket_whose_every_trace_is_wiped_is_missed_by_its_seal(path: Path) -> None:
    forge(path, *renumbered(SEALED))
    assert any("seal" in text and "does not hold" in text for text in broken(path))


def test_the_tail_cut_off_is_found_by_the_noted_seal_alone(record: tuple[Path, str], path: Path) -> None:
    with closing(open_ledger(str(path))) as ledger:
        newest = verify(ledger).seal
        first = next(position for position, entry in ledger.scan() if entry.hash == record[1])
        later = {entry.stream for position, entry in ledger.scan() if position > first}
    # The record as it was before its second half, standings and all: nothing in it tells of what is gone.
    forge(
        path,
        f"DELETE FROM entries WHERE position > {first}",
        *[f"DELETE FROM standings WHERE id = '{s}'" for s in later if s != "seals"],
    )
    with closing(open_ledger(str(path))) as ledger:
        for row_ in _rows_of(ledger):
            ledger.append([], [row_])
    assert broken(path) == []
    assert broken(path, record[1]) == []
    assert any("noted seal" in text for text in broken(path, newest))


def _rows_of(ledger: Any) -> Iterator[Any]:
    from langgraph_signoff import law
    from langgraph_signoff.records import to_row

    for stream in {entry.stream for _, entry in ledger.scan()} - {"seals"}:
        yield to_row(law.recorded(ledger.history(stream)))


def test_the_first_broken_entry_comes_first(path: Path) -> None:
    forge(path, "UPDATE entries SET at = 'never' WHERE position IN (3, 5)")
    with closing(sqlite3.connect(path)) as db:
        [(stream,)] = db.execute("SELECT stream FROM entries WHERE position = 3")
    assert broken(path)[0].startswith(f"entry {stream[:12]}/")


def test_erasing_is_told_and_not_called_broken(path: Path) -> None:
    signoff = Signoff(path)
    whole = signoff.verify()
    executed = next(t for t in signoff.find(_every()) if t.standing == "executed")
    signoff.erase(executed, by="dpo", reason="request 17")
    after = signoff.verify()
    assert after.broken == []
    assert after.erased > whole.erased
    assert signoff.ticket(executed.id).erased
    signoff.close()


def _every() -> Any:
    from langgraph_signoff.ledger import Query

    return Query()


# Seals ---------------------------------------------------------------------------------------------------------------------


def test_nothing_new_is_not_sealed_again(tmp_path: Path) -> None:
    signoff = Signoff(tmp_path / "ledger.db", clock=Clock())
    assert signoff.seal() == ""
    open_ticket(signoff)
    first = signoff.seal()
    assert signoff.seal() == first
    open_ticket(signoff)
    assert signoff.seal() != first
    assert signoff.verify(seal=first).is_whole
    signoff.close()


def test_a_ticket_that_is_opened_during_the_check_is_not_broken(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Signoff(path)) as writer:

        class Overtaken(SqliteLedger):
            """Somebody opens the first ticket just after the policies were read."""

            def policies(self) -> Iterator[tuple[str, str]]:
                yield from super().policies()
                open_ticket(writer)

        with closing(Overtaken(path)) as ledger:
            report = verify(ledger)
        assert (report.broken, report.tickets) == ([], 0)
        assert len(writer.pending()) == 1


def test_seals_and_checks_beside_writers_find_nothing_broken(tmp_path: Path) -> None:
    path, stop = tmp_path / "ledger.db", threading.Event()
    failed, reports, sealed = list[Exception](), list[list[str]](), set[str]()

    def loop(act: Callable[[Signoff], None]) -> None:
        signoff = Signoff(path)
        try:
            while not stop.is_set():
                act(signoff)
        except Exception as error:
            failed.append(error)
        finally:
            signoff.close()

    def write(signoff: Signoff) -> None:
        signoff.approve(open_ticket(signoff), by="ana")

    acts = [
        write,
        write,
        lambda s: sealed.add(s.seal()),
        lambda s: sealed.add(s.seal()),
        lambda s: reports.append(s.verify().broken),
    ]
    Signoff(path).close()
    threads = [threading.Thread(target=loop, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    stop.wait(2.5)
    stop.set()
    for thread in threads:
        thread.join()
    signoff = Signoff(path)
    assert failed == []
    assert len(sealed) > 5
    assert len(reports) > 2
    assert [text for report in reports for text in report] == []
    assert signoff.verify().broken == []
    assert all(signoff.verify(seal=seal).is_whole for seal in list(sealed - {""})[:3])
    signoff.close()


def test_a_policy_that_only_an_earlier_generation_was_ruled_under_is_missed_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Signoff(path, policy=Policy(tools={"send": "review"}))) as signoff:
        ticket = open_ticket(signoff)
        first = signoff.policy.version
    with closing(Signoff(path, policy=Policy(tools={"send": "review", "look": "allow"}))) as signoff:
        signoff.revise(ticket, by="ana", args={"amount": 6})
    assert broken(path) == []
    forge(path, f"DELETE FROM policies WHERE version = '{first}'")
    assert any(first[:12] in text for text in broken(path))


def test_an_allowed_call_that_is_asked_about_after_all_verifies(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Signoff(path, policy=Policy(tools={"send": "review"}))) as signoff:
        ticket = open_ticket(signoff, mode="allow", once=True)
        case, _ = signoff.claims.claim(ticket.id)
        ruling = case.ruling.model_copy(update={"mode": "review"})
        edit = {"args": case.args, "parsed": case.parsed, "digest": "0" * 64}
        signoff.claims.give_back(case, Draft("amended", {"ruling": ruling.model_dump(mode="json")}, {"edit": edit}))
        assert signoff.ticket(ticket.id).standing == "pending"
    assert broken(path) == []


def test_a_listed_ticket_without_entries_is_a_damaged_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Signoff(path)) as signoff:
        ticket = open_ticket(signoff)
        forge(path, f"DELETE FROM entries WHERE stream = '{ticket.id}'")
        with pytest.raises(LedgerCorrupt, match=ticket.id):
            signoff.pending()


def test_a_damaged_ticket_keeps_no_other_from_its_end(tmp_path: Path) -> None:
    path, clock = tmp_path / "ledger.db", Clock()
    with closing(Signoff(path, clock=clock)) as signoff:
        damaged, other = open_ticket(signoff), open_ticket(signoff)
        forge(path, f"UPDATE entries SET body = '[]' WHERE stream = '{damaged.id}'")
        clock.advance(days=2)
        with pytest.raises(LedgerCorrupt):
            signoff.expire()
        assert signoff.ticket(other.id).standing == "expired"
        assert signoff.ledger.rows([other.id])[other.id].standing == "expired"
        with pytest.raises(LedgerCorrupt):
            signoff.find(Query())
