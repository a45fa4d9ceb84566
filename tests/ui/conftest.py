"""The journal of the page, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.support.page import page_of
from tests.support.page_journal import PageJournal, page_journal


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> PageJournal:
    """A journal with each thing that the page shows. Tests do not change it."""
    return page_journal(tmp_path_factory.mktemp("shown") / "journal")


@pytest.fixture(scope="session")
def page(shown: PageJournal) -> Iterator[TestClient]:
    """A client of its page."""
    with page_of(shown.path) as client:
        yield client
