"""The stand-in builds trees of the spans that it receives, and asserts their shape."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from plsync.testing import PromptLayerServer
from tests.support.stand_in import TRACE, client_of, send, span

OTHER = "0194" * 8


def run(name: str, span_id: str, parent: str | None = None, **change: Any) -> dict[str, Any]:
    """A span without a log."""
    return {**span(span_id), "name": name, "parent_id": parent, "log_request": None, **change}


def call(span_id: str, parent: str | None, **change: Any) -> dict[str, Any]:
    return {**span(span_id), "name": "ChatOpenAI", "parent_id": parent, **change}


AGENT = [
    run("agent", "a" * 16, start_time=1),
    run("model", "b" * 16, "a" * 16, start_time=2),
    call("c" * 16, "b" * 16, start_time=3),
    run("tools", "d" * 16, "a" * 16, start_time=4),
    run("Tool: add", "e" * 16, "d" * 16, start_time=5, attributes={"tool_name": "add"}),
]
DRAWN = """\
agent
├─ model
│  └─ ChatOpenAI
└─ tools
   └─ Tool: add"""


def test_a_tree_has_its_spans_below_their_parents(client: httpx.Client, server: PromptLayerServer) -> None:
    request_id = send(client, *reversed(AGENT), close_after=True).json()["request_logs"][0]["id"]
    tree = server.tree("agent", closed=True)
    assert str(tree) == DRAWN
    assert [log.log and log.log["id"] for log in tree.calls] == [request_id]
    found = tree.find("Tool: add", tool_name="add")
    assert (found.parent and found.parent.name, found.status, found.log) == ("tools", "OK", None)
    assert server.tree(record_id="01930193-0193-7000-" + "c" * 4 + "-" + "c" * 12).name == "agent"


def test_a_trace_is_listed_once_its_root_has_arrived(client: httpx.Client, server: PromptLayerServer) -> None:
    send(client, *AGENT[1:3])
    assert server.trees == []
    with pytest.raises(AssertionError, match="0 trees have name='agent', not 1; no root span was received"):
        server.tree("agent")
    send(client, *AGENT[3:], AGENT[0], close_after=True)
    assert str(server.tree(trace_id=TRACE, closed=True)) == DRAWN


def test_parts_of_a_tree_are_one_tree_that_the_last_part_closes(
    client: httpx.Client, server: PromptLayerServer
) -> None:
    for part in AGENT[:-1]:
        send(client, part)
        assert server.tree("agent", closed=False)
    send(client, AGENT[-1], close_after=True)
    assert str(server.tree("agent", closed=True)) == DRAWN
    assert send(client, run("late", "f" * 16, "a" * 16)).json()["rejection_reason"] == "trace_closed"


def test_a_request_closes_all_its_traces_and_no_other(client: httpx.Client, server: PromptLayerServer) -> None:
    send(client, span("1" * 16, trace_id="0195" * 8))
    send(client, span("2" * 16), span("3" * 16, trace_id=OTHER), close_after=True)
    assert server.closed_traces == {TRACE, OTHER}
    assert [tree.closed for tree in server.trees] == [False, True, True]


def test_a_late_child_is_linked_to_the_tree(client: httpx.Client, server: PromptLayerServer) -> None:
    send(client, *AGENT, close_after=True)
    links = [{"context": {"trace_id": TRACE, "span_id": "a" * 16, "trace_state": ""}, "attributes": {}}]
    send(client, {**span("f" * 16, trace_id=OTHER), "links": links}, close_after=True)
    (late,) = server.tree("agent").linked
    assert (late.trace_id, late.closed, len(late.calls)) == (OTHER, True, 1)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([AGENT[0], AGENT[2]], "the parents of 1 spans of trace .* were not received: 'ChatOpenAI'"),
        ([AGENT[0], run("x", "1" * 16, "2" * 16), run("y", "2" * 16, "1" * 16)], "parents of 2 spans .*: 'x', 'y'"),
        ([AGENT[0], run("second", "b" * 16)], "trace .* has 2 roots, not 1; 2 received:\nagent\nsecond"),
    ],
)
def test_a_tree_that_is_not_whole_fails_with_its_drawing(
    client: httpx.Client, server: PromptLayerServer, spans: list[dict[str, Any]], message: str
) -> None:
    send(client, *spans)
    with pytest.raises(AssertionError, match=message):
        server.tree("agent")


def test_the_drawing_shows_trees_that_exist(client: httpx.Client, server: PromptLayerServer) -> None:
    send(client, *AGENT)
    with pytest.raises(AssertionError) as raised:
        server.tree("other")
    assert str(raised.value) == f"0 trees have name='other', not 1; 1 received:\n{DRAWN}"
    with pytest.raises(AssertionError, match=r"0 spans have the name 'model' and \{'n': 1\}, not 1:\nagent"):
        server.tree("agent").find("model", n=1)


def test_trees_are_served_as_json(client: httpx.Client) -> None:
    send(client, *AGENT[:2], close_after=True)
    (tree,) = client.get("/stand-in/trees").json()["trees"]
    assert (tree["name"], tree["closed"], [child["name"] for child in tree["children"]]) == ("agent", True, ["model"])


def test_a_log_that_came_alone_belongs_to_its_span(client: httpx.Client, server: PromptLayerServer) -> None:
    body = {
        "function_name": "openai.chat",
        "kwargs": {"model": "m"},
        "request_response": {},
        "request_start_time": 1.0,
        "request_end_time": 2.0,
        "span_id": "b" * 16,
        "api_key": server.api_key,
    }
    send(client, *AGENT[:2])
    client.post("/track-request", json=body)
    assert [found.name for found in server.tree("agent").calls] == ["model"]


def test_a_server_of_ids_knows_the_records_of_a_tree() -> None:
    records = [f"01930193-0193-7193-8193-00000000000{number}" for number in (1, 2)]
    with PromptLayerServer(keep="ids") as server, client_of(server) as client:
        send(client, *(span(record.replace("-", "")[16:]) for record in records))
        server.assert_exactly_once(records)
        assert [len(server.logs_of(record)) for record in records] == [1, 1]
        with pytest.raises(ValueError, match="use keep='all'"):
            server.tree()
        assert client.get("/stand-in/trees").status_code == 404
