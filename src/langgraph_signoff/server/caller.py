"""How a client asks the routes of a server: one address, one user, and errors as what they were there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from langgraph_signoff.errors import LedgerUnavailable, SignoffError
from langgraph_signoff.server.wire import to_error

_PATIENCE = 60.0  # seconds for an answer of the routes


class _Stay(HTTPRedirectHandler):
    """Goes nowhere else: a redirected request would take the token along."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = build_opener(_Stay)


class Caller:
    """Asks the server at `url`, with `headers` that tell it who asks."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        # Of a header that is given twice, in whatever case, the later one tells who asks: on every way to the server.
        self.headers = {name.lower(): value for name, value in headers.items()}

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """What a route tells."""
        return self._ask(f"{path}?{urlencode(params or {}, doseq=True)}")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What a route answers to this object."""
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        if not self.url.startswith(("http://", "https://")):
            raise LedgerUnavailable(f"{self.url!r} is no address of a server; it begins with http:// or https://")
        headers = {"content-type": "application/json", **self.headers}
        try:
            with _OPENER.open(Request(f"{self.url}/signoff{path}", body, headers), timeout=_PATIENCE) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise self.refusal(error.code, _json(error.read())) from error
        except (OSError, HTTPException, ValueError) as error:
            raise self.silence(error) from error

    def refusal(self, status: int, body: Any) -> SignoffError:
        """The error that a response tells: ours by its name, any other as one of the server."""
        known = to_error(body)
        return known if known is not None else _refusal(self.url, status, body)

    def silence(self, error: Exception) -> SignoffError:
        """The error of a server that could not be asked."""
        return LedgerUnavailable(f"{self.url} does not answer: {error or type(error).__name__}")


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")[:200]


def _refusal(url: str, status: int, body: Any) -> SignoffError:
    detail = body.get("detail", body) if isinstance(body, dict) else body
    if status in (401, 403):
        return LedgerUnavailable(f"{url} lets nobody in without a name: {detail}; give SIGNOFF_TOKEN or --header")
    if status == 404:
        return LedgerUnavailable(
            f"{url} has no /signoff like ours; mount langgraph_signoff.server.app of this version under http.app there"
        )
    return LedgerUnavailable(f"{url} answers {status}: {detail}")
