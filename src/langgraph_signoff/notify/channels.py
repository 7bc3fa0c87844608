"""How a message leaves: by apprise, as a signed webhook, or through a command of this machine."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from langgraph_signoff.notify.message import Message, Recipient
from langgraph_signoff.policy.channels import ADDRESS, REFERENCE, Channel

PATIENCE = 15.0  # seconds that a webhook or a command may take

Send = Callable[[Message, Recipient], None]
"""Sends a message. Raises NotDelivered."""


class NotDelivered(Exception):
    """A message that its channel did not take; it is tried again. The text says why, and quotes nothing secret."""


class Unusable(Exception):
    """A channel that cannot be used as it is set up: the text says what to do. Nothing was tried."""


def sender(channel: Channel | None, environment: Mapping[str, str], clock: Callable[[], datetime]) -> Send:
    """What sends by a channel. Raises Unusable for one that lacks its definition, a value or a package."""
    if channel is None:
        raise Unusable("the policy does not define it; name the policy's file, or put it back into `channels`")
    if channel.command is not None:
        return _command(channel.command)
    if channel.webhook is not None:
        secret = _key(filled(channel.secret or "", environment))
        return _webhook(filled(channel.webhook, environment), secret, clock)
    return _apprise(filled(channel.apprise or "", environment))


def filled(text: str, environment: Mapping[str, str]) -> str:
    """A text with every `${NAME}` replaced: by the value of NAME, or by what stands in the file that NAME_FILE names."""

    def value(name: str) -> str:
        if environment.get(name):
            return environment[name].strip()
        file = environment.get(f"{name}_FILE")
        if not file:
            raise Unusable(f"it needs {name}: set it in the environment, or {name}_FILE to a file that holds it")
        try:
            return Path(file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise Unusable(f"{name}_FILE names {file}, which cannot be read") from error

    return REFERENCE.sub(lambda found: value(found[1]), text)


# Commands -----------------------------------------------------------------------------------------------------------------


def _command(words: list[str]) -> Send:
    def send(message: Message, to: Recipient) -> None:  # noqa: ARG001  # the data names the person
        given = json.dumps({"id": message.id, "title": message.title, "text": message.text, **message.data})
        try:
            done = subprocess.run(words, input=given.encode(), stdout=subprocess.DEVNULL, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise NotDelivered(f"{words[0]} took longer than {PATIENCE:.0f}s") from error
        except OSError as error:
            raise NotDelivered(f"{words[0]} cannot be run: {error.strerror}") from error
        if done.returncode:
            raise NotDelivered(f"{words[0]} ended with {done.returncode}")

    return send


# Webhooks -----------------------------------------------------------------------------------------------------------------


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unusable("its secret is not written as whsec_ and base64") from error
    if len(key) < 24:
        raise Unusable("its secret is shorter than 24 bytes, which Standard Webhooks asks for at least")
    return key


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    # Whoever answers for the address could have the message carried elsewhere.
    def redirect_request(self, *_: Any) -> None:
        return None


def _webhook(url: str, key: bytes, clock: Callable[[], datetime]) -> Send:
    opener = urllib.request.build_opener(_NoRedirects)

    def send(message: Message, to: Recipient) -> None:  # noqa: ARG001  # the data names the person
        body = json.dumps(message.data, separators=(",", ":")).encode()
        about = {"Content-Type": "application/json", "User-Agent": "langgraph-signoff"}
        headers = {**about, **signed(message.id, body, key=key, now=clock())}
        request = urllib.request.Request(url, body, headers, method="POST")
        try:
            with opener.open(request, timeout=PATIENCE):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            raise NotDelivered(f"it answered {error.code}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotDelivered(f"it did not answer: {_words(error)}") from error

    return send


def signed(id_: str, body: bytes, *, key: bytes, now: datetime) -> dict[str, str]:
    """The headers of a Standard Webhook (https://github.com/standard-webhooks/standard-webhooks): id, time and signature."""
    at = int(now.timestamp())
    mac = hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Webhook-Id": id_,
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _words(error: Exception) -> str:
    # The text of an error may quote the URL, and a URL may hold a password.
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or type(reason).__name__


# Apprise ------------------------------------------------------------------------------------------------------------------


def _apprise(url: str) -> Send:
    try:
        import apprise
    except ImportError as error:
        raise Unusable("it needs apprise: pip install 'langgraph-signoff[notify]'") from error

    def send(message: Message, to: Recipient) -> None:
        # No thread and no loop of its own: who is killed in the midst of it leaves nothing behind.
        post = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
        if not post.add(url.replace(ADDRESS, quote(to.address, safe=""))):
            raise NotDelivered("apprise does not know its URL")
        if not post.notify(message.text, title=message.title, body_format=apprise.NotifyFormat.TEXT):
            raise NotDelivered("apprise could not deliver it; its log says why")

    return send
