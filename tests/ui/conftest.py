"""The journal of the page, made once, and the browser that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from tests.support.page import page_of
from tests.support.page_journal import PageJournal, page_journal
from tests.support.ui_calls import UiJournal, ui_journal

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.browser import Tab


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> PageJournal:
    """A journal with each thing that the page shows. Tests do not change it."""
    return page_journal(tmp_path_factory.mktemp("shown") / "journal")


@pytest.fixture(scope="session")
def page(shown: PageJournal) -> Iterator[TestClient]:
    """A client of its page."""
    with page_of(shown.path) as client:
        yield client


# A browser runs as long as one module: its event loop would disturb the asynchronous tests of other modules.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    from tests.support.browser import started_browser  # noqa: PLC0415

    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiJournal]:
    """A journal with calls of each kind."""
    with ui_journal(tmp_path_factory.mktemp("ui") / "journal") as journal:
        yield journal


@pytest.fixture(scope="module")
def origin(journal: UiJournal) -> Iterator[str]:
    """The address of its page."""
    from tests.support.browser import served  # noqa: PLC0415

    with served(journal.path) as origin:
        yield origin


@pytest.fixture
def opened(browser: Browser, origin: str) -> Iterator[Tab]:
    """A tab of its page, in which nothing may fail."""
    from tests.support.browser import tab  # noqa: PLC0415

    with tab(browser, origin, permissions=["clipboard-read", "clipboard-write"]) as opened:
        yield opened
        opened.assert_calm()
