"""What people say of tickets, and the stop button: each word goes through the law onto the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from langgraph_signoff import law
from langgraph_signoff.canonical import is_deeper
from langgraph_signoff.desk import Step
from langgraph_signoff.errors import DecisionRefused, GrantRefused, IncompleteDecision, TooFast
from langgraph_signoff.granting import Effect
from langgraph_signoff.grants import Grants
from langgraph_signoff.handling import Handling
from langgraph_signoff.law import Case, Halt, Say, Scope
from langgraph_signoff.law.grants import Giver
from langgraph_signoff.ledger import Draft
from langgraph_signoff.revision import revise
from langgraph_signoff.speaking import Speaker
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Answer, Json, Reply, Ticket, Verdict

_EFFECTS: dict[Verdict, Effect] = {Verdict.APPROVE: "allow", Verdict.REJECT: "reject"}

_DEEPEST = 100  # levels of what comes from outside; a stack holds some hundreds


class Decisions(Grants, Handling):
    """Takes decisions, answers and halts."""

    def approve(
        self,
        ticket: Ticket | str,
        *,
        by: str,
        reason: str = "",
        if_digest: str | None = None,
        checked: Mapping[str, str] | None = None,
        read_for: timedelta | None = None,
        grant: Mapping[str, Any] | None = None,
    ) -> Ticket:
        """Approves what was seen: a `Ticket`, or an id with `if_digest`. Raises a DecisionRefused that says why not.

        `checked`: the answer to each item of the policy's checklist. `read_for`: how long they have had it before them; where the
        policy wants longer, or nobody knows, TooFast is raised once, and the same approval counts the next time.

        `grant`: lets the same calls run without asking from now on, as `Signoff.grant` with this ticket does: a mapping with
        `until`, and `uses`, `total` or `when` if wanted. If it is refused, nothing is approved.
        """
        say = self._say(Verdict.APPROVE, ticket, by, reason, if_digest)
        return self._decide_and_grant(ticket, replace(say, checked=checked or {}, read_for=read_for), grant)

    def reject(
        self,
        ticket: Ticket | str,
        *,
        by: str,
        reason: str = "",
        if_digest: str | None = None,
        grant: Mapping[str, Any] | None = None,
    ) -> Ticket:
        """Rejects what was seen. The agent is told who and why.

        `grant`: rejects the same calls from now on without asking, as `Signoff.grant` with this ticket does: a mapping with
        `until`, and `uses` or `when` if wanted. If it is refused, nothing is rejected.
        """
        say = self._say(Verdict.REJECT, ticket, by, reason, if_digest)
        return self._decide_and_grant(ticket, say, grant)

    def answer(
        self, ticket: Ticket | str, value: Json, *, by: str, reason: str = "", if_digest: str | None = None
    ) -> Ticket:
        """Answers a question: one of its options, a text, or the JSON of its form. The run that asked gets it.

        Where several must approve, they must give the same answer; another one of yours replaces the one before. Raises
        AnswerRefused, which names the field, for what does not fit what was asked.
        """
        say = self._say(Verdict.ANSWER, ticket, by, reason, if_digest)
        return self._spoken(ticket, say, lambda case, said: law.answer(case, said, value, self._people(case)))

    def confirm(
        self,
        ticket: Ticket | str,
        *,
        by: str,
        reason: str = "",
        if_digest: str | None = None,
        checked: Mapping[str, str] | None = None,
        read_for: timedelta | None = None,
    ) -> Ticket:
        """Says of the audit of an action that it was right; `checked` and `read_for` as for `approve`."""
        say = self._say(Verdict.CONFIRM, ticket, by, reason, if_digest)
        return self._decide(ticket, replace(say, checked=checked or {}, read_for=read_for))

    def flag(self, ticket: Ticket | str, *, by: str, reason: str = "", if_digest: str | None = None) -> Ticket:
        """Says of the audit of an action that it was wrong.

        An alert goes onto the record at once; an undo, or the call of another tool, is what `follow_up` does.
        """
        return self._decide(ticket, self._say(Verdict.FLAG, ticket, by, reason, if_digest))

    def revise(
        self,
        ticket: Ticket | str,
        *,
        by: str,
        args: Mapping[str, Json] | None = None,
        feedback: str = "",
        reason: str = "",
        if_digest: str | None = None,
    ) -> Ticket:
        """Changes the arguments, or sends the call back with feedback.

        `args` replaces those arguments that it names; a masked value left as it is keeps the real one. The edit is checked
        against the tool's schema and ruled again, and counts as its author's approval if they may approve it. Raises
        RevisionRefused if the schema or the policy refuses it.
        """
        if (args is None) == (not feedback):
            raise IncompleteDecision(
                "a revision is either args= (what should run) or feedback= (what to propose instead)"
            )
        say = self._say(Verdict.REVISE, ticket, by, reason or feedback, if_digest)
        if args is None:
            return self._decide(ticket, say)

        def step(case: Case, said: Say) -> list[Draft]:
            return revise(case, said, args, policy=self._policy_for(case), desk=self.desk)

        return self._spoken(ticket, say, step, policies=self._policy_in_force())

    def hear(self, replies: Sequence[Reply], *, by: str) -> list[Ticket]:
        """Hears what one person says of several tickets: all of it, or nothing if the law refuses any, and that is raised.

        `by` is taken to the letter: a server's user whose name only looks like another's is somebody else.
        """
        speaker = self._speaker()
        steps = {reply.ticket_id: self._step(reply, by, speaker) for reply in replies}
        if len(steps) < len(replies):
            raise IncompleteDecision("one ticket is named twice")
        try:
            return [to_ticket(case) for case in self._heard_together(steps, speaker)]
        except TooFast:
            self._note_haste(
                {r.ticket_id: said(r, by) for r in replies if r.says in (Verdict.APPROVE, Verdict.CONFIRM)}
            )
            raise

    def comment(self, ticket: Ticket | str, *, by: str, text: str) -> Ticket:
        """Adds a note to a ticket, at any time; it changes nothing."""
        case = self.desk.case(self._id(ticket))
        say = Say(Verdict.COMMENT, by.strip(), case.digest, text)
        return to_ticket(self.desk.write(case.id, lambda case: law.comment(case, say, self._people(case))))

    def withdraw(self, ticket: Ticket | str, *, by: str, reason: str = "") -> Ticket:
        """Abandons a ticket that is not running: nothing will come of it. Anybody known may, and the requester.

        An approved plan ends: what has begun on it finishes, every later call is asked about.
        """
        if not by.strip():
            raise IncompleteDecision("a withdrawal needs a name: give by=")

        def step(case: Case) -> list[Draft]:
            return law.withdraw(case, by=by.strip(), reason=reason, people=self._people(case))

        return to_ticket(self.desk.write(self._id(ticket), step))

    def erase(self, ticket: Ticket | str, *, by: str, reason: str) -> Ticket:
        """Erases what a finished ticket was about: arguments, words, result. That it was, and who erased it and why, stays.

        An action and its audit are erased together, whichever is named; the report of an outcome, and the ticket of an undo,
        quote the action and are erased apart. A run that comes to it again is answered from the record, without the contents.
        The checkpointer keeps its own copy of the conversation. Raises TicketClosed for a ticket that something may still come
        of: withdraw, settle, confirm or flag it first.
        """
        return to_ticket(self.desk.erase(self._id(ticket), by=by.strip(), reason=reason.strip()))

    def settle(
        self, ticket: Ticket | str, answer: Answer | str, *, by: str, reason: str = "", result: Json = None
    ) -> Ticket:
        """Says of a call in doubt whether it `happened` (with its result), `did_not_happen` (it runs), or to `give_up`."""
        say = Say(Verdict.COMMENT, by.strip(), "", reason)
        if answer not in set(Answer):
            raise IncompleteDecision(f"{answer!r} settles nothing; say {', '.join(Answer)}")
        known = Answer(answer)
        return self._spoken(ticket, say, lambda case, said: law.settle(case, known, said, self._people(case), result))

    # Stopping ---------------------------------------------------------------------------------------------------------

    def halt(self, *, by: str, reason: str = "", thread_id: str | None = None, tool: str | None = None) -> list[Halt]:
        """Stops everything behind a gate, or one thread, or one tool or node: from now on none of it starts, on any machine.

        What has begun finishes and is recorded. Runs that come to it end as `halted`; decisions can still be taken. It is on the
        record, and holds until `release`. Gives all that is halted now.
        """
        draft = law.halt(Scope(thread_id, tool), by=by, reason=reason)
        return list(self.desk.write_halt(lambda _: draft).active)

    def release(
        self, *, by: str, reason: str = "", thread_id: str | None = None, tool: str | None = None
    ) -> list[Halt]:
        """Takes back a halt of exactly this scope; what is still halted. Raises NotHalted. `threads_to_wake` has the threads."""
        scope = Scope(thread_id, tool)
        return list(self.desk.write_halt(lambda held: law.release(held, scope, by=by, reason=reason)).active)

    def halts(self) -> list[Halt]:
        """What is halted now, the oldest first."""
        return list(self.desk.halts().active)

    # ------------------------------------------------------------------------------------------------------------------

    def _step(self, reply: Reply, by: str, speaker: Speaker) -> Step:
        says = reply.says
        if is_deeper([reply.args, reply.value], _DEEPEST):
            raise IncompleteDecision(f"it is nested more than {_DEEPEST} levels deep")
        if isinstance(says, Answer):
            settles = Say(Verdict.COMMENT, by, "", reply.reason)
            return speaker.step(
                settles, lambda case, said: law.settle(case, says, said, self._people(case), reply.value)
            )
        if says is Verdict.REVISE and reply.args is None and not reply.reason.strip():
            raise IncompleteDecision("a revision is either args (what should run) or words (what to propose instead)")
        if says is Verdict.ANSWER and "value" not in reply.model_fields_set:
            raise IncompleteDecision(
                "an answer says what it is: give its value, or `message`; null where that is meant"
            )

        def step(case: Case, said: Say) -> list[Draft]:
            # Whoever names the generation and its digest was shown just this.
            say = replace(said, seen=to_ticket(case).seen if reply.generation is not None else "")
            if says is Verdict.REVISE and reply.args is not None:
                return revise(case, say, reply.args, policy=self._policy_for(case), desk=self.desk)
            if says is Verdict.ANSWER:
                return law.answer(case, say, _worded(case, reply.value), self._people(case))
            if says is Verdict.COMMENT:
                return law.comment(case, say, self._people(case))
            return law.decide(case, say, self._people(case))

        return speaker.step(said(reply, by), step)

    def _heard_together(self, steps: Mapping[str, Step], speaker: Speaker) -> list[Case]:
        policies = self._policy_in_force()
        return self.desk.write_together(steps, policies=policies, ends=lambda: speaker.read)

    def _say(self, verdict: Verdict, ticket: Ticket | str, by: str, reason: str, if_digest: str | None) -> Say:
        if isinstance(ticket, Ticket):
            return Say(verdict, by.strip(), if_digest or ticket.digest, reason, ticket.seen, ticket.generation)
        if not if_digest:
            raise IncompleteDecision("name what you saw: give the Ticket, or if_digest= as it was shown")
        return Say(verdict, by.strip(), if_digest, reason)

    def _decide_and_grant(self, ticket: Ticket | str, say: Say, grant: Mapping[str, Any] | None) -> Ticket:
        if grant is None:
            return self._decide(ticket, say)
        if unknown := sorted(set(grant) - {"until", "uses", "total", "when"}):
            raise GrantRefused(f"{', '.join(unknown)}: a grant with a decision takes until, uses, total and when")
        id_, effect = self._id(ticket), _EFFECTS[say.verdict]
        entry = self._given_with(id_, grant, effect, Giver(say.by, say.reason, id_))
        decided = self._decide(ticket, say)
        self._put(entry)
        return decided

    def _decide(self, ticket: Ticket | str, say: Say) -> Ticket:
        try:
            return self._spoken(ticket, say, lambda case, said: law.decide(case, said, self._people(case)))
        except TooFast:
            self._note_haste({self._id(ticket): say})
            raise

    def _note_haste(self, said: Mapping[str, Say]) -> None:
        speaker = self._speaker()
        for ticket_id, say in said.items():
            step = speaker.step(say, lambda case, heard: law.hurried(case, heard, self._people(case)))
            with suppress(DecisionRefused):  # somebody has decided meanwhile
                self.desk.write(ticket_id, step)


def said(reply: Reply, by: str) -> Say:
    """A reply as the law hears it, without what its ticket showed."""
    heard = Say(Verdict(reply.says), by, reply.digest, reply.reason, "", reply.generation)
    return replace(heard, checked=reply.checked, read_for=reply.read_for)


def _worded(case: Case, value: Json) -> Json:
    # Whoever can only write gives a form as its JSON.
    is_text = isinstance(value, str) and case.kind == "question"
    return law.worded(case.action.get("answer_schema", {}), value) if is_text else value
