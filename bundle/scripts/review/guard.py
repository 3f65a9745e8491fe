"""Who may ask the server for what: the host, the token, the origin, the size of a request, and what a page may load.

The dangers are those of any server on one's own machine: a page of a stranger in the same browser asks it for things
(by its address, or by a name that the stranger's name server turns into 127.0.0.1: "DNS rebinding"), and another user
of the machine tries the port.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1 << 20
"""No request is larger: an outline of 20,000 corners takes half of it."""

_STYLE_OF_OPENSEADRAGON = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
"""The one style that OpenSeadragon 6.1.1 adds to the page: no outline around the slide on touch screens."""

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {_STYLE_OF_OPENSEADRAGON}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with each answer: the page runs and loads nothing but what the server has, and no other page shows it."""


def new_token() -> str:
    """The first part of each address of a run: 22 letters and digits that nobody can guess."""
    return secrets.token_urlsafe(16)


class Guard:
    """Lets requests through that the pages of this server send.

    Args:
        app: the server; paths below the token are its own.
        token: see `new_token`.
        hosts: what the header ``Host`` may say, such as ``127.0.0.1:8000``.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self.app = app
        self.token = token
        self.hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"expected a request of HTTP, but got {scope['type']}")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, text = refusal
            await PlainTextResponse(f"{text}\n", status)(scope, receive, send_guarded)
            return
        scope = {**scope, "root_path": f"/{self.token}"}
        await self.app(scope, _bounded(receive), send_guarded)

    def _refusal(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        """Status and reason, or None if the request may pass."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if host not in self.hosts:
            return 421, "this server answers to the address that the command printed, and to no other name"
        parts = scope["path"].split("/", maxsplit=2)
        if len(parts) < 3 or not secrets.compare_digest(parts[1].encode(), self.token.encode()):
            return 404, "not found; open the address that the command printed"
        if origin is not None and origin.lower() != f"http://{host}":
            return 403, "another page may not ask this server"
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
        if site in ("cross-site", "same-site") and mode != "navigate":
            return 403, "another page may not ask this server"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "expected GET or POST"
        if scope["method"] == "POST":
            if headers.get("content-type", "").split(";")[0] != "application/json":
                return 415, "expected JSON"
            if not headers.get("content-length", "").isdigit():
                return 411, "expected the length of what is sent"
            if int(headers["content-length"]) > MAX_BODY_BYTES:
                return 413, f"expected at most {MAX_BODY_BYTES} bytes"
        return None


def _bounded(receive: Receive) -> Callable[[], Any]:
    """Receives no more than a request may hold, whatever its header says."""
    num_bytes = 0

    async def receive_bounded() -> Message:
        nonlocal num_bytes
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > MAX_BODY_BYTES:
            return {"type": "http.disconnect"}
        return message

    return receive_bounded
