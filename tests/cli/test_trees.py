"""``plsync show --tree`` and ``plsync list --trees``."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.types import interrupt
from rich.cells import cell_len

from plsync import Journal, PromptLayerCallbackHandler
from plsync.cli.tree_page import tree_page
from plsync.cli.tree_table import dropping_content, tree_lines
from tests.support.commands import json_lines, printed, run
from tests.support.trees import agent_model, graph, tool_call


@tool
def temperature(city: str) -> str:
    """The temperature of a city."""
    return f"It is 4 degrees in {city}."


@tool
def broken(city: str) -> str:
    """Fails."""
    raise ValueError(f"no station in {city}")


@pytest.fixture
def handler(path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=path, runs="tree")


def use(handler: PromptLayerCallbackHandler, used: Any = temperature) -> None:
    model = agent_model(tool_call(used.name, city="Paris"), "It is 4 degrees in Paris.")
    agent: Any = create_agent(model, [used], name="forecast")
    agent.invoke({"messages": [("user", "How warm is Paris?")]}, {"callbacks": [handler]})


def drawn(path: Path, width: int = 120) -> list[str]:
    with Journal.open(path) as journal:
        root = next(journal.trees())
        return [line.plain for line in tree_page(root, root.id, width)]


def test_a_tree_is_drawn(handler: PromptLayerCallbackHandler, path: Path) -> None:
    use(handler)
    head, *lines = drawn(path)
    assert head.startswith("forecast  ok  ")
    assert "2 calls · 1 tool  trace " in head and head.endswith("  waiting")
    assert [line.split("  ")[0] for line in lines if line.startswith(("├", "└"))] == [
        "├─ model",
        "├─ tools",
        "└─ model",
    ]
    (used,) = (line for line in lines if "Tool:" in line)
    assert used.startswith("│  └─ Tool: temperature")
    assert used.endswith('{"city":"Paris"} → "It is 4 degrees in Paris."')


def test_an_error_and_a_narrow_terminal_are_shown(handler: PromptLayerCallbackHandler, path: Path) -> None:
    with pytest.raises(ValueError, match="no station"):
        use(handler, broken)
    (used,) = (line for line in drawn(path) if "Tool:" in line)
    assert used.endswith('error  {"city":"Paris"}  ValueError: no station in Paris')
    assert max(map(len, drawn(path, 40))) <= 40


def test_a_tool_without_content_has_no_arrow(path: Path) -> None:
    use(PromptLayerCallbackHandler(journal=path, content=False))
    (used,) = (line for line in drawn(path) if "Tool:" in line)
    assert used.endswith(" ms")


def test_a_run_that_started_after_the_end_of_a_tree_names_it(handler: PromptLayerCallbackHandler, path: Path) -> None:
    kept = []
    first_run: Any = RunnableLambda(lambda text, config: kept.append(config), name="first")
    first_run.invoke("x", {"callbacks": [handler]})
    agent_model("late").invoke("late?", kept[0])
    with Journal.open(path) as journal:
        (first,) = journal.trees()
        call = journal.tree(next(journal.records()).id)
        (head,) = tree_page(call, call.id, 200)
    assert f"  started after the end of {first.id}  " in head.plain


def test_a_name_begins_no_line_and_moves_no_column(handler: PromptLayerCallbackHandler, path: Path) -> None:
    steps = [
        RunnableLambda(str).with_config(run_name=name) for name in ("天気 予報", "two\nplsync: 1 record\t", "plain")
    ]
    chain = steps[0] | steps[1] | steps[2]
    chain.invoke("x", {"callbacks": [handler], "run_name": "chain\nof three"})
    with Journal.open(path) as journal:
        root = next(journal.trees())
        head, *lines = tree_page(root, root.id, 120)
    assert head.plain.startswith("chain of three  ok")
    assert [line.plain[:3] for line in lines] == ["├─ ", "├─ ", "└─ "]
    # The durations end in one column, and the style of the drawing ends with it.
    assert len({cell_len(line.plain[: line.plain.index(" ms")]) for line in lines}) == 1
    assert {line.style for line in lines} == {""}


def test_trees_are_listed(handler: PromptLayerCallbackHandler, path: Path) -> None:
    def approve(state: Any) -> Any:
        return interrupt("Send it?")

    use(handler)
    graph(("approve", approve)).invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    with Journal.open(path) as journal:
        head, waiting, done = (line.plain for line in tree_lines(journal.trees(), 200, journal.last_seq()))
    assert head.split() == ["ID", "STARTED", "NAME", "RESULT", "DELIVERY", "TOOK", "CALLS", "AND", "TOOLS"]
    assert "LangGraph  interrupted" in waiting and "0 calls" in waiting
    assert "forecast" in done and "2 calls · 1 tool" in done


def test_a_list_keeps_no_content_of_the_trees_before(handler: PromptLayerCallbackHandler, path: Path) -> None:
    for number in range(30):
        RunnableLambda(lambda text: text, name="echo").invoke(
            f"{number} " + "word " * 200_000, {"callbacks": [handler]}
        )
    with Journal.open(path) as journal:
        tracemalloc.start()
        try:
            lines = tree_lines(dropping_content(journal.trees()), 120, 30)
            next(lines)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(list(lines)) == 30
    # The contents have 60 MB.
    assert kept < 15 * 1_000_000


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (("--model", "gpt-4o"), "which has no model; `plsync list` lists calls"),
        (("--tag", "absent"), "`plsync list --trees` without filters shows the newest runs"),
    ],
)
def test_a_list_without_a_tree_names_the_reason(
    handler: PromptLayerCallbackHandler, path: Path, filters: tuple[str, ...], reason: str
) -> None:
    use(handler)
    done = run(path, "list", "--trees", *filters)
    assert (done.stdout, done.returncode) == ("", 0)
    assert reason in " ".join(done.stderr.split())


@pytest.mark.parametrize("width", [80, 70, 60])
def test_a_narrow_list_of_trees_keeps_the_result_the_duration_and_the_sums(
    handler: PromptLayerCallbackHandler, path: Path, width: int
) -> None:
    use(handler)
    with Journal.open(path) as journal:
        lines = [line.plain for line in tree_lines(journal.trees(), width, journal.last_seq())]
    assert max(map(len, lines)) <= width
    assert {"RESULT", "TOOK", "CALLS"} <= set(lines[0].split())
    assert lines[1].endswith("2 calls · 1 tool") and "  ok  " in lines[1]


def test_the_commands_find_the_tree_of_any_id(handler: PromptLayerCallbackHandler, path: Path) -> None:
    use(handler)
    with Journal.open(path) as journal:
        call = next(journal.records())
    page = printed(path, "show", call.id, "--tree")
    assert page.startswith("forecast  ok") and "Tool: temperature" in page
    (tree,) = json_lines(path, "list", "--trees")
    assert [child["name"] for child in tree["children"]] == ["model", "tools", "model"]
    assert tree["children"][1]["children"][0]["output"]
    assert run(path, "list", "--trees", "--result", "interrupted").stdout == ""


def test_list_and_tail_show_the_steps_of_runs(handler: PromptLayerCallbackHandler, path: Path) -> None:
    use(handler)
    for command in ("list", "tail"):
        assert len(json_lines(path, command)) == 2
        found = json_lines(path, command, "--runs")
        assert sorted(each["kind"] for each in found) == ["chain"] * 4 + ["chat"] * 2 + ["tool"]
        (used,) = (each for each in found if each["kind"] == "tool")
        assert (used["input"], used["output"]["content"]) == ({"city": "Paris"}, "It is 4 degrees in Paris.")
        text = printed(path, command, "--runs")
        assert "tool temperature" in text and '{"city":"Paris"}' in text and "How warm is Paris?" in text


def test_runs_is_an_option_of_lists_of_records(path: Path) -> None:
    assert "without --trees" in run(path, "list", "--runs", "--trees").stderr


def test_status_counts_runs_of_trees_without_calls(handler: PromptLayerCallbackHandler, path: Path) -> None:
    RunnableLambda(len, name="length").invoke("four", {"callbacks": [handler]})
    shown = printed(path, "status")
    assert "`plsync run` sends the runs of trees." in shown and "empty" not in shown
    (status,) = json_lines(path, "status")
    assert (status["left"], status["runs"]) == ({"runs": 1}, 1)
