"""Runs the page: a socket on this machine, uvicorn, and the browser."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import html
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import uvicorn

from plsync._common.files import create_new
from plsync.errors import ConfigError
from plsync.journal.digest_filler import Filler
from plsync.journal.journal import Journal
from plsync.ui.app import make_app
from plsync.ui.settings import Settings
from plsync.ui.tokens import state_directory

__all__ = ["PORT", "bound_socket", "link", "open_browser", "serve"]

PORT: Final = 7717
_ADDRESS: Final = "127.0.0.1"
_TRIED: Final = 20
_BACKLOG: Final = 128
# Seconds for open requests at the end.
_GRACE: Final = 2
# Windows has no such signal.
_HANG_UP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)


def bound_socket(port: int) -> socket.socket:
    """A socket that listens on this machine alone, at ``port`` or the next free one.

    Raises:
        ConfigError: no port is free.
    """
    candidates = [*range(port, min(port + _TRIED, 65536)), 0]
    for candidate in candidates:
        # With the number of the protocol, asyncio switches off the delay of small packets: 40 ms for each response.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":
                # A server that ended a moment ago does not keep its port.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((_ADDRESS, candidate))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES) or candidate == 0:
                raise ConfigError(
                    f"{_ADDRESS}:{candidate}: {error.strerror}; the page was not started: choose another --port"
                ) from error
        else:
            return listener
    raise ConfigError("no port is free; the page was not started: choose another --port")


def link(listener: socket.socket, token: str) -> str:
    """The address of the page. The token is in the fragment, which a browser sends to no server."""
    return f"http://{_ADDRESS}:{listener.getsockname()[1]}/#t={token}"


def serve(
    journal: Journal, settings: Settings, listener: socket.socket, on_start: Callable[[], None] = lambda: None
) -> None:
    """Answer requests until SIGINT, SIGTERM, or the end of the terminal.

    Args:
        journal: the open journal.
        settings: the choices of the user.
        listener: from :func:`bound_socket`.
        on_start: called when requests are answered.
    """
    server = _Server(
        uvicorn.Config(
            "",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            # A request that is no HTTP is nothing to report.
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
        ),
        on_start,
    )
    settings = replace(settings, is_stopping=lambda: server.should_exit)
    server.config.app = make_app(journal, settings)
    # Records of earlier versions have no figures yet.
    with Filler(journal):
        asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """uvicorn, whose end by a signal is no failure."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at a signal. uvicorn would raise it again at the end."""
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGINT, signal.SIGTERM]
        # nohup has it ignored, so that the process outlives the session.
        if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
            numbers.append(_HANG_UP)

        def handle(number: int, frame: Any) -> None:
            self.handle_exit(number, frame)
            # A loop that waits for a request wakes up.
            loop.call_soon_threadsafe(lambda: None)

        previous = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def open_browser(address: str) -> Iterator[Callable[[], None]]:
    """A function that opens the page in the user's browser, if this session has one.

    The browser gets the path of a private file that leads to the page. The address itself would show its token in the
    list of processes.
    """
    path: Path | None = None

    def start() -> None:
        nonlocal path
        if not _has_browser():
            return
        path = state_directory() / f"open-{os.urandom(8).hex()}.html"
        with open(create_new(path), "w", encoding="utf-8") as file:
            file.write(
                '<!doctype html><meta charset="utf-8"><title>plsync</title>'
                f'<meta http-equiv="refresh" content="0;url={html.escape(address)}">'
            )
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(path.as_uri())

    try:
        yield start
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()


def _has_browser() -> bool:
    """Whether a browser with windows can open here: a browser in the terminal would take it from this command."""
    if sys.platform in ("win32", "darwin"):
        return not os.environ.get("SSH_CONNECTION")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
