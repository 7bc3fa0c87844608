"""Four workflows of an office, each as its graph in `graphs/` tells it: what ran, what is on record, and what an attack gets."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver

from cli_support import COMMAND, Desk, environment
from langgraph_signoff import (
    NotAllowedToDecide,
    Policy,
    Query,
    RepeatedKey,
    RevisionRefused,
    Run,
    Signoff,
    Standing,
    Ticket,
    TicketClosed,
)
from langgraph_signoff.testing import Line, ScriptedModel, to_message
from support import NOW, Clock

GRAPHS = Path(__file__).parents[1] / "graphs"
sys.path.insert(0, str(GRAPHS))

import client_message  # noqa: E402  # the folder of graphs is no package
import deal_status  # noqa: E402  # the folder of graphs is no package
import document_delivery  # noqa: E402  # the folder of graphs is no package
import transfer  # noqa: E402  # the folder of graphs is no package

Rows = list[tuple[Any, ...]]

GLOBEX = {"iban": "DE02 5001 0517 0137 0750 30", "amount": "1140.50", "reference": "Globex 114"}
PAID = ("DE02500105170137075030", "1140.50")
DRAFT = "Dear Ada, invoice 114 is still open. Kind regards"


def rows(file: Path, query: str) -> Rows:
    """What a program's database holds; nothing if there is none yet."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(file)) as db:
        known = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        return db.execute(query).fetchall() if query.split(" FROM ")[1].split()[0] in known else []


@dataclass(frozen=True)
class Scenario:
    """One of the four: how it starts, what it does to the world, and what an attacker puts in the place of it."""

    module: Any
    thread: str
    input: Any
    window: timedelta
    reads: tuple[str, str]
    does: tuple[Any, ...]
    forged: Any
    does_forged: tuple[Any, ...]
    kept: Rows
    script: list[Line] | None = None

    def __str__(self) -> str:
        return str(self.module.__name__)


def message_with(tool: str, args: dict[str, Any]) -> Any:
    """An update that puts other arguments into the call that a thread waits at."""

    def update(values: Any) -> dict[str, Any]:
        said = values["messages"][-1]
        return {
            "messages": [
                to_message([(tool, args)]).model_copy(
                    update={"id": said.id, "tool_calls": [{**said.tool_calls[0], "args": args}]}
                )
            ]
        }

    return update


SCENARIOS = [
    Scenario(
        client_message,
        thread="invoice-114",
        input=client_message.TRIGGER,
        window=timedelta(hours=2),
        reads=("clients.db", "SELECT email, text FROM outbox"),
        does=("ada@example.com", DRAFT),
        forged=lambda _: {"email": "mallory@example.com"},
        does_forged=("mallory@example.com", DRAFT),
        kept=[],
    ),
    Scenario(
        deal_status,
        thread="deal-12",
        input={"messages": [HumanMessage(deal_status.REQUEST)]},
        window=timedelta(hours=4),
        reads=("deals.db", "SELECT id, status FROM deals WHERE id = 12 AND status != 'offer'"),
        does=(12, "won"),
        forged=message_with("set_status", {"deal": 12, "status": "lost"}),
        does_forged=(12, "lost"),
        kept=[],
    ),
    Scenario(
        document_delivery,
        thread="request-31",
        input={"request": 31},
        window=timedelta(hours=24),
        reads=("documents.db", "SELECT email, text FROM outbox"),
        does=("ada@example.com", "A cup is 12.50 EUR."),
        forged=lambda _: {"text": "A cup is free."},
        does_forged=("ada@example.com", "A cup is free."),
        kept=[("ada@example.com", "We have received your request.")],
    ),
    Scenario(
        transfer,
        thread="invoices",
        input={"messages": [HumanMessage("Pay Globex")]},
        window=timedelta(hours=4),
        reads=("bank.db", "SELECT iban, amount FROM paid"),
        does=PAID,
        forged=message_with("transfer", {**GLOBEX, "amount": "4140.50"}),
        does_forged=(PAID[0], "4140.50"),
        kept=[],
        script=[[("transfer", GLOBEX)], "Paid."],
    ),
]  # fmt: skip


