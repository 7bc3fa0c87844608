"""Where notices go: what may be written of a channel, and which parts of it name what stands in the environment."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from langgraph_signoff.policy.fields import Window
from langgraph_signoff.vocabulary import USUAL, Event, Json

ELSEWHERE = "elsewhere"
"""What stands in a stored policy for the definition of a channel: an address may be personal, or hold a password."""

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
ADDRESS = "{address}"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Place = Annotated[str, Field(min_length=1, max_length=2000)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Channel(_Part):
    """One way to tell people: an apprise URL, a signed webhook, or a local command. `${NAME}` stands for a value of the environment."""

    apprise: Place | None = None
    """A URL of apprise (mail, Slack, Teams, Telegram and others), such as `mailtos://me:${MAIL_PASSWORD}@example.org`."""
    webhook: Place | None = None
    """An http(s) URL that takes a POST of JSON, signed as Standard Webhooks are."""
    secret: Annotated[str, Field(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")] | None = None
    """The secret that a webhook is signed with, named as `${NAME}`."""
    command: Annotated[list[Place], Field(min_length=1)] | None = None
    """A program of this machine and its arguments; it gets the JSON on its standard input."""
    to: Literal["people"] | None = None
    """`people`: one message for each person who is to be told, at their `address`, with a link of their own."""

    @model_validator(mode="after")
    def _is_one(self) -> Channel:
        if problem := _mistake(self):
            raise PydanticCustomError("channel", "{because}", {"because": problem})
        return self


def _mistake(channel: Channel) -> str | None:
    ways = [way for way in (channel.apprise, channel.webhook, channel.command) if way is not None]
    if len(ways) != 1:
        return "is one of apprise, webhook and command"
    if (channel.secret is None) == (channel.webhook is not None):
        return "a webhook needs its secret, named as ${NAME}; nothing else has one"
    return next(filter(None, map(_url_mistake, (channel.apprise, channel.webhook))), None) or _person_mistake(channel)


def _url_mistake(url: str | None) -> str | None:
    if url is None:
        return None
    bare = REFERENCE.sub("x", url)
    if "${" in bare:
        return "${ begins no name; write ${NAME}"
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "is no URL"
    if password and not REFERENCE.search(password):
        return "holds a password; put it into the environment, and write ${NAME}"
    return None


def _person_mistake(channel: Channel) -> str | None:
    if channel.webhook and not re.match(r"https?://[^/]|\$\{", channel.webhook):
        return "a webhook begins with https:// or http://, or is ${NAME}"
    places = ADDRESS in (channel.apprise or "")
    if places and channel.to is None:
        return "{address} is a person's; write `to: people`"
    if channel.apprise and channel.to and not places:
        return "say where a person's {address} stands in the URL"
    return None


def defined(given: object) -> object:
    """What is written of a channel; None for one that is defined elsewhere, and known by its name only."""
    if given == ELSEWHERE:
        return None
    return {} if given is None else given


Definition = Annotated[
    Channel | None, BeforeValidator(defined, json_schema_input_type=Channel), PlainSerializer(lambda _: ELSEWHERE)
]
Channels = dict[Name, Definition]


class Hearing(_Part):
    """A channel that hears of the tickets of a queue."""

    channel: Name
    """The channel, by its name in `channels`."""
    on: list[Event] = list(USUAL)
    """Which events; left out: what somebody has to do, and what went wrong."""
    arguments: StrictBool = False
    """Whether the arguments of the call may leave with the message. What is redacted never does."""


def hearing(given: object) -> object:
    """A hearing from a channel's name, or from a mapping."""
    return {"channel": given} if isinstance(given, str) else given


Hearings = list[Annotated[Hearing, BeforeValidator(hearing, json_schema_input_type=str | Hearing)]]


class LinkTerms(_Part):
    """Links of a message, for the person whom it is for."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", max_length=500)]
    """Where the page behind them is; the token is added as a last part."""
    valid_for: Window = timedelta(hours=24)
    """How long a link holds."""


def link_terms(given: Json) -> Any:
    """The terms from a URL or a mapping; none where they are off."""
    if given in (None, "off", False):
        return None
    return {"url": given} if isinstance(given, str) else given
