"""Where plsync is installed, pytest has fixtures for the tests of programs that use it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from plsync import Journal, PromptLayerCallbackHandler
from plsync.testing import PromptLayerServer


def test_the_server_is_where_the_environment_says(promptlayer_server: PromptLayerServer) -> None:
    assert os.environ["PROMPTLAYER_BASE_URL"] == promptlayer_server.url
    headers = {"X-API-KEY": os.environ["PROMPTLAYER_API_KEY"]}
    answer = httpx.get(f"{promptlayer_server.url}/prompt-templates", headers=headers, trust_env=False)
    assert answer.status_code == 200


def test_the_journal_is_this_tests_own(plsync_journal: Path) -> None:
    assert not plsync_journal.exists()
    PromptLayerCallbackHandler().on_llm_start({}, ["hi"], run_id=uuid4())
    with Journal.open() as journal:
        assert Path(journal.path) == plsync_journal


def test_a_suite_that_needs_neither_pays_for_neither(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert "plsync.testing.pytest_plugin" in sys.modules
            assert not {"plsync.testing.server", "plsync.recorder.handler"} & sys.modules.keys()
        """
    )
    pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider").assert_outcomes(passed=1)