class Stage:
    """A scenario on a stage of its own: a folder, a clock that stands until it is moved, the graph and its gate."""

    def __init__(self, scenario: Scenario, folder: Path, saver: SqliteSaver, clock: Callable[[], datetime]) -> None:
        self.scenario, self.folder = scenario, folder
        self.signoff = Signoff(folder / "signoff.db", policy=scenario.module.POLICY, clock=clock)
        script = {"model": ScriptedModel(scenario.script)} if scenario.script else {}
        self.graph = scenario.module.build(folder, signoff=self.signoff, checkpointer=saver, **script)

    def run(self) -> Run:
        return self.signoff.run(self.graph, self.scenario.input, thread_id=self.scenario.thread)

    def resume(self) -> Run:
        return self.signoff.resume(self.graph, thread_id=self.scenario.thread)

    def ask(self) -> Ticket:
        """Runs until it waits, for the one thing that it waits for."""
        run = self.run()
        assert run.status == "pending_approval", run
        [ticket] = run.tickets
        return ticket

    def forge(self) -> None:
        """Puts other arguments into the state of the thread."""
        config = {"configurable": {"thread_id": self.scenario.thread}}
        self.graph.update_state(config, self.scenario.forged(self.graph.get_state(config).values))

    @property
    def effects(self) -> Rows:
        """What has happened in the world."""
        file, query = self.scenario.reads
        return rows(self.folder / file, query)

    def standings(self, tool: str = "") -> list[str]:
        """How every ticket stands, in the order of opening."""
        found = self.signoff.find(Query(tool=tool or None))
        return [str(ticket.standing) for ticket in sorted(found, key=lambda ticket: ticket.opened_at)]


@contextmanager
def staged(scenario: Scenario, folder: Path, clock: Callable[[], datetime]) -> Iterator[Stage]:
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        stage = Stage(scenario, folder, saver, clock)
        with closing(stage.signoff):
            yield stage


@pytest.fixture(params=SCENARIOS, ids=str)
def stage(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Stage]:
    with staged(request.param, tmp_path, clock) as stage:
        yield stage


def stage_of(module: Any) -> Any:
    """A stage of this scenario only."""
    return pytest.mark.parametrize("stage", [s for s in SCENARIOS if s.module is module], indirect=True, ids=str)


# Each of them -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_scenario_is_a_graph_of_less_than_120_lines(scenario: Scenario) -> None:
    assert len(Path(scenario.module.__file__).read_text().splitlines()) < 120


def test_it_happens_with_a_persons_word_and_once(stage: Stage, clock: Clock) -> None:
    ticket = stage.ask()
    assert ticket.due_at == NOW + stage.scenario.window
    assert stage.effects == []
    clock.now = ticket.due_at - timedelta(seconds=1)
    stage.signoff.approve(ticket, by="ana", reason="looked at it")
    assert stage.effects == []
    assert [stage.resume().status, stage.resume().status] == ["completed", "completed"]
    assert stage.effects == [stage.scenario.does]
    kinds = [entry.kind for entry in stage.signoff.history(ticket)]
    assert kinds == ["opened", "decided", "claimed", "executed"]
    assert stage.signoff.verify().is_whole


def test_a_rejection_leaves_the_world_as_it_was(stage: Stage) -> None:
    stage.signoff.reject(stage.ask(), by="ben", reason="no")
    assert stage.resume().status == "completed"
    assert stage.effects == []


def test_an_approval_after_the_window_does_not_count(stage: Stage, clock: Clock) -> None:
    ticket = stage.ask()
    clock.now += stage.scenario.window
    with pytest.raises(TicketClosed):
        stage.signoff.approve(ticket, by="ana", reason="sorry, I was out")
    assert stage.resume().status == "completed"
    assert stage.effects == stage.scenario.kept
    assert [entry.kind for entry in stage.signoff.history(ticket)] == ["opened", "expired"]


