"""Takes what is due out of the outbox, sends it, and writes down what came of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from langgraph_signoff import law, liveness
from langgraph_signoff.desk import Desk
from langgraph_signoff.errors import LedgerCorrupt, UnknownTicket
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Entry, Notice, moment, stamp
from langgraph_signoff.links import Signer
from langgraph_signoff.notify.channels import NotDelivered, Send, Unusable, sender
from langgraph_signoff.notify.message import News, Recipient, compose
from langgraph_signoff.policy import Policy
from langgraph_signoff.vocabulary import Delivery

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0  # seconds between two tries
LONG_ENOUGH = timedelta(days=3)  # after it nobody tries any more
_HOLD = timedelta(minutes=15)  # how long a deliverer on another host may be silent; longer than any message takes


def pause(tries: int, draw: float) -> timedelta:
    """How long to wait after a number of tries: twice as long each time, up to an hour, by a `draw` from 0 to 1 apart."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 30))
    return timedelta(seconds=longest * (0.5 + draw / 2))


@dataclass(slots=True)
class _Round:
    """What one delivery has come to so far; `resting` are the channels that took a message last and will not now."""

    environment: Mapping[str, str]
    sent: int = 0
    put_off: int = 0
    given_up: int = 0
    resting: dict[str, str] = field(default_factory=dict)
    passed: set[tuple[str, str, str]] = field(default_factory=set)
    senders: dict[str, Send] = field(default_factory=dict)


