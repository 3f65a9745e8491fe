"""The server of a review: addresses on one side, `session.Session` on the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from .. import bundle_root
from ..annotations.verdict_files import ChangedOutsideError
from ..errors import InputError, one_line
from ..maps.palette import heat_gradient
from .guard import Guard
from .session import Session
from .worklist import totals

logger = logging.getLogger(__name__)

_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".txt": "text/plain",
}
_AT_ONCE = 4  # pictures that are made at a time: two for each of two cores, one of which waits for the disk
_KEPT = "private, max-age=86400"


def make_app(session: Session, token: str, hosts: Collection[str]) -> ASGIApp:
    """The server.

    Args:
        session: what it shows.
        token: the first part of each address, see `guard.new_token`.
        hosts: see `guard.Guard`.

    Returns:
        An ASGI application.
    """
    return Guard(_Review(session).app(), token, hosts)


class _Review:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.files = _read_files(Path(bundle_root()) / "templates" / "review")
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def app(self) -> Starlette:
        number = "{number:int}"
        routes = [
            Route("/", self.page),
            Route("/files/{name}", self.file),
            Route("/worklist", self.worklist),
            Route(f"/slides/{number}", self.slide),
            Route(f"/slides/{number}/verdicts", self.verdicts, methods=["GET", "POST"]),
            Route(f"/slides/{number}/{{version}}/thumbnail.jpg", self.thumbnail),
            Route(f"/slides/{number}/{{version}}/tiles/{{downsample:int}}/{{row:int}}/{{col:int}}.jpg", self.tile),
            Route(
                f"/slides/{number}/{{version}}/map/{{above:int}}/{{halvings:int}}/{{row:int}}/{{col:int}}.png", self.map
            ),
        ]
        return Starlette(routes=routes, exception_handlers={InputError: _refuse})

    async def page(self, request: Request) -> Response:
        return Response(self.files["index.html"], media_type="text/html")

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "colors.css":
            return Response(f":root{{--heat:{heat_gradient()}}}\n", media_type="text/css")
        if name not in self.files:
            return Response(status_code=404)
        return Response(self.files[name], media_type=_KINDS[Path(name).suffix])

    async def worklist(self, request: Request) -> Response:
        found = await run_in_threadpool(self.session.worklist)
        queue = await run_in_threadpool(self.session.queue)
        program = f"pathology-tumor-detection {version('pathology-tumor-detection')}"
        return JSONResponse({"slides": found, "totals": totals(found), "queue": queue, "program": program})

    async def slide(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.session.describe, request.path_params["number"]))

    async def verdicts(self, request: Request) -> Response:
        number, judging = request.path_params["number"], self.session.judging
        if request.method != "POST":
            revision = request.query_params.get("revision", "")
            known = int(revision) if revision.isdigit() else None
            return JSONResponse(await run_in_threadpool(judging.state, number, known))
        try:
            change = await request.json()
        except (ValueError, RecursionError):
            change = None
        if not isinstance(change, dict):
            raise InputError("expected a change as a JSON object; reload the page")
        try:
            return JSONResponse(await run_in_threadpool(judging.change, number, change))
        except ChangedOutsideError as error:
            state = await run_in_threadpool(judging.state, number)
            return JSONResponse({**state, "error": one_line(error)}, status_code=409)

    async def thumbnail(self, request: Request) -> Response:
        return await self._picture(request, "image/jpeg", self.session.thumbnail)

    async def tile(self, request: Request) -> Response:
        return await self._picture(request, "image/jpeg", self.session.tile, "downsample", "row", "col")

    async def map(self, request: Request) -> Response:
        def make(number: int, halvings: int, row: int, col: int, percent: int) -> bytes:
            return self.session.map_tile(number, halvings, row, col, percent / 100)

        return await self._picture(request, "image/png", make, "halvings", "row", "col", "above")

    async def _picture(self, request: Request, kind: str, make: Callable[..., bytes], *keys: str) -> Response:
        """Make a picture, unless the browser has it or wants it no more.

        Its address holds the version of slide and map, so the picture of an address never changes, and its ETag is
        known before it is made.
        """
        number = request.path_params["number"]
        if request.path_params["version"] != await run_in_threadpool(self.session.version, number):
            raise InputError("the slide or its map has changed since the page was loaded; reload the page")
        tag = f'"{request.path_params["version"]}"'
        headers = {"ETag": tag, "Cache-Control": _KEPT}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        async with self._turns:
            if await request.is_disconnected():  # the reader has moved on
                return Response(status_code=204)
            values = [request.path_params[key] for key in keys]
            return Response(await run_in_threadpool(make, number, *values), media_type=kind, headers=headers)


def _read_files(folder: Path) -> dict[str, bytes]:
    """What the page is made of, by name: read once, so that no name in an address becomes a path."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in _KINDS}


def _refuse(request: Request, error: Exception) -> Response:
    text = one_line(error)
    logger.info("%s: %s", request.url.path, text)
    return JSONResponse({"error": text}, status_code=400 if request.method == "POST" else 404)