def test_an_approval_that_is_not_used_in_time_does_not_count(stage: Stage, clock: Clock) -> None:
    ticket = stage.signoff.approve(stage.ask(), by="ana")
    clock.now += ticket.requirements.use_within
    assert stage.resume().status == "completed"
    assert stage.effects == stage.scenario.kept
    assert stage.signoff.ticket(ticket.id).standing is Standing.LAPSED


def test_what_was_changed_after_the_approval_is_another_question(stage: Stage) -> None:
    approved = stage.signoff.approve(stage.ask(), by="ana")
    stage.forge()
    run = stage.resume()
    assert (run.status, stage.effects) == ("pending_approval", [])
    [asked] = run.tickets
    assert (asked.id != approved.id, asked.decisions) == (True, ())
    stage.signoff.approve(asked, by="ana", reason="I see what it is now")
    assert stage.resume().status == "completed"
    assert stage.effects == [stage.scenario.does_forged]


def test_of_two_resumes_at_once_one_acts(stage: Stage, clock: Clock) -> None:
    stage.signoff.approve(stage.ask(), by="ana")
    assert resumed_at_once(stage, clock) == ["completed", "completed"]
    assert stage.effects == [stage.scenario.does]


def test_of_two_resumes_at_once_after_the_window_none_acts(stage: Stage, clock: Clock) -> None:
    stage.ask()
    clock.now += stage.scenario.window
    assert resumed_at_once(stage, clock) == ["completed", "completed"]
    assert stage.effects == stage.scenario.kept


