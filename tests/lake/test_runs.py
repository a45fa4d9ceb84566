"""Runs of trees as rows of a lake: chains, tools and retrievers beside the calls of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import orjson
import polars
import pytest
from pyarrow import parquet

from plsync import PromptLayerCallbackHandler
from plsync.genai.columns import COLUMNS
from plsync.journal import Journal
from plsync.lake.export import export
from tests.support.spooling import SpoolWriter
from tests.support.trees import agent_model, graph, tool_call

T = 1_760_000_000_000


def rows(lake: Path, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    return duckdb.connect().sql(f"select {columns} from '{lake}/**/*.parquet' where {where} order by seq").fetchall()


@pytest.fixture
def lake(path: Path, tmp_path: Path) -> Path:
    """The lake of a real graph: a model that calls a tool, and the tool."""
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - slow to import
    from langchain_core.tools import tool  # noqa: PLC0415 - slow to import
    from langgraph.prebuilt import ToolNode  # noqa: PLC0415

    @tool
    def fetch(url: str) -> str:
        """Fetch a page."""
        raise TimeoutError(url)

    model = agent_model(tool_call("fetch", url="http://a"))
    tools: Any = ToolNode([fetch])
    built = graph(("model", lambda state: {"messages": [model.invoke(state["messages"])]}), ("tools", tools))
    handler = PromptLayerCallbackHandler(journal=path, runs="tree", pl_tags=["trip"])
    config = {"callbacks": [handler], "run_name": "traveller", "metadata": {"thread_id": "t1", "release": "2.1"}}
    with pytest.raises(TimeoutError):
        built.invoke({"messages": [HumanMessage("Where?")]}, config)
    with Journal.open(path) as journal:
        export(journal, tmp_path / "lake")
    return tmp_path / "lake"


def test_the_runs_of_a_graph_are_rows_under_the_root(lake: Path, path: Path) -> None:
    found = rows(lake, "kind, operation, name, status, trace_id, span_id, parent_span_id, metadata['release']")
    kinds = {row[0]: row for row in found}
    root, call, tool = found[0], kinds["chat"], kinds["tool"]
    assert root[:4] == ("chain", "invoke_agent", "traveller", "error")
    assert root[4][16:] == root[5] and root[6] is None
    assert (call[1], tool[1:4]) == ("chat", ("execute_tool", "fetch", "error"))
    assert {row[4] for row in found} == {root[4]}
    spans = {row[5] for row in found}
    assert all(row[6] in spans for row in found[1:])
    # Each run stores only the metadata that its parent lacks, and has a whole row.
    assert {row[7] for row in found} == {"2.1"}
    with Journal.open(path) as journal:
        assert len(found) == sum(1 for _ in journal.records(runs=True))


def test_a_tool_has_its_arguments_and_its_call(lake: Path) -> None:
    [(given, call_id, thread)] = rows(lake, "run_input, tool_call_id, conversation_id", "operation = 'execute_tool'")
    assert (orjson.loads(given), call_id, thread) == ({"url": "http://a"}, "call_1", "t1")
    assert rows(lake, "model, input_messages, params", "kind = 'tool'") == [(None, None, None)]
    [(question,)] = rows(lake, "run_input->>'$.messages[0].content'", "operation = 'invoke_agent'")
    assert question == "Where?"


def test_without_content_a_run_has_no_input_and_no_output(path: Path, tmp_path: Path) -> None:
    writer = SpoolWriter(path)
    root = writer.run("chain", "chain", at=T, input="secret", end={"output": "secret"})
    writer.run("retriever", "docs", at=T + 1, root=root, input="secret", end={"output": [{"page_content": "secret"}]})
    writer.close()
    with Journal.open(path) as journal:
        export(journal, tmp_path / "lake")
        export(journal, tmp_path / "bare", content=False)
    assert rows(tmp_path / "lake", "operation, run_input, run_output") == [
        (None, '"secret"', '"secret"'),
        ("retrieval", '"secret"', '[{"page_content":"secret"}]'),
    ]
    assert rows(tmp_path / "bare", "kind, run_input, run_output") == [("chain", None, None), ("retriever", None, None)]


def test_a_rerun_has_the_id_of_the_recorded_call(path: Path, tmp_path: Path) -> None:
    writer = SpoolWriter(path)
    writer.call("a", "b", at=T, metadata={"rerun_of": "0199-1", "rerun_model": "openai:m"})
    writer.close()
    with Journal.open(path) as journal:
        export(journal, tmp_path / "lake")
    assert rows(tmp_path / "lake", "rerun_of") == [("0199-1",)]


def test_a_lake_of_an_earlier_version_and_a_new_one_are_one_lake(path: Path, tmp_path: Path) -> None:
    writer = SpoolWriter(path)
    writer.call("a", "b", at=T)
    writer.run("tool", "fetch", at=T + 1)
    writer.close()
    lake = tmp_path / "lake"
    with Journal.open(path) as journal:
        export(journal, lake)
    [new] = lake.rglob("*.parquet")
    # Version 1 had the columns up to "marks".
    names = list(COLUMNS)[: list(COLUMNS).index("marks") + 1]
    table = parquet.read_table(new, partitioning=None).select(names).slice(0, 1)
    parquet.write_table(table, new.with_name("earlier.parquet"), compression="zstd")
    query = f"select operation, kind from read_parquet('{lake}/**/*.parquet', union_by_name = true) order by all"
    expected = [("chat", "chat"), ("chat", None), ("execute_tool", "tool")]
    assert sorted(duckdb.connect().sql(query).fetchall(), key=str) == sorted(expected, key=str)
    frame = polars.scan_parquet(f"{lake}/**/*.parquet", missing_columns="insert").select("operation", "kind").collect()
    assert sorted(frame.rows(), key=str) == sorted(expected, key=str)