class Notifier:
    """Delivers what is due. Any number of them may be at work, in any process. `signer` makes the links of messages."""

    def __init__(self, desk: Desk, policy: Policy, signer: Signer) -> None:
        self._desk, self._policy, self._signer = desk, policy, signer
        self._unwritten: list[tuple[Notice, Notice]] = []
        self._lock = threading.Lock()

    def deliver(self, environment: Mapping[str, str]) -> Delivery:
        """Sends all that is due now, each channel's until it does not take one. Raises LedgerError; nothing else fails.

        `environment`: the values for what the policy names as `${NAME}`.
        """
        self._write_what_is_owed()
        so_far = _Round(environment)
        while fresh := [each for each in self._due(so_far) if _key(each) not in so_far.passed]:
            for notice in fresh:
                so_far.passed.add(_key(notice))
                if notice.channel not in so_far.resting:
                    self._serve(notice, so_far)
        return Delivery(
            sent=so_far.sent, put_off=so_far.put_off, given_up=so_far.given_up, problems=dict(so_far.resting)
        )

    def _due(self, so_far: _Round) -> list[Notice]:
        return self._desk.ledger.due_notices(stamp(self._desk.clock()), but=so_far.resting)

    def _serve(self, notice: Notice, so_far: _Round) -> None:
        if not self._is_free(notice):
            return
        try:
            send = so_far.senders.get(notice.channel) or self._sender(notice.channel, so_far.environment)
        except Unusable as error:
            so_far.resting[notice.channel] = str(error)
            self._give_up_if_old(notice, str(error), so_far)
            return
        so_far.senders[notice.channel] = send
        if self._is_for_people(notice):
            self._spread(notice, so_far)
        else:
            self._try(notice, send, so_far)

    def _sender(self, channel: str, environment: Mapping[str, str]) -> Send:
        return sender(self._policy.channel(channel), environment, self._desk.clock)

    def _is_free(self, notice: Notice) -> bool:
        if not notice.owner:
            return True
        # On this host a silent process may only be asleep, and would send after all.
        gone = liveness.is_gone(notice.owner)
        return self._desk.clock() >= moment(notice.until) if gone is None else gone

    # One message for each person ------------------------------------------------------------------------------------------

    def _is_for_people(self, notice: Notice) -> bool:
        channel = self._policy.channel(notice.channel)
        return channel is not None and channel.to == "people" and not notice.person

    def _spread(self, notice: Notice, so_far: _Round) -> None:
        """Puts a notice for each person in the place of one for all of them, in one transaction."""
        try:
            case, entry = self._read(notice)
        except (LedgerCorrupt, UnknownTicket) as error:
            self._put_off(notice, f"its ticket cannot be read: {error}", so_far)
            return
        people = law.audience(case, entry, self._policy.people, self._deputies())
        reached = [replace(notice, person=name) for name in people if name in self._policy.addresses]
        if reached:
            self._desk.ledger.swap_notice(notice, reached)
        else:
            why = (
                f"of {', '.join(people)} nobody has an address"
                if people
                else "the policy knows nobody who may decide it"
            )
            self._end(notice, "given_up", f"nobody to tell: {why}", so_far)

    # One message ----------------------------------------------------------------------------------------------------------

    def _try(self, notice: Notice, send: Send, so_far: _Round) -> None:
        until = stamp(self._desk.clock() + _HOLD)
        mine = replace(notice, owner=liveness.me(), until=until, tries=notice.tries + 1)
        if not self._desk.ledger.swap_notice(notice, [mine]):
            return  # somebody else has it
        problem = "it was cut off"
        try:
            problem = self._send(mine, send)
        finally:
            if problem:
                self._put_off(mine, problem, so_far)
                so_far.resting[notice.channel] = problem
            else:
                self._end(mine, "sent", "", so_far)

    def _send(self, notice: Notice, send: Send) -> str:
        """Sends a message; why it was not taken, empty if it was."""
        try:
            case, entry = self._read(notice)
            shows_arguments = self._policy.shows_arguments(case.requirements.queue, notice.channel)
            to = self._recipient(case, notice)
            send(compose(News(case, entry, notice, shows_arguments), to), to)
        except NotDelivered as error:
            return str(error)
        except (LedgerCorrupt, UnknownTicket) as error:
            return f"its ticket cannot be read: {error}"
        except Exception as error:  # whatever a channel's library fails with
            return f"it failed with {type(error).__name__}"
        return ""

    def _read(self, notice: Notice) -> tuple[Case, Entry]:
        return self._desk.case(notice.ticket), self._desk.history(notice.ticket)[notice.seq - 1]

    def _recipient(self, case: Case, notice: Notice) -> Recipient:
        if not notice.person:
            return Recipient()
        address = self._policy.addresses.get(notice.person)
        if address is None:
            raise NotDelivered(f"{notice.person} has no address in the policy")
        return Recipient(notice.person, address, self._link(case, notice))

    def _link(self, case: Case, notice: Notice) -> str:
        terms = self._policy.links
        if terms is None or notice.event not in law.ASKS:
            return ""
        if law.why_mute(case, notice.person, self._policy.people, self._deputies()):
            return ""
        until = moment(notice.since) + terms.valid_for
        ticket = (case.id, case.generation, case.digest)
        link = self._signer.make(source=notice.entry, ticket=ticket, person=notice.person, until=until)
        return f"{terms.url.rstrip('/')}/{self._signer.sign(link)}"

    def _deputies(self) -> law.Deputies:
        return self._desk.absences().deputies(self._desk.clock())

    # What came of it ------------------------------------------------------------------------------------------------------

    def _put_off(self, notice: Notice, problem: str, so_far: _Round) -> None:
        if self._give_up_if_old(notice, problem, so_far):
            return
        at = self._desk.clock() + pause(max(notice.tries, 1), random.random())
        so_far.put_off += 1
        self._write(notice, replace(notice, at=stamp(at), owner="", until="", problem=problem))

    def _give_up_if_old(self, notice: Notice, problem: str, so_far: _Round) -> bool:
        is_old = self._desk.clock() >= moment(notice.since) + LONG_ENOUGH
        if is_old:
            self._end(notice, "given_up", problem, so_far)
        return is_old

    def _end(self, notice: Notice, state: str, problem: str, so_far: _Round) -> None:
        so_far.sent += state == "sent"
        so_far.given_up += state == "given_up"
        now = stamp(self._desk.clock())
        self._write(notice, replace(notice, state=state, at=now, owner="", until="", problem=problem))

    def _write(self, old: Notice, new: Notice) -> None:
        with self._lock:
            self._unwritten.append((old, new))
        self._write_what_is_owed()

    def _write_what_is_owed(self) -> None:
        # What was sent while the ledger did not answer is not sent again by this process.
        with self._lock:
            while self._unwritten:
                old, new = self._unwritten[0]
                self._desk.ledger.swap_notice(old, [new])
                del self._unwritten[0]


def _key(notice: Notice) -> tuple[str, str, str]:
    return notice.entry, notice.channel, notice.person
