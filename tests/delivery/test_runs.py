"""The sender delivers the calls of a tree, and no other run."""

from __future__ import annotations

from pathlib import Path

from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser

from plsync import Journal, PromptLayerCallbackHandler
from plsync.testing import PromptLayerServer
from tests.support.sending import send_once


def test_the_calls_of_a_tree_are_delivered_and_its_other_runs_are_kept(
    tmp_path: Path, server: PromptLayerServer
) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="tree")
    (FakeListChatModel(responses=["Paris"]) | StrOutputParser()).invoke("The capital?", {"callbacks": [handler]})
    send_once(tmp_path / "journal", server)
    with Journal.open(tmp_path / "journal") as journal:
        assert [record.state for record in journal.records()] == ["acked"]
        assert {run.record.state for run in next(journal.trees()).walk()} == {"acked", "held"}
        assert journal.stats().left == {}
    assert len(server.request_logs) == 1
