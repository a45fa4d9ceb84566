"""A tree crosses the gap as a tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import Runnable, RunnableLambda

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.gap import Gap
from tests.support.trees import Node, trees


def test_a_hub_sends_the_chains_around_calls_in_one_trace(gap: Gap) -> None:
    handler = PromptLayerCallbackHandler(journal=gap.journal, runs="tree")
    model = FakeListChatModel(responses=["one", "two"])

    def call_twice(text: str) -> list[Any]:
        return [model.invoke(text).content, model.invoke(text).content]

    chain: Runnable[str, list[Any]] = RunnableLambda(call_twice).with_config(run_name="agent")
    chain.invoke("question", config={"callbacks": [handler], "tags": ["lab"]})

    def outline(path: Path) -> list[Node]:
        with Journal.open(path) as journal:
            journal.ingest(wait=True)
            return trees(journal)

    [here] = outline(gap.journal)
    [report] = gap.out()
    assert (report["records"], report["running"]) == (3, 0)
    gap.into_hub()
    [there] = outline(gap.journals / "berlin-lab")
    assert there.outline() == here.outline()
    with Journal.open(gap.journals / "berlin-lab") as journal:
        records = list(journal.records(runs=True))
        assert {record.tags[0] for record in records if not record.is_run or record.parent_id is None} == {"lab"}
    gap.deliver()
    assert len({span["context"]["trace_id"] for span in gap.server.spans}) == 1
    assert len(gap.server.spans) == 3
    assert len(gap.server.request_logs) == 2
    gap.back()
    gap.into_lab()
    with Journal.open(gap.journal) as journal:
        assert {record.state for record in journal.records(runs=True)} == {"acked"}
