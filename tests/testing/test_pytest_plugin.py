"""The pytest fixtures that come with plsync."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from plsync import Journal, PromptLayerCallbackHandler
from plsync.testing import PromptLayerServer


def test_the_environment_holds_the_url_and_the_key_of_the_server(promptlayer_server: PromptLayerServer) -> None:
    assert os.environ["PROMPTLAYER_BASE_URL"] == promptlayer_server.url
    headers = {"X-API-KEY": os.environ["PROMPTLAYER_API_KEY"]}
    response = httpx.get(f"{promptlayer_server.url}/prompt-templates", headers=headers, trust_env=False)
    assert response.status_code == 200


def test_the_fixture_sets_the_journal_of_the_test(plsync_journal: Path) -> None:
    assert not plsync_journal.exists()
    PromptLayerCallbackHandler().on_llm_start({}, ["hi"], run_id=uuid4())
    with Journal.open() as journal:
        assert Path(journal.path) == plsync_journal


def test_a_suite_without_the_fixtures_imports_neither_package(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert "plsync.testing.pytest_plugin" in sys.modules
            assert not {"plsync.testing.server", "plsync.recorder.handler"} & sys.modules.keys()
        """
    )
    pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider").assert_outcomes(passed=1)
