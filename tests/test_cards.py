"""Cards in notebooks: a person sees what there is to decide, and nothing that a model wrote becomes part of the page."""

from __future__ import annotations

from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest

from langgraph_signoff import Policy, Requirements, Run, Signoff, Standing, Ticket
from langgraph_signoff.cards import ticket_html
from langgraph_signoff.render import ticket_lines
from langgraph_signoff.vocabulary import Escalation, Panel, Slot
from support import Clock, open_ticket

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;\x1b[31m\u202egpj"


class Page(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def signoff(tmp_path: Path) -> Signoff:
    return Signoff(tmp_path / "signoff.db")


def hostile(signoff: Signoff) -> Ticket:
    return open_ticket(
        signoff,
        {"to": HOSTILE, HOSTILE: {"deep": [HOSTILE]}},
        trigger=HOSTILE,
        agent=HOSTILE,
        requester=HOSTILE,
        resource=HOSTILE,
        describe="{args.to}",
        detail=HOSTILE,
    )


def test_what_a_model_or_a_person_wrote_is_shown_as_text_and_never_as_markup(signoff: Signoff) -> None:
    ticket = signoff.reject(hostile(signoff), by=f"{HOSTILE} too", reason=HOSTILE)
    run = Run(status="waiting", thread_id=HOSTILE, tickets=(ticket,), questions={HOSTILE: HOSTILE}, error=HOSTILE)
    page = Page(run._repr_html_())
    assert page.tags <= {"div", "span", "table", "tbody", "tr", "th", "td"}
    assert page.attributes == {"style"}
    assert page.text.count("<script>alert(1)</script>") >= 12
    assert not set("\x1b\u202e") & set(page.text)


def test_a_card_says_what_a_decision_needs(signoff: Signoff) -> None:
    text = Page(
        open_ticket(signoff, {"to": "bob", "amount": 5}, trigger="Pay him").__getattribute__("_repr_html_")()
    ).text
    for words in ("pending", "test", "to", '"bob"', "amount", "5", "Pay him", "1 approval by anybody", "digest", "due"):
        assert words in text


def test_a_card_tells_all_that_people_have_done_with_a_ticket(tmp_path: Path) -> None:
    clock, people = Clock(), {"ana": {"groups": ["finance"]}, "bo": {}, "cem": {}}
    with closing(Signoff(tmp_path / "people.db", policy=Policy(people=people), clock=clock)) as signoff:
        panel = Panel(levels=(((Slot(who=("group:finance",)), Slot(who=("bo",))),),))
        terms = {"approvals": 2, "panels": (panel,), "escalations": (Escalation(at=0.5, to=("cem",)),)}
        ticket = open_ticket(signoff, checklist=("it fits",), templates={"known": "we know them"}, **terms)
        signoff.take(ticket, by="ana")
        signoff.request_info(ticket, "which one?", by="ana", of="bo")
        signoff.give_info(ticket, "the first", by="bo")
        signoff.approve(ticket, by="ana", checked={"it fits": "yes"})
        clock.advance(hours=13)
        signoff.expire()
        signoff.take(ticket, by="cem")
        shown = signoff.ticket(ticket.id)
    card = Page(ticket_html(shown)).text
    lines = dict(ticket_lines(shown))
    for label in ("if late", "in hand", "inquiries", "escalated", "waits for", "decided", "checklist", "templates"):
        assert lines[label] in card, label


@pytest.mark.parametrize("standing", Standing)
def test_every_standing_has_a_card(standing: Standing, signoff: Signoff) -> None:
    assert str(standing) in Page(ticket_html(open_ticket(signoff).model_copy(update={"standing": standing}))).text


def test_an_erased_ticket_says_so_and_shows_no_arguments(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, {"to": "bob"}).model_copy(update={"erased": True})
    text = Page(ticket_html(ticket)).text
    assert "(erased)" in text
    assert "bob" not in text


def test_a_card_shows_requirements_only_while_there_is_something_to_decide(signoff: Signoff) -> None:
    ticket = open_ticket(signoff)
    assert isinstance(ticket.requirements, Requirements)
    assert "needs" in Page(ticket_html(ticket)).text
    assert "needs" not in Page(ticket_html(signoff.reject(ticket, by="ana"))).text


def test_reviewers_who_must_be_in_several_groups_are_named_unmistakably(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, reviewers=(("ana", "group:finance"), ("group:leads",)))
    assert "by (ana or group:finance) and group:leads" in Page(ticket_html(ticket)).text
