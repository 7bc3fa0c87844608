"""What every ledger backend does, and what SQLite's does when its file cannot be used."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langgraph_signoff import LedgerCorrupt, LedgerError, LedgerUnavailable, LedgerVersion, Signoff, StaleTicket
from langgraph_signoff.desk import Desk
from langgraph_signoff.ledger import Draft, Entry, Lease, Ledger, Query, Row, link, open_ledger, stamp
from langgraph_signoff.ledger import sqlite_file as backend
from support import NOW, Clock, agent, open_ticket, opening

BACKENDS: dict[str, Callable[[Path], str]] = {"sqlite": lambda folder: str(folder / "ledger.db")}


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger of each kind is."""
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
def ledger(place: str) -> Iterator[Ledger]:
    with closing(open_ledger(place)) as ledger:
        yield ledger


def row(id: str, **more: Any) -> Row:
    """A row of standings; what it does not say does not matter."""
    plain = {
        "thread_id": "t", "standing": "pending", "queue": "default", "priority": 0, "due_at": stamp(NOW),
        "opened_at": stamp(NOW), "tool": "send", "graph": "", "reason_code": "", "seq": 1, "digest": "d", "turn": "u",
        "message_id": "m", "previous": None, "round": 1, "reviewed": True, "told": False,
    }  # fmt: skip
    return Row(id=id, **(plain | more))


def entries(stream: str, *drafts: Draft, last: Entry | None = None) -> list[Entry]:
    return link(stream, last, list(drafts), NOW)


def pressing(ledger: Ledger, **query: Any) -> list[str]:
    ids = [row.id for row in ledger.find(Query(**query))]
    assert list(ledger.histories(Query(**query))) == ids
    return ids


# Every backend -------------------------------------------------------------------------------------------------------------


def test_what_was_appended_is_read_back_in_order(ledger: Ledger) -> None:
    made = entries("s", Draft("opened", {"a": 1}, {"secret": "☃\ud800"}), Draft("closed", {"b": None}))
    ledger.append(made[:1], [row("s")], [("v1", "document")])
    ledger.append(made[1:], [row("s", standing="approved", seq=2)], [("v1", "document")])
    assert ledger.history("s") == made
    assert made[0].contents == {"secret": "☃\ud800"}
    assert [entry for _, entry in ledger.scan()] == made
    assert [position for position, _ in ledger.scan(after=1)] == [2]
    assert ledger.rows(["s", "none"]) == {"s": row("s", standing="approved", seq=2)}
    assert list(ledger.all_rows()) == [row("s", standing="approved", seq=2)]
    assert (ledger.policy("v1"), ledger.policy("v2"), list(ledger.policies())) == (
        "document",
        None,
        [("v1", "document")],
    )
    assert (ledger.history("none"), ledger.check()) == ([], [])
    assert ledger.histories(Query()) == {"s": made}


def test_a_collision_writes_nothing_at_all(ledger: Ledger) -> None:
    ledger.append(entries("s", Draft("opened", {})), [row("s")])
    other, [taken] = entries("other", Draft("opened", {})), entries("s", Draft("opened", {}, {"late": True}))
    with pytest.raises(StaleTicket) as stale:
        ledger.append([*other, taken], [row("other"), row("s", standing="approved")], [("v", "d")])
    assert (stale.value.stream, stale.value.seq) == ("s", 1)
    assert (ledger.history("other"), ledger.rows(["other"]), ledger.policy("v")) == ([], {}, None)
    assert ledger.rows(["s"]) == {"s": row("s")}


def test_the_same_entry_twice_is_a_collision(ledger: Ledger) -> None:
    made = entries("s", Draft("opened", {}, {"salted": True}))
    ledger.append(made)
    with pytest.raises(StaleTicket):
        ledger.append(made)


def test_many_rows_are_read_at_once(ledger: Ledger) -> None:
    assert ledger.rows([f"{n:032x}" for n in range(40_000)]) == {}