def resumed_at_once(stage: Stage, clock: Clock) -> list[str]:
    """How two resumes end that begin together, each with a gate, a graph and a saver of its own."""
    runs: list[str] = []
    together = threading.Barrier(2)

    def resume() -> None:
        with staged(stage.scenario, stage.folder, clock) as own:
            together.wait(timeout=20)
            runs.append(own.resume().status)

    threads = [threading.Thread(target=resume) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return runs


def test_a_thread_whose_newest_checkpoints_are_lost_does_not_act_again(stage: Stage) -> None:
    stage.signoff.approve(stage.ask(), by="ana")
    with lost_checkpoints(stage):
        assert stage.resume().status == "completed"
    assert stage.resume().status == "completed"
    assert stage.effects == [stage.scenario.does]


@contextmanager
def lost_checkpoints(stage: Stage) -> Iterator[None]:
    """Puts the checkpoints back to what they are now."""
    with closing(sqlite3.connect(":memory:")) as kept:
        stage.graph.checkpointer.conn.backup(kept)
        yield
        kept.backup(stage.graph.checkpointer.conn)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_program_asks_and_goes_on_when_it_is_started_again(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNOFF_MODEL", raising=False)
    scenario.module.main()
    assert capsys.readouterr().out.startswith("pending_approval")
    desk = Desk(tmp_path)
    for ticket in desk.run("list", "--json").json:
        for by in ("ana", "ben")[: ticket["requirements"]["approvals"]]:
            assert desk.run("approve", ticket["id"], "--digest", ticket["digest"], "--as", by).code == 0
    scenario.module.main()
    assert capsys.readouterr().out.startswith("completed")
    file, query = scenario.reads
    assert scenario.does in rows(tmp_path / file, query)


# All of them in one folder, from the shell ------------------------------------------------------------------------------------

CONFIG = ["--config", str(GRAPHS / "langgraph.json"), "--checkpointer", "sqlite:///checkpoints.db"]


def ask_all(folder: Path, clock: Callable[[], datetime]) -> list[Ticket]:
    tickets = []
    for scenario in SCENARIOS:
        with staged(scenario, folder, clock) as stage:
            tickets.append(stage.ask())
    return tickets


def effects_of_all(folder: Path) -> list[Rows]:
    return [rows(folder / scenario.reads[0], scenario.reads[1]) for scenario in SCENARIOS]


def test_two_shells_that_wake_everything_at_once_let_each_thing_happen_once(tmp_path: Path) -> None:
    for ticket in ask_all(tmp_path, lambda: datetime.now(UTC)):
        desk = Desk(tmp_path)
        assert desk.run("approve", ticket.id, "--digest", ticket.digest, "--as", "ana").code == 0
    shells = [
        subprocess.Popen([*COMMAND, "resume", "--all", *CONFIG], cwd=tmp_path, env=environment(), stdout=-1, stderr=-1)
        for _ in range(2)
    ]
    ended = [(shell.communicate(timeout=120), shell.returncode) for shell in shells]
    assert all(code in (0, 6) for _, code in ended), ended
    assert effects_of_all(tmp_path) == [[scenario.does] for scenario in SCENARIOS]
    assert Desk(tmp_path).run("verify").code == 0


def test_what_nobody_answered_is_ended_from_the_shell_and_can_be_listed_there(tmp_path: Path) -> None:
    ask_all(tmp_path, lambda: datetime.now(UTC) - timedelta(days=5))
    desk = Desk(tmp_path)
    woken = desk.run("resume", "--all", *CONFIG, "--json").json
    assert sorted(run["status"] for run in woken["runs"]) == ["completed"] * 4
    assert effects_of_all(tmp_path) == [scenario.kept for scenario in SCENARIOS]
    expired = desk.run("list", "--standing", "expired", "--json").json
    assert sorted(ticket["tool"] for ticket in expired) == [
        "deliver_document",
        "send_message",
        "set_status",
        "transfer",
    ]


# A message to a client --------------------------------------------------------------------------------------------------------


def fire(stage: Stage) -> Run:
    return client_message.fire(
        stage.graph, client_message.TRIGGER, signoff=stage.signoff, thread_id=stage.scenario.thread
    )


@stage_of(client_message)
def test_the_ticket_shows_client_draft_and_trigger(stage: Stage) -> None:
    ticket = stage.ask()
    assert ticket.description == f"To Ada Adler <ada@example.com>: {DRAFT}"
    assert ticket.trigger == "invoice 114 is 30 days overdue"
    assert all(words in str(ticket) for words in ("Ada Adler", DRAFT, ticket.trigger))


@stage_of(client_message)
def test_a_message_that_nobody_looked_at_is_logged_as_unactioned_and_asked_anew(stage: Stage, clock: Clock) -> None:
    first = stage.ask()
    clock.advance(hours=2)
    assert stage.resume().output["log"] == [f"unactioned: ticket {first.id}"]
    [unactioned] = stage.signoff.find(Query(standings=("expired",), tool="send_message"))
    assert (unactioned.id, unactioned.trigger, unactioned.args["draft"]) == (first.id, first.trigger, DRAFT)
    assert stage.effects == []

    clock.advance(hours=22)
    [second] = fire(stage).tickets
    assert (second.id != first.id, second.due_at) == (True, clock.now + timedelta(hours=2))
    stage.signoff.approve(second, by="ben")
    assert fire(stage).output["log"] == [f"unactioned: ticket {first.id}", "sent to ada@example.com"]
    assert stage.effects == [stage.scenario.does]
    assert stage.standings() == ["expired", "executed"]


@stage_of(client_message)
def test_the_trigger_asks_once_while_it_waits_and_never_again_once_answered(stage: Stage, clock: Clock) -> None:
    first = stage.ask()
    for again in (fire(stage), stage.run(), fire(stage)):
        assert [ticket.id for ticket in again.tickets] == [first.id]
    stage.signoff.reject(first, by="ana", reason="they have paid")
    for _ in range(3):
        assert fire(stage).status == "completed"
        clock.advance(hours=24)
    assert (stage.effects, stage.standings()) == ([], ["rejected"])


@stage_of(client_message)
def test_what_goes_out_is_what_the_reviewer_made_of_the_draft(stage: Stage) -> None:
    stage.signoff.revise(stage.ask(), by="ana", args={"draft": "Dear Ada, all is well."})
    assert stage.resume().output["log"] == ["sent to ada@example.com"]
    assert stage.effects == [("ada@example.com", "Dear Ada, all is well.")]


@stage_of(client_message)
def test_a_draft_that_came_back_is_written_anew_and_shows_what_has_changed(stage: Stage) -> None:
    first = stage.ask()
    stage.signoff.revise(first, by="ana", feedback="offer them a call")
    [second] = stage.resume().tickets
    assert (second.previous, [change["path"] for change in second.difference]) == (first.id, ["/draft"])
    stage.signoff.approve(second, by="ana")
    assert stage.resume().output["log"] == [f"returned: ticket {first.id}", "sent to ada@example.com"]
    assert [text for _, text in stage.effects] == [second.args["draft"]]


@stage_of(client_message)
def test_a_message_that_may_have_gone_out_is_not_fired_again(stage: Stage, clock: Clock) -> None:
    ticket = stage.signoff.approve(stage.ask(), by="ana")
    cut_off(stage, ticket)
    assert fire(stage).status == "in_doubt"
    clock.advance(hours=3)
    for _ in range(2):
        assert fire(stage).output["outcome"] == "in_doubt"
    assert (stage.effects, stage.standings()) == ([], ["in_doubt"])


@stage_of(client_message)
def test_a_trigger_that_fires_over_lost_checkpoints_sends_nothing_again(stage: Stage) -> None:
    stage.signoff.approve(stage.ask(), by="ana")
    with lost_checkpoints(stage):
        stage.resume()
    other = ScriptedModel(["Dear Ada, please pay."])
    saver = stage.graph.checkpointer
    stage.graph = client_message.build(stage.folder, signoff=stage.signoff, model=other, checkpointer=saver)
    with pytest.raises(RepeatedKey):
        stage.run()
    assert stage.effects == [stage.scenario.does]


def cut_off(stage: Stage, ticket: Ticket) -> None:
    """A runner has claimed the ticket, and was cut off: nobody knows whether it has acted."""
    case, granted = stage.signoff.claims.claim(ticket.id)
    assert granted
    stage.signoff.claims.doubt(case)


# The status of a deal ---------------------------------------------------------------------------------------------------------


def said(run: Run) -> list[str]:
    return [message.text for message in run.output["messages"] if message.type == "tool"]


def propose(stage: Stage, *calls: tuple[str, dict[str, Any]]) -> Run:
    """The same scenario, in which the model proposes these calls, one after the other."""
    lines: list[Line] = [[call] for call in calls]
    return propose_lines(stage, [*lines, "Done."])


def propose_lines(stage: Stage, script: list[Line]) -> Run:
    saver = stage.graph.checkpointer
    stage.graph = stage.scenario.module.build(
        stage.folder, signoff=stage.signoff, model=ScriptedModel(script), checkpointer=saver
    )
    return stage.run()


def move(stage: Stage, status: str) -> None:
    """Somebody else moves deal 12."""
    with deal_status.books(stage.folder) as db, db:
        db.execute("UPDATE deals SET status = ? WHERE id = 12", (status,))


@stage_of(deal_status)
def test_the_ticket_shows_the_whole_move(stage: Stage) -> None:
    ticket = stage.ask()
    assert (ticket.description, ticket.agent) == ("Deal 12: from offer to won", "sales-assistant")
    assert ticket.trigger == deal_status.REQUEST


@stage_of(deal_status)
def test_a_deal_that_nobody_looked_at_stays_as_it_is_and_the_agent_is_told(stage: Stage, clock: Clock) -> None:
    stage.ask()
    clock.advance(hours=4)
    assert said(stage.resume())[-1].startswith("set_status was not run: nobody decided in time")
    assert deal_status.status_of(stage.folder, 12) == "offer"
    assert [t.tool for t in stage.signoff.find(Query(standings=("expired",)))] == ["set_status"]


@stage_of(deal_status)
def test_a_deal_that_has_moved_since_the_approval_is_asked_again(stage: Stage) -> None:
    stage.signoff.approve(stage.ask(), by="ana")
    move(stage, "open")
    [again] = stage.resume().tickets
    assert (again.description, again.generation) == ("Deal 12: from open to won", 2)
    assert deal_status.status_of(stage.folder, 12) == "open"
    stage.signoff.approve(again, by="ben")
    assert stage.resume().status == "completed"
    assert deal_status.status_of(stage.folder, 12) == "won"


@stage_of(deal_status)
def test_a_deal_that_was_closed_since_the_approval_stays_closed(stage: Stage) -> None:
    stage.signoff.approve(stage.ask(), by="ana")
    move(stage, "lost")
    assert stage.resume().status == "completed"
    assert deal_status.status_of(stage.folder, 12) == "lost"
    assert stage.standings() == ["denied"]


@stage_of(deal_status)
@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"deal": 14, "status": "open"}, "deal_is_closed"),
        ({"deal": 14, "status": "open", "now": "offer"}, "deal_is_closed"),
        ({"deal": 12, "status": "offer"}, "nothing_to_change"),
        ({"deal": 99, "status": "won", "now": "offer"}, "nothing_to_change"),
    ],
)
def test_the_policy_reads_the_books_and_not_the_models_word(stage: Stage, args: dict[str, Any], reason: str) -> None:
    assert propose(stage, ("set_status", args)).status == "completed"
    assert [(t.standing, t.reason_code) for t in stage.signoff.find(Query())] == [(Standing.DENIED, reason)]
    assert [deal_status.status_of(stage.folder, deal) for deal in (12, 14)] == ["offer", "lost"]


