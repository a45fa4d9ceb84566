"""The list of the page: rows, filters, counts, facets, the chart, searches and live events."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from plsync.ui.prices import Prices
from tests.support.page import lines_of, page_of
from tests.support.page_journal import PageJournal


def names(page: TestClient, query: str) -> list[str]:
    found = page.get(f"/api/calls?{query}")
    assert found.status_code == 200, found.text
    return [row["name"] for row in found.json()["calls"]]


def test_a_row_has_facts_and_previews_and_no_content(page: TestClient, shown: PageJournal) -> None:
    (row,) = page.get(f"/api/calls?ids={shown.ids['plain']}&columns=user_id,nothing").json()["calls"]
    assert row["model"] == "gpt-4o-mini"
    assert row["tokens"] == {"input": 21, "output": 17, "cached": 5}
    assert (row["result"], row["delivery"], row["request_id"]) == ("ok", "sent", 1007)
    assert row["server"] == "https://api.promptlayer.com"
    assert row["input"] == "My invoice 2026-118 shows 19 % VAT twice. What should I do?"
    assert row["output"] == "Please ignore line 7."
    assert row["metadata"] == {"user_id": "42"}
    assert row["thread"] == "t1"
    assert row["took_us"] > 0
    assert not {"messages", "params", "outputs"} & row.keys()


def test_previews_of_answers_that_are_no_text(page: TestClient, shown: PageJournal) -> None:
    wanted = {
        "broken call": "→ lookup({no json)",
        "thinking": "Pay once.",
        "streamed": "a b c",
        "failed": None,
    }
    ids = ",".join(shown.ids[name] for name in wanted)
    rows = page.get(f"/api/calls?ids={ids}").json()["calls"]
    assert {row["name"]: row["output"] for row in rows} == wanted
    failed = rows[-1]
    assert (failed["result"], failed["status_code"], failed["error"]) == ("error", 429, "RateLimitError")
    assert failed["error_message"] == "Error code: 429 - FAIL429 please"
    assert rows[2]["first_token_us"] is not None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("result=error", ["failed"]),
        ("not.result=ok", ["failed"]),
        ("result=error&result=ok&not.result=error&tag=vision", ["picture"]),
        ("result=ok&not.result=ok", []),
        ("status_code=429", ["failed"]),
        ("error=RateLimitError", ["failed"]),
        ("delivery=refused", ["refused"]),
        ("delivery=sent", ["picture", "plain"]),
        ("model=claude", ["thinking"]),
        ("model=claude&model=gpt-4o&tag=vision", ["picture"]),
        ("not.model=gpt-4o-mini&not.model=FakeAgentModel&not.tag=vision", ["failed", "streamed", "thinking"]),
        ("tag=vision&tag=prod", ["picture"]),
        ("name=tools&name=plain", ["tools", "plain"]),
        ("thread=t1", ["tools", "plain"]),
        ("thread=t1&not.name=tools", ["plain"]),
        ("meta=user_id=42", ["tools", "plain"]),
        ("not.meta=user_id=42&name=tools", []),
        ("q=ignore%20line%207", ["plain"]),
        ("q=%231007", ["plain"]),
        ("q=%231008&result=error", []),
        ("q=%2399", []),
        ("since=1h&name=plain", ["plain"]),
        ("until=0", []),
        ("since=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00%2B00:00", []),
        ("slower=100000", []),
    ],
)
def test_filters(page: TestClient, query: str, expected: list[str]) -> None:
    assert names(page, query) == expected
    assert page.get(f"/api/count?{query}").json() == {"count": len(expected), "exact": True}


def test_the_box_finds_a_record_by_any_of_its_ids(page: TestClient, shown: PageJournal) -> None:
    whole = shown.ids["plain"]
    run = page.get(f"/api/calls/{whole}").json()["run_id"]
    for text in (whole, whole.replace("-", ""), whole[-12:], run, f"%20{whole.upper()}"):
        assert names(page, f"q={text}") == ["plain"], text
    assert names(page, "q=deadbeefdeadbeef") == []
    assert names(page, f"q={shown.ids['tree']}") == ["weather agent"]
    assert len(names(page, f"root={shown.ids['tree']}")) == 2


@pytest.mark.parametrize(
    "query",
    [
        "resutl=error",
        "result=fine",
        "delivery=lost",
        "run=1",
        "meta=x",
        "since=yesterday",
        "slower=x",
        "limit=0",
        "limit=1e9",
        "before=x",
        "ids=x",
        "limit=٣",
    ],
)
def test_a_wrong_parameter_is_an_error(page: TestClient, query: str) -> None:
    found = page.get(f"/api/calls?{query}")
    assert found.status_code == 400
    assert found.json()["error"]["code"] == "bad_request"


def test_pages_continue_behind_each_other(page: TestClient) -> None:
    whole = names(page, "")
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        body = page.get(f"/api/calls?limit=3&before={cursor}").json()
        assert body["complete"]
        found += [row["name"] for row in body["calls"]]
        cursor = body["next"]
    assert found == whole
    assert len(whole) == 10


def test_facets_are_counted_without_their_own_filter(page: TestClient) -> None:
    def counts(query: str, name: str) -> dict[str, int]:
        found = page.get(f"/api/facets?{query}").json()
        assert found["exact"]
        return {entry["value"]: entry["count"] for entry in found[name]}

    assert counts("", "result") == {
        "ok": 9,
        "error": 1,
        "cancelled": 0,
        "cut short": 0,
        "interrupted": 0,
        "running": 0,
    }
    assert counts("result=error", "result")["ok"] == 9
    assert counts("result=error", "model") == {"gpt-4o": 1}
    assert counts("model=gpt-4o&result=error", "result") == {**counts("", "result"), "ok": 2}
    assert counts("model=gpt-4o", "delivery")["sent"] == 1
    assert counts("", "tag").items() >= {"prod": 8, "vision": 1}.items()
    assert "user_id" in page.get("/api/facets").json()["metadata_keys"]


def test_the_chart_counts_each_call_once(page: TestClient) -> None:
    found = page.get("/api/histogram?buckets=7").json()
    assert len(found["buckets"]) == 7
    assert sum(bucket["calls"] for bucket in found["buckets"]) == 10
    assert sum(bucket["errors"] for bucket in found["buckets"]) == 1
    starts = [bucket["start_ms"] for bucket in found["buckets"]]
    assert starts == sorted(starts)
    assert (starts[0], starts[1] - starts[0]) == (found["from_ms"], found["bucket_ms"])
    assert starts[-1] < found["to_ms"]
    assert page.get("/api/histogram?tag=none").json()["exact"]


def test_a_search_streams_its_hits(page: TestClient) -> None:
    found = lines_of(page.get("/api/search?q=invoice&limit=1").text)
    assert [line["type"] for line in found] == ["hit", "end"]
    assert found[0]["call"]["name"] == "tools"
    assert not found[1]["complete"]
    rest = lines_of(page.get(f"/api/search?q=invoice&before={found[1]['next']}").text)
    assert [line["call"]["name"] for line in rest if line["type"] == "hit"] == ["plain"]
    assert rest[-1] == {"type": "end", "complete": True, "next": None}


def test_a_cost_needs_a_price(shown: PageJournal, tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"gpt-4o-mini": {"input_cost_per_token": 1, "output_cost_per_token": 2}}')
    with page_of(shown.path, prices=Prices.read(tmp_path / "prices.json")) as page:
        rows = page.get("/api/calls?name=plain&name=picture").json()["calls"]
        assert {row["name"]: row["cost"] for row in rows} == {"plain": 55.0, "picture": None}
        assert page.get("/api/journal").json()["prices"]


def test_rows_are_sorted_by_their_figures(page: TestClient) -> None:
    for order, name in ("took", "took_us"), ("tokens", "tokens"), ("first_token", "first_token_us"):
        smallest = page.get(f"/api/calls?sort={order}&order=asc").json()["calls"]
        largest = page.get(f"/api/calls?sort={order}").json()["calls"]
        figures = [row[name]["input"] + row[name]["output"] if name == "tokens" else row[name] for row in smallest]
        assert figures == sorted(figures)
        assert {row["id"] for row in largest} == {row["id"] for row in smallest}
    assert page.get("/api/calls?sort=cost").status_code == 400
    first = page.get("/api/calls?sort=took&limit=4").json()
    rest = page.get(f"/api/calls?sort=took&limit=50&before={first['next']}").json()
    assert len(first["calls"]) + len(rest["calls"]) == 10
    assert page.get(f"/api/calls?sort=tokens&before={first['next']}").status_code == 400


def test_usage_sums_tokens_durations_and_costs(shown: PageJournal, tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"gpt-4o-mini": {"input_cost_per_token": 1, "output_cost_per_token": 2}}')
    with page_of(shown.path, prices=Prices.read(tmp_path / "prices.json")) as page:
        found = page.get("/api/usage").json()
        groups = {group["name"]: group for group in found["groups"]}
        mini = groups["gpt-4o-mini"]
        assert (mini["calls"], mini["input_tokens"], mini["output_tokens"], mini["cached_tokens"]) == (4, 84, 68, 20)
        assert mini["cost"] == 4 * 55.0
        assert mini["p50_us"] > 0
        assert groups["gpt-4o"]["errors"] == 1
        assert groups["gpt-4o"]["cost"] is None
        assert found["total"]["cost"] == 220.0
        assert found["total"]["calls"] == 10
        assert "gpt-4o" in found["unpriced"]
        assert found["step"] == "hour"
        assert sum(step["calls"] for step in found["series"]) == 10
        assert sum(step["cost"] or 0 for step in found["series"]) == 220.0
        by_name = page.get("/api/usage?by=name").json()
        assert by_name["complete"]
        named = {group["name"]: (group["calls"], group["cost"]) for group in by_name["groups"]}
        assert named.items() >= {"plain": (1, 55.0), "picture": (1, None), "FakeAgentModel": (2, None)}.items()
        by_provider = page.get("/api/usage?by=provider&q=invoice").json()["groups"]
        assert [(group["name"], group["calls"], group["input_tokens"]) for group in by_provider] == [("chat", 2, 42)]
        by_result = page.get("/api/usage?by=result").json()["groups"]
        assert {group["name"]: group["calls"] for group in by_result} == {"ok": 9, "error": 1}
        tagged = page.get("/api/usage?by=tag&model=gpt-4o&result=ok&step=day").json()
        assert {group["name"]: group["calls"] for group in tagged["groups"]} == {"prod": 2, "vision": 1}
        assert len(tagged["series"]) in (1, 2)
        searched = page.get("/api/usage?q=invoice").json()
        assert (searched["total"]["calls"], searched["complete"]) == (2, True)
        assert page.get("/api/usage?by=colour").status_code == 400
        assert page.get("/api/usage?tag=nothing").json()["groups"] == []