def test_one_look_tells_which_tickets_there_are_and_where_a_stream_ends(ledger: Ledger) -> None:
    assert ledger.known_and_end([], "s") == ledger.known_and_end(["a"], "s") == ({}, 0)
    halts = entries("s", Draft("opened", {}), Draft("closed", {}))
    ledger.append([*halts, *entries("a", Draft("opened", {}))], [row("a", reviewed=True), row("b", reviewed=False)])
    assert ledger.known_and_end([], "s") == ledger.known_and_end(["none"], "s") == ({}, 2)
    assert ledger.known_and_end(["a"], "s") == ({"a": True}, 2)
    assert ledger.known_and_end(["a", "none", "b"], "none") == ({"a": True, "b": False}, 0)


keys = st.tuples(st.integers(-1, 1), st.none() | st.integers(0, 2), st.sampled_from(["a", "b"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(keys, max_size=12), st.integers(1, 4), st.booleans())
def test_pages_follow_each_other_without_a_gap(
    tmp_path_factory: Any, made: list[Any], limit: int, by_due: bool
) -> None:
    with closing(open_ledger(str(tmp_path_factory.mktemp("pages") / "l.db"))) as ledger:
        due = [stamp(NOW + timedelta(hours=n)) for n in range(3)]
        rows = [
            row(
                f"{n:02}",
                priority=priority,
                queue=queue,
                **dict.fromkeys(("due_at", "next_at"), None if hour is None else due[hour]),
            )
            for n, (priority, hour, queue) in enumerate(made)
        ]
        ledger.append([], rows)
        if by_due:
            expected = sorted((r for r in rows if r.due_at), key=lambda r: (r.due_at, r.id))
        else:
            expected = sorted(rows, key=lambda r: (-r.priority, r.due_at or "", r.id))
        query, found = Query(limit=limit, next_before=due[-1] if by_due else None), list[Row]()
        while page := ledger.find(query):
            assert len(page) <= limit
            found += page
            query = replace(query, after=page[-1])
        assert found == expected


def test_a_query_takes_every_condition_together(ledger: Ledger) -> None:
    hour = [stamp(NOW + timedelta(hours=n)) for n in range(4)]
    ledger.append([], [
        row("a", due_at=hour[1], next_at=hour[1]), row("b", due_at=hour[2], queue="q"), row("c", due_at=hour[3], tool="drop"),
        row("d", due_at=None, standing="executed", thread_id="u"), row("e", due_at=hour[0], next_at=hour[0], standing="in_doubt", reviewed=False),
    ])  # fmt: skip
    assert pressing(ledger) == ["d", "e", "a", "b", "c"]
    assert pressing(ledger, standings=("pending",)) == ["a", "b", "c"]
    assert pressing(ledger, standings=("pending", "in_doubt"), limit=2) == ["e", "a"]
    assert pressing(ledger, queue="q") == ["b"]
    assert pressing(ledger, tool="drop", standings=("pending",)) == ["c"]
    assert pressing(ledger, thread_id="u") == ["d"]
    assert pressing(ledger, reviewed=False) == ["e"]
    assert pressing(ledger, next_before=hour[1]) == ["e", "a"]
    assert pressing(ledger, due_after=hour[1]) == ["b", "c"]


def test_streams_come_in_the_order_in_which_something_was_written_last(ledger: Ledger) -> None:
    first, second = entries("a", Draft("opened", {}))[0], entries("b", Draft("opened", {}))[0]
    ledger.append([first])
    ledger.append([second, *entries("b", Draft("executed", {}), last=second)])
    ledger.append(entries("a", Draft("executed", {}), last=first))
    assert ledger.in_order(["a", "b", "c"], "opened") == ["a", "b"]
    assert ledger.in_order(["a", "b"], "executed") == ["b", "a"]
    assert ledger.in_order(["a"], "executed") == ["a"]
    assert ledger.in_order(["a", "b"], "failed") == []


def test_ids_are_found_by_their_beginning(ledger: Ledger) -> None:
    ledger.append([], [row("aa1"), row("aa2"), row("aa3"), row("b")])
    assert ledger.ids("aa") == ["aa1", "aa2"]
    assert (ledger.ids("b"), ledger.ids("c"), ledger.ids("aa3")) == (["b"], [], ["aa3"])


def test_a_thread_is_tallied_without_the_message_at_hand(ledger: Ledger) -> None:
    ledger.append([], [
        row("1"), row("2"), row("3", standing="executed"), row("4", message_id="now"), row("5", thread_id="u"),
    ])  # fmt: skip
    assert sorted(ledger.tally("t", "now")) == [("send", "executed", 1), ("send", "pending", 2)]


def test_a_lease_is_compared_and_set(ledger: Ledger) -> None:
    one, two, moved = Lease("1", "ana", "2026"), Lease("2", "cem", "2026"), Lease("1", "ana", "2027")
    assert ledger.lease("n") is None
    assert ledger.swap_lease("n", None, one)
    assert not ledger.swap_lease("n", None, two)
    assert not ledger.swap_lease("n", moved, two)
    assert ledger.swap_lease("n", one, moved)
    assert not ledger.swap_lease("n", one, None)
    assert ledger.lease("n") == moved
    assert ledger.swap_lease("n", moved, None)
    assert ledger.lease("n") is None


def test_of_many_threads_one_takes_a_lease(place: str) -> None:
    with closing(open_ledger(place)) as one, closing(open_ledger(place)) as two:
        start, won = threading.Barrier(8), list[int]()

        def take(number: int) -> None:
            start.wait()
            if (one, two)[number % 2].swap_lease("n", None, Lease(str(number), "me", "2026")):
                won.append(number)

        threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_erasing_takes_the_contents_and_leaves_the_chain(ledger: Ledger) -> None:
    made = entries("s", Draft("opened", {"a": 1}, {"secret": 1}), Draft("decided", {}), Draft("executed", {}, {"r": 2}))
    ledger.append(made, [row("s")])
    [erased] = entries("s", Draft("erased", {"by": "dpo"}), last=made[-1])
    assert ledger.erase(erased, row("s", seq=4, digest="", turn="", message_id="")) == 2
    assert ledger.history("s") == [*(entry.without_contents() for entry in made), erased]
    assert [entry.erased for entry in ledger.history("s")] == [True, False, True, False]
    assert ledger.rows(["s"])["s"].digest == ""
    with pytest.raises(StaleTicket):
        ledger.erase(erased, row("s"))


def test_what_a_value_cannot_be_is_said(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="cannot hold"):
        ledger.append([], [row("s", thread_id="\ud800")])
    with pytest.raises(LedgerError, match="cannot hold"):
        ledger.history("\ud800")
    assert ledger.rows(["s"]) == {}


def test_one_reads_while_another_writes(place: str) -> None:
    with closing(open_ledger(place)) as writer, closing(open_ledger(place)) as reader:
        last, seen, done = None, list[int](), threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.append(len(reader.history("s")))

        thread = threading.Thread(target=read)
        thread.start()
        for n in range(200):
            [last] = entries("s", Draft("noted", {"n": n}, {"n": n}), last=last)
            writer.append([last], [row("s", seq=last.seq)])
        done.set()
        thread.join()
        assert seen == sorted(seen)
        assert len(reader.history("s")) == 200


def test_an_end_is_written_once_and_an_odd_row_stops_nobody(ledger: Ledger) -> None:
    clock = Clock()
    desk = Desk(ledger, clock=clock)
    made = [opening(window=timedelta(minutes=n + 1)) for n in range(5)]
    desk.open(made, policy=("v", "d"))
    lying = made[4].id
    ledger.append([], [replace(ledger.rows([lying])[lying], next_at=stamp(NOW))])
    clock.advance(minutes=2, seconds=30)
    assert desk.expire() == [made[0].action.thread_id, made[1].action.thread_id]
    assert [desk.case(one.id).standing for one in made] == ["expired", "expired", "pending", "pending", "pending"]
    assert [len(ledger.history(one.id)) for one in made] == [2, 2, 1, 1, 1]


# SQLite: the file ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger's file with one entry, closed."""
    with closing(open_ledger(str(tmp_path / "ledger.db"))) as ledger:
        ledger.append(entries("s", Draft("opened", {}, {"words": "a secret word"})), [row("s")])
    return tmp_path / "ledger.db"


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = 'x'", "DELETE FROM {}"])
@pytest.mark.parametrize(("table", "column"), [("entries", "body"), ("contents", "data"), ("policies", "document")])
def test_nobody_updates_or_deletes_an_entry(path: Path, statement: str, table: str, column: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO policies VALUES ('v', 'd')")
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|only be erased|never changes"):
            db.execute(statement.format(table, column))


def test_an_older_file_is_migrated_and_a_newer_one_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = backend.migrations()
    with monkeypatch.context() as later:
        later.setattr(
            backend,
            "migrations",
            lambda: [*now, "ALTER TABLE leases ADD COLUMN note TEXT;\n", "DROP INDEX standings_next;\n"],
        )
        with closing(open_ledger(str(path))) as ledger:
            assert len(ledger.history("s")) == 1
            assert ledger.check() == []
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(now) + 2,)
            assert db.execute("SELECT note FROM leases").fetchall() == []
    kept = path.read_bytes()
    with pytest.raises(LedgerVersion, match="upgrade langgraph-signoff"):
        open_ledger(str(path))
    assert path.read_bytes() == kept


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = backend.migrations()
    with monkeypatch.context() as later:
        later.setattr(backend, "migrations", lambda: [*now, "CREATE TABLE more (a);\n\nCREATE TABLE leases (a);\n"])
        with pytest.raises(LedgerError):
            open_ledger(str(path))
    with closing(open_ledger(str(path))) as ledger:
        assert ledger.check() == []


def test_the_file_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
    kept = path.read_bytes()
    with pytest.raises(LedgerCorrupt, match="another program"):
        open_ledger(str(path))
    assert path.read_bytes() == kept


def test_what_is_no_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT", 0.2)
    (tmp_path / "notes.db").write_text("these are notes, not a database; " * 100)
    with pytest.raises(LedgerCorrupt):
        open_ledger(str(tmp_path / "notes.db"))
    with pytest.raises(LedgerUnavailable, match="no folder"):
        open_ledger(str(tmp_path / "missing" / "ledger.db"))


@pytest.mark.parametrize("place", [":memory:", "postgresql://localhost/signoff", "sqlite:///ledger.db"])
def test_what_is_no_file_is_refused_at_once(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LedgerUnavailable, match="is no file"):
        open_ledger(place)
    assert list(tmp_path.iterdir()) == []


def test_erased_words_are_gone_from_the_disk(path: Path) -> None:
    with closing(open_ledger(str(path))) as ledger:
        [last] = ledger.history("s")
        assert any(b"a secret word" in file.read_bytes() for file in path.parent.iterdir())
        ledger.erase(entries("s", Draft("erased", {}), last=last)[0], row("s"))
        assert not any(b"a secret word" in file.read_bytes() for file in path.parent.iterdir())


def test_processes_that_open_a_new_ledger_at_once_all_get_it(tmp_path: Path) -> None:
    places = [(str(tmp_path / f"{n // 4}.db"), f"s{n}") for n in range(1000)]  # four at once open each file
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.starmap(_open_and_write, places, chunksize=1)
    assert found == [1] * len(places)


def _open_and_write(place: str, stream: str) -> int:
    with closing(open_ledger(place)) as ledger:
        ledger.append(entries(stream, Draft("opened", {})), [row(stream)])
        return len(ledger.history(stream))


def test_a_fork_in_the_midst_of_writing_harms_neither_side(path: Path) -> None:
    with closing(open_ledger(str(path))) as ledger:
        stop, failed = threading.Event(), list[Exception]()

        def write() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    ledger.append(entries(f"parent-{n}", Draft("opened", {}, {"n": n})))
                except Exception as error:
                    failed.append(error)
                stop.wait(0.001)

        thread = threading.Thread(target=write)
        thread.start()
        codes = []
        for n in range(20):
            pid = os.fork()
            if pid == 0:
                try:
                    ledger.append(entries(f"child-{n}", Draft("opened", {})))
                    os._exit(0 if ledger.history(f"child-{n}") else 1)
                except BaseException:
                    os._exit(2)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stop.set()
        thread.join()
        assert (codes, failed) == ([0] * 20, [])
        assert all(ledger.history(f"child-{n}") for n in range(20))
        assert ledger.check() == []


# SQLite: when it does not answer, nothing runs -----------------------------------------------------------------------------


class Scene:
    """A run that waits at an approved ticket, and what its tool did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "ledger" / "ledger.db"
        self.path.parent.mkdir()
        self.effects = folder / "effects.txt"

    @property
    def ran(self) -> int:
        return len(self.effects.read_text().splitlines()) if self.effects.exists() else 0

    def send(self, to: str) -> str:
        """Sends."""
        with self.effects.open("a") as file:
            file.write(f"{to}\n")
        return "sent"

    @contextmanager
    def signoff(self) -> Iterator[tuple[Signoff, Any]]:
        signoff = Signoff(self.path, lease=0.5, wait=1)
        try:
            with agent(
                signoff, [self.send], [[("send", {"to": "bob"})], "Done."], threads=self.folder / "t.db"
            ) as graph:
                yield signoff, graph
        finally:
            signoff.close()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT", 0.2)
    return Scene(tmp_path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the file's write lock."""
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN EXCLUSIVE');"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.communicate("")


@contextmanager
def full(path: Path) -> Iterator[None]:
    """No file may grow past what the ledger's log has reached: its next page does not fit."""
    with closing(open_ledger(str(path))) as filler, closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchone()  # the log begins anew only without readers
        document = "x" * 1_500_000
        filler.append([], policies=[(hashlib.sha256(document.encode()).hexdigest(), document)])
        size = path.with_name(path.name + "-wal").stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """The ledger's folder can only be read; root needs a mount for that."""
    folder = path.parent
    if os.geteuid():
        path.chmod(0o444)
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
            path.chmod(0o644)
        return
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder, folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def corrupt(path: Path) -> Iterator[None]:
    """Half of the file is overwritten."""
    kept = path.with_name("kept")
    shutil.copy(path, kept)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\x00\xff" * (size // 4))
    try:
        yield
    finally:
        for name in (path.name + "-wal", path.name + "-shm"):
            path.with_name(name).unlink(missing_ok=True)
        shutil.move(kept, path)


TROUBLES = {"locked": locked, "full": full, "read_only": read_only, "corrupt": corrupt}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_without_a_ledger_nothing_is_asked_and_nothing_runs(scene: Scene, trouble: str) -> None:
    with scene.signoff():
        pass
    with TROUBLES[trouble](scene.path), pytest.raises(LedgerError) as error, scene.signoff() as (signoff, graph):
        signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
    assert isinstance(error.value, LedgerCorrupt if trouble == "corrupt" else LedgerUnavailable)
    assert scene.ran == 0
    with scene.signoff() as (signoff, graph):
        assert signoff.verify().is_whole
        assert signoff.run(graph, {"messages": [("user", "go")]}, thread_id="u").status == "pending_approval"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_approved_call_does_not_run_without_a_ledger_and_runs_once_with_it(scene: Scene, trouble: str) -> None:
    with scene.signoff() as (signoff, graph):
        run = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        signoff.approve(run.tickets[0], by="ana")
    with TROUBLES[trouble](scene.path), pytest.raises(LedgerError), scene.signoff() as (signoff, graph):
        signoff.resume(graph, thread_id="t")
    assert scene.ran == 0
    with scene.signoff() as (signoff, graph):
        assert signoff.resume(graph, thread_id="t").status == "completed"
        assert signoff.verify().is_whole
    assert scene.ran == 1


@pytest.mark.parametrize("trouble", ["locked", "full"])
def test_trouble_while_the_ledger_is_open_is_said_and_passes(scene: Scene, trouble: str) -> None:
    with scene.signoff() as (signoff, _):
        ticket = open_ticket(signoff)
        with TROUBLES[trouble](scene.path), pytest.raises(LedgerUnavailable):
            signoff.approve(ticket, by="ana")
        assert signoff.ticket(ticket.id).standing == "pending"
        assert signoff.approve(ticket, by="ana").standing == "approved"


def test_an_entry_that_cannot_be_read_is_a_damaged_ledger(scene: Scene) -> None:
    with scene.signoff() as (signoff, graph):
        run = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        with closing(sqlite3.connect(scene.path)) as db:
            db.execute("DROP TRIGGER entries_keep")
            db.execute("UPDATE entries SET body = '{\"ruling\": 1}'")
            db.commit()
        with pytest.raises(LedgerCorrupt, match="signoff verify"):
            signoff.approve(run.tickets[0], by="ana")
        with pytest.raises(LedgerCorrupt):
            signoff.resume(graph, thread_id="t")
    assert scene.ran == 0