def test_the_model_is_not_shown_that_a_move_knows_where_it_begins(tmp_path: Path) -> None:
    _, set_status = deal_status.tools(tmp_path)
    assert list(set_status.tool_call_schema.model_json_schema()["properties"]) == ["deal", "status"]


# The delivery of a document ---------------------------------------------------------------------------------------------------


def request(stage: Stage) -> Run:
    return document_delivery.ask(stage.graph, 31, signoff=stage.signoff)


def status_of_request(stage: Stage) -> str:
    return str(rows(stage.folder / "documents.db", "SELECT status FROM requests")[0][0])


@stage_of(document_delivery)
def test_who_waits_a_day_is_told_once_that_we_have_the_request_which_stays_pending(stage: Stage, clock: Clock) -> None:
    stage.ask()
    clock.advance(hours=23, minutes=59)
    assert (request(stage).status, stage.effects) == ("pending_approval", [])
    clock.advance(minutes=1)
    assert stage.resume().output["status"] == "pending"
    assert (stage.effects, status_of_request(stage)) == (stage.scenario.kept, "pending")

    assert request(stage).status == "pending_approval"
    clock.advance(hours=24)
    [third] = request(stage).tickets
    assert (stage.effects, status_of_request(stage)) == (stage.scenario.kept, "pending")
    assert stage.standings("deliver_document") == ["expired", "expired", "pending"]

    stage.signoff.approve(third, by="ben", reason="a client of ours")
    assert request(stage).output["status"] == "delivered"
    assert stage.effects == [*stage.scenario.kept, stage.scenario.does]
    assert (status_of_request(stage), request(stage).tickets) == ("delivered", ())


