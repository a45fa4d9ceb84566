"""A real browser for tests of the page: Chromium of the system, driven through its protocol."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from plsync import Journal
from plsync.ui.app import make_app
from plsync.ui.settings import Settings

TOKEN = "t" * 43
WIDTHS = (1500, 1000, 400)
THEMES = ("light", "dark")
WHOLE = os.environ.get("PLSYNC_BROWSER") == "all"
"""Whether every page is tested in every width and theme, and not only a part."""

only_whole = pytest.mark.skipif(not WHOLE, reason="make browser runs it")

# A busy machine takes seconds for a page.
SECONDS = 30
expect.set_options(timeout=SECONDS * 1000)

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@contextlib.contextmanager
def started_browser() -> Iterator[Browser]:
    """The browser of this machine. Skips the test where there is none."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no browser: install chromium to run the tests of the page")
    # Chromium's sandbox does not start as root.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*arguments, "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@contextlib.contextmanager
def served(path: Path, **settings: Any) -> Iterator[str]:
    """The page of a journal at a free port, in a thread. Yields its address."""
    with Journal.open(path, create=True) as journal:
        # `plsync ui` makes the digests of older records in the background.
        journal.digests.fill()
        app = make_app(journal, Settings(token=TOKEN, **settings))
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(10)


@dataclass
class Tab:
    """A tab of the browser, with all that it must not do."""

    page: Page
    origin: str
    foreign: list[str] = field(default_factory=list)
    """The requests that left the page's server."""
    complaints: list[str] = field(default_factory=list)
    """Errors in the console, exceptions, dialogs."""

    def __post_init__(self) -> None:
        self.page.on("request", self._on_request)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._on_dialog)

    def _on_request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("blob", "data") or f"{parts.scheme}://{parts.netloc}" == self.origin:
            return
        self.foreign.append(request.url)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def _on_dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str = "/") -> Page:
        """Go to a page of the server, with the token on the first visit."""
        is_first = not self.page.url.startswith(self.origin)
        self.page.goto(self.origin + path + (f"#t={TOKEN}" if is_first else ""))
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until the page shows its data."""
        self.page.wait_for_selector("main :is(h1, h2, .notice)", state="attached")
        until(self.page, "!document.querySelector('[aria-busy=true]')")

    def assert_calm(self) -> None:
        """No request left the machine, and nothing failed."""
        assert self.foreign == []
        assert self.complaints == []


@contextlib.contextmanager
def tab(
    browser: Browser, origin: str, *, width: int = 1500, height: int = 900, theme: str = "light", **options: Any
) -> Iterator[Tab]:
    """A tab of a separate profile."""
    viewport = {"width": width, "height": height}
    context: BrowserContext = browser.new_context(viewport=viewport, color_scheme=theme, **options)  # type: ignore[arg-type]
    context.set_default_timeout(SECONDS * 1000)
    try:
        yield Tab(context.new_page(), origin)
    finally:
        context.close()


def rows(page: Page) -> Locator:
    """The rows of the list of calls."""
    return page.locator("table.calls tbody tr")


def until(page: Page, condition: str, seconds: float = SECONDS) -> None:
    """Wait for a condition in JavaScript. The page's own policy forbids playwright's way, which is eval."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never true: {condition}"
        page.wait_for_timeout(25)


def axe(page: Page) -> list[str]:
    """The violations that axe finds in a page, each with its first element."""
    import axe_playwright_python  # noqa: PLC0415

    source = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    if not page.evaluate("'axe' in window"):
        # Through the protocol: the page's own policy lets no script in.
        session = page.context.new_cdp_session(page)
        session.send("Runtime.evaluate", {"expression": source})
        session.detach()
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:300]}" for one in found["violations"]]
