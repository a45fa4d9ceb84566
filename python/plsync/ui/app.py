"""The routes of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from plsync.journal.journal import Journal
from plsync.ui.answers import HANDLERS, error
from plsync.ui.guard import Guard
from plsync.ui.routes import api_routes
from plsync.ui.settings import Settings

__all__ = ["STATIC", "make_app"]

STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain",
}


def make_app(journal: Journal, settings: Settings) -> ASGIApp:
    """The page of a journal as an ASGI application."""
    routes = [*api_routes(settings), Route("/api/{rest:path}", _no_route), Route("/{path:path}", _page)]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.state.journal = journal
    app.state.settings = settings
    return Guard(app, settings.token)


async def _no_route(request: Request) -> Response:
    return error(404, "not_found", f"the API has no {request.url.path}")


async def _page(request: Request) -> Response:
    """A file of the front end. Each page of the front end is its one document."""
    name = request.path_params["path"]
    path = STATIC / name
    if "/" in name or path.suffix not in _TYPES or not path.is_file():
        path = STATIC / "index.html"
    if not path.is_file():
        return error(503, "failed", "the front end is missing in this installation; install plsync again")
    return FileResponse(path, media_type=_TYPES[path.suffix])