@stage_of(document_delivery)
def test_the_holding_message_is_ruled_and_on_record(stage: Stage, clock: Clock) -> None:
    stage.ask()
    clock.advance(hours=24)
    stage.resume()
    [holding] = stage.signoff.find(Query(tool="send_holding_message"))
    assert (holding.standing, holding.reason_code) == (Standing.EXECUTED, "acknowledges_receipt")
    assert [entry.kind for entry in stage.signoff.history(holding)] == ["opened", "claimed", "executed"]


@stage_of(document_delivery)
def test_a_policy_can_hold_back_the_holding_message_too(stage: Stage, clock: Clock) -> None:
    text = document_delivery.POLICY.read_text()
    assert text.count("then: allow, once: true") == 1
    strict = Policy.parse(text.replace("then: allow, once: true", "then: review, queue: documents"))
    with closing(Signoff(stage.folder / "signoff.db", policy=strict, clock=clock)) as stage.signoff:
        stage.graph = document_delivery.build(
            stage.folder, signoff=stage.signoff, checkpointer=stage.graph.checkpointer
        )
        stage.ask()
        clock.advance(hours=24)
        [holding] = stage.resume().tickets
        assert (holding.tool, stage.effects) == ("send_holding_message", [])
        clock.advance(hours=24)
        assert stage.resume().output["status"] == "pending"
        assert (stage.effects, status_of_request(stage)) == ([], "pending")


