"""Takes what is due out of the outbox, sends it, and writes down what came of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from langgraph_signoff import law, liveness
from langgraph_signoff.desk import Desk
from langgraph_signoff.errors import LedgerCorrupt, LedgerUnavailable, UnknownTicket
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Entry, Ledger, Notice, moment, stamp
from langgraph_signoff.links import Signer
from langgraph_signoff.notify.channels import NotDelivered, Send, Unusable, sender
from langgraph_signoff.notify.message import News, Recipient, compose
from langgraph_signoff.policy import Policy
from langgraph_signoff.vocabulary import EVENTS, Delivery

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0  # seconds between two tries
LONG_ENOUGH = timedelta(days=3)  # after it nobody tries any more
_HOLD = timedelta(minutes=15)  # how long a deliverer on another host may be silent; longer than any message takes
_MOST_FAILURES = 3  # messages in a row that a channel may refuse: one of them may be the message's fault


def pause(tries: int, draw: float) -> timedelta:
    """How long to wait after a number of tries: twice as long each time, up to an hour, by a `draw` from 0 to 1 apart."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 30))
    return timedelta(seconds=longest * (0.5 + draw / 2))


class Notifier:
    """Delivers what is due. Any number of them may be at work, in any process.

    `signer` makes the links of messages. `patience`: seconds that a channel may take for one message before the others go on
    without it.
    """

    def __init__(self, desk: Desk, policy: Policy, signer: Signer, *, patience: float = 60.0) -> None:
        self.desk, self.policy, self.signer, self.patience = desk, policy, signer, patience
        self.outbox = Outbox(desk.ledger)
        self._rounds: dict[str, Round] = {}

    def deliver(self, environment: Mapping[str, str]) -> Delivery:
        """Sends all that is due now, the channels side by side. Raises LedgerError; nothing else fails.

        `environment`: the values for what the policy names as `${NAME}`.
        """
        self.outbox.flush()
        rounds = [self._begin(name, environment) for name in self._due()]
        try:
            for each in rounds:
                each.wait()
        finally:
            for each in rounds:
                each.stop()
        return Delivery(
            sent=sum(each.sent for each in rounds),
            put_off=sum(each.put_off for each in rounds),
            given_up=sum(each.given_up for each in rounds),
            problems={each.channel: each.problem for each in rounds if each.problem},
        )

    def _due(self) -> list[str]:
        self._rounds = {name: each for name, each in self._rounds.items() if each.is_at_work}
        due = self.desk.ledger.due_channels(stamp(self.desk.clock()))
        return [name for name in due if name not in self._rounds]

    def _begin(self, name: str, environment: Mapping[str, str]) -> Round:
        self._rounds[name] = Round(self, name)
        self._rounds[name].begin(environment)
        return self._rounds[name]