@stage_of(document_delivery)
def test_the_document_goes_out_as_it_was_shown(stage: Stage) -> None:
    stage.signoff.approve(stage.ask(), by="ana")
    with document_delivery.books(stage.folder) as db, db:
        db.execute("UPDATE requests SET text = 'A cup is 99 EUR.', email = 'mallory@example.com'")
    stage.resume()
    assert stage.effects == [stage.scenario.does]


@stage_of(document_delivery)
def test_a_rejected_request_is_noted_as_such_and_not_asked_again(stage: Stage) -> None:
    stage.signoff.reject(stage.ask(), by="ana", reason="not a client")
    assert [request(stage).status, request(stage).status] == ["completed", "completed"]
    assert (stage.effects, status_of_request(stage), stage.standings()) == ([], "rejected", ["rejected"])


# A transfer -------------------------------------------------------------------------------------------------------------------


def pay(stage: Stage, *amounts: object, iban: str = PAID[0]) -> Run:
    """The model proposes these transfers in one message."""
    calls = [("transfer", {"iban": iban, "amount": amount, "reference": f"n{n}"}) for n, amount in enumerate(amounts)]
    return propose_lines(stage, [calls, "Done."])


def amounts(stage: Stage) -> list[str]:
    return sorted(amount for _, amount in stage.effects)


@stage_of(transfer)
@pytest.mark.parametrize(
    ("amount", "approvals"),
    [
        ("0.01", 0),
        ("100", 0),
        (100.0, 0),
        ("100.00", 0),
        ("100.01", 1),
        (100.01, 1),
        (5000, 1),
        ("5000.00", 1),
        ("5000.01", 2),
        ("999999999.99", 2),
    ],
)
def test_the_thresholds_are_exact(stage: Stage, amount: object, approvals: int) -> None:
    run = pay(stage, amount)
    assert [ticket.requirements.approvals for ticket in run.tickets] == ([approvals] if approvals else [])
    assert amounts(stage) == ([] if approvals else [str(amount)])


@stage_of(transfer)
@pytest.mark.parametrize("amount", ["0", -5, "-0.01", "NaN", "Infinity", "0.001", "1e12", "80,50", "", None, True, [1]])
def test_what_is_no_amount_is_refused_by_the_tools_own_schema(stage: Stage, amount: object) -> None:
    run = pay(stage, amount)
    assert (run.status, stage.effects, stage.signoff.find(Query())) == ("completed", [], [])


@stage_of(transfer)
@pytest.mark.parametrize("iban", ["DE02300606010502500001", "de02 3006 0601 0502 5000 01", " DE0230060601050250000 1"])
@pytest.mark.parametrize("amount", [1, 500, 9000])
def test_a_blocked_recipient_gets_nothing_however_it_is_spelled(stage: Stage, iban: str, amount: float) -> None:
    assert pay(stage, amount, iban=iban).status == "completed"
    assert [(t.standing, t.reason_code) for t in stage.signoff.find(Query())] == [
        (Standing.DENIED, "blocked_recipient")
    ]
    assert stage.effects == []


@stage_of(transfer)
@pytest.mark.parametrize("iban", ["DE0\uff12300606010502500001", "DE02-3006-0601-0502-5000-01", "DE02", "", "mallory"])
def test_a_recipient_that_no_bank_knows_gets_nothing(stage: Stage, iban: str) -> None:
    assert pay(stage, 1, iban=iban).status == "completed"
    assert (stage.effects, stage.signoff.find(Query())) == ([], [])