class Outbox:
    """The ledger's notices, for one who changes them. What could not be written is written first, as soon as it can be."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._lock = ledger, threading.Lock()
        self._unwritten: list[tuple[Notice, Notice]] = []

    def write(self, old: Notice, new: Notice) -> None:
        """Puts a notice in the place of another, unless that has changed meanwhile."""
        with self._lock:
            self._unwritten.append((old, new))
        self.flush()

    def flush(self) -> None:
        """Writes what is owed: what was sent while the ledger did not answer is not sent again by this process."""
        with self._lock:
            while self._unwritten:
                old, new = self._unwritten[0]
                self._ledger.swap_notice(old, [new])
                del self._unwritten[0]


class Round:
    """One delivery of what is due to one channel, in a thread of its own, and what it has come to so far."""

    def __init__(self, notifier: Notifier, channel: str) -> None:
        self._desk, self._policy, self._signer = notifier.desk, notifier.policy, notifier.signer
        self._outbox, self._patience, self.channel = notifier.outbox, notifier.patience, channel
        self.sent = self.put_off = self.given_up = self._failures = 0
        self.problem, self._stopped, self._moved = "", False, time.monotonic()
        self._error: Exception | None = None
        self._done = threading.Event()

    def begin(self, environment: Mapping[str, str]) -> None:
        """Starts it. Who ends the process does not wait for it: what it was sending is sent again."""
        threading.Thread(target=self._run, args=(environment,), name="signoff-notify", daemon=True).start()

    @property
    def is_at_work(self) -> bool:
        """Whether it has not come to its end."""
        return not self._done.is_set()

    def wait(self) -> None:
        """Waits for its end, as long as it moves. Raises what it has raised."""
        if not self._ends():
            self.problem = f"it has been at one message for {self._patience:.0f}s; the others have gone on without it"
        elif self._error:
            raise self._error

    def stop(self) -> None:
        """Has it end after the message that it is at, and waits for that."""
        self._stopped = True
        self._ends()

    def _ends(self) -> bool:
        # Not `join`: a Ctrl-C in the middle of it has Python 3.11 take the thread for ended.
        while not self._done.wait(0.2):
            if time.monotonic() - self._moved > self._patience:
                return False
        return True

    def _run(self, environment: Mapping[str, str]) -> None:
        try:
            self.deliver(environment)
        except Exception as error:  # told to whoever waits for it
            self._error = error
        finally:
            self._done.set()

    def deliver(self, environment: Mapping[str, str]) -> None:
        """Sends until nothing is due, or the channel takes nothing."""
        try:
            send = sender(self._policy.channel(self.channel), environment, self._desk.clock)
        except Unusable as error:
            self.problem = str(error)
            self._give_up_what_is_old()
            return
        for notice in self._due():
            self._moved = time.monotonic()
            if self._stopped or self._failures >= _MOST_FAILURES:
                return
            if self._is_free(notice):
                self._serve(notice, send)

    def _due(self) -> Iterator[Notice]:
        passed: set[tuple[str, str]] = set()
        while page := self._desk.ledger.due_notices(self.channel, stamp(self._desk.clock())):
            fresh = [notice for notice in page if (notice.entry, notice.person) not in passed]
            passed.update((notice.entry, notice.person) for notice in fresh)
            if not fresh:
                return
            yield from fresh

    def _is_free(self, notice: Notice) -> bool:
        if not notice.owner:
            return True
        try:
            # On this host a silent process may only be asleep, and would send after all.
            gone = liveness.is_gone(notice.owner)
            return self._desk.clock() >= moment(notice.until) if gone is None else gone
        except (LookupError, ValueError, TypeError):
            return True  # nobody whom we know has written that

    def _serve(self, notice: Notice, send: Send) -> None:
        try:
            case, entry = self._read(notice)
        except (LedgerCorrupt, UnknownTicket, LookupError, ValueError):
            # Somebody has written into the ledger; what it does to one notice it must not do to all.
            self.problem = (
                f"a notice of ticket {notice.ticket[:12]} cannot be read; `signoff verify` names what was changed"
            )
            later = stamp(self._desk.clock() + timedelta(seconds=LONGEST_PAUSE))
            self._outbox.write(notice, replace(notice, at=later, owner="", until="", problem=self.problem))
            return
        if self._is_for_people(notice):
            self._spread(notice, case, entry)
        else:
            self._try(notice, News(case, entry, notice, self._shows_arguments(case)), send)

    def _read(self, notice: Notice) -> tuple[Case, Entry]:
        case, entry = self._desk.case(notice.ticket), self._desk.history(notice.ticket)[notice.seq - 1]
        if (entry.hash, entry.at) != (notice.entry, notice.since) or notice.event not in EVENTS:
            raise LookupError(notice.seq)
        return case, entry

    def _shows_arguments(self, case: Case) -> bool:
        return self._policy.shows_arguments(case.requirements.queue, self.channel)

    # One message for each person ------------------------------------------------------------------------------------------

    def _is_for_people(self, notice: Notice) -> bool:
        channel = self._policy.channel(self.channel)
        return channel is not None and channel.to == "people" and not notice.person

    def _spread(self, notice: Notice, case: Case, entry: Entry) -> None:
        """Puts a notice for each person in the place of one for all of them, in one transaction."""
        people = law.audience(case, (notice.event, entry), self._policy.people, self._deputies(case))
        reached = [replace(notice, person=name) for name in people if name in self._policy.addresses]
        if reached:
            self._desk.ledger.swap_notice(notice, reached)
        else:
            self._end(notice, "given_up", _nobody(people))

    # One message ----------------------------------------------------------------------------------------------------------

    def _try(self, notice: Notice, news: News, send: Send) -> None:
        until = stamp(self._desk.clock() + _HOLD)
        mine = replace(notice, owner=liveness.me(), until=until, tries=notice.tries + 1)
        if not self._desk.ledger.swap_notice(notice, [mine]):
            return  # somebody else has it
        problem = "it was cut off"
        try:
            problem = self._send(news, send)
        finally:
            self._note(mine, problem)

    def _send(self, news: News, send: Send) -> str:
        """Sends a message; why it was not taken, empty if it was."""
        try:
            to = self._recipient(news)
            send(compose(news, to), to)
        except NotDelivered as error:
            return str(error)
        except LedgerUnavailable:
            raise
        except Exception as error:  # whatever a channel's library fails with; its words may quote a password
            return f"it failed with {type(error).__name__}"
        return ""

    def _recipient(self, news: News) -> Recipient:
        person = news.notice.person
        if not person:
            return Recipient()
        address = self._policy.addresses.get(person)
        if address is None:
            raise NotDelivered(f"{person} has no address in the policy")
        return Recipient(person, address, self._link(news))

    def _link(self, news: News) -> str:
        terms, case, notice = self._policy.links, news.case, news.notice
        if terms is None or notice.event not in law.ASKS:
            return ""
        if law.why_mute(case, notice.person, self._policy.people, self._deputies(case)):
            return ""
        until = moment(notice.since) + terms.valid_for
        ticket = (case.id, case.generation, case.digest)
        link = self._signer.make(source=notice.entry, ticket=ticket, person=notice.person, until=until)
        return f"{terms.url.rstrip('/')}/{self._signer.sign(link)}"

    def _deputies(self, case: law.Case) -> law.Deputies:
        return self._desk.delegations().deputies(case, self._desk.clock())

    # What came of it ------------------------------------------------------------------------------------------------------

    def _note(self, notice: Notice, problem: str) -> None:
        if not problem:
            self._failures = 0
            self._end(notice, "sent", "")
            return
        self._failures, self.problem = self._failures + 1, problem
        if self._is_old(notice):
            self._end(notice, "given_up", problem)
            return
        self.put_off += 1
        at = self._desk.clock() + pause(notice.tries, random.random())
        self._outbox.write(notice, replace(notice, at=stamp(at), owner="", until="", problem=problem))

    def _is_old(self, notice: Notice) -> bool:
        return self._desk.clock() >= moment(notice.since) + LONG_ENOUGH

    def _give_up_what_is_old(self) -> None:
        for notice in self._due():
            if self._is_free(notice) and self._is_old(notice):
                self._end(notice, "given_up", self.problem)

    def _end(self, notice: Notice, state: str, problem: str) -> None:
        self.sent += state == "sent"
        self.given_up += state == "given_up"
        now = stamp(self._desk.clock())
        self._outbox.write(notice, replace(notice, state=state, at=now, owner="", until="", problem=problem))


def _nobody(people: Sequence[str]) -> str:
    why = f"of {', '.join(people)} nobody has an address" if people else "the policy knows nobody who may decide it"
    return f"nobody to tell: {why}"