@stage_of(transfer)
def test_a_large_transfer_takes_two_people_of_finance(stage: Stage) -> None:
    [ticket] = pay(stage, "9800").tickets
    with pytest.raises(NotAllowedToDecide):
        stage.signoff.approve(ticket, by="dan")
    stage.signoff.approve(ticket, by="ana")
    assert (stage.resume().status, stage.effects) == ("pending_approval", [])
    with pytest.raises(TicketClosed, match="it waits for somebody else"):
        stage.signoff.approve(stage.signoff.ticket(ticket.id), by="ana")
    stage.signoff.approve(stage.signoff.ticket(ticket.id), by="cem")
    assert (stage.resume().status, stage.effects) == ("completed", [(PAID[0], "9800")])


@stage_of(transfer)
def test_a_small_transfer_does_not_wait_for_a_large_one(stage: Stage) -> None:
    run = stage.signoff.run(
        transfer.build(stage.folder, signoff=stage.signoff, checkpointer=stage.graph.checkpointer),
        {"messages": [("user", transfer.REQUEST)]},
        thread_id="invoices",
    )
    assert {ticket.reason_code: ticket.requirements.approvals for ticket in run.tickets} == {
        "large_transfer": 2,
        "transfer": 1,
    }
    assert amounts(stage) == ["80"]
    assert sorted(stage.standings()) == ["denied", "executed", "pending", "pending"]


@stage_of(transfer)
def test_a_large_sum_in_one_message_of_small_pieces_is_asked(stage: Stage) -> None:
    run = pay(stage, *[100] * 6)
    assert [ticket.reason_code for ticket in run.tickets] == ["many_transfers"] * 3
    assert amounts(stage) == ["100"] * 3


@stage_of(transfer)
def test_a_large_sum_in_many_messages_of_small_pieces_is_asked(stage: Stage) -> None:
    calls = [("transfer", {**GLOBEX, "amount": 100, "reference": f"n{n}"}) for n in range(6)]
    run = propose(stage, *calls)
    assert [ticket.reason_code for ticket in run.tickets] == ["many_transfers"]
    assert amounts(stage) == ["100"] * 3


@stage_of(transfer)
def test_an_edit_beyond_the_second_threshold_takes_a_second_person(stage: Stage) -> None:
    ticket = stage.signoff.revise(stage.ask(), by="ana", args={"amount": 6000})
    assert (ticket.standing, ticket.requirements.approvals) == (Standing.PENDING, 2)
    assert (stage.resume().status, stage.effects) == ("pending_approval", [])
    stage.signoff.approve(stage.signoff.ticket(ticket.id), by="ben")
    assert stage.resume().status == "completed"
    assert amounts(stage) == ["6000"]


@stage_of(transfer)
def test_an_edit_towards_a_blocked_recipient_is_refused(stage: Stage) -> None:
    ticket = stage.ask()
    with pytest.raises(RevisionRefused, match="blocked_recipient"):
        stage.signoff.revise(ticket, by="ana", args={"iban": "DE02300606010502500001"})
    assert (stage.resume().status, stage.effects) == ("pending_approval", [])


@stage_of(transfer)
def test_an_edit_that_spells_a_blocked_recipient_otherwise_pays_nothing(stage: Stage) -> None:
    stage.signoff.revise(stage.ask(), by="ana", args={"iban": "de02 3006 0601 0502 5000 01"})
    assert stage.resume().status == "completed"
    assert (stage.effects, stage.standings()) == ([], ["denied"])


@stage_of(transfer)
@pytest.mark.parametrize("went_out", [True, False])
def test_after_a_crash_the_bank_says_whether_the_money_went_out(stage: Stage, went_out: bool) -> None:
    ticket = stage.signoff.approve(stage.ask(), by="ana")
    cut_off(stage, ticket)
    if went_out:
        with transfer.bank(stage.folder) as db, db:
            db.execute("INSERT INTO paid VALUES (?, ?, ?, 'Globex 114')", (f"{ticket.id}-{ticket.generation}", *PAID))
    run = stage.resume()
    assert (run.status, stage.effects) == ("completed", [PAID])
    assert said(run)[0].startswith(f"1140.50 EUR paid to {PAID[0]}")
