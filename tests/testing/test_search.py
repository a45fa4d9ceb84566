"""The stand-in's search of request logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from plsync.testing import PromptLayerServer
from tests.support.stand_in import client_of

SEARCH = "/api/public/v2/requests/search"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client of a stand-in with three logs: 1001 to 1003."""
    with PromptLayerServer(search_per_minute=None) as server, client_of(server) as client:
        for number, (words, answer) in enumerate([("France?", "Paris"), ("Spain?", "Madrid"), ("Italy?", "Rome")]):
            log = {
                "provider": "openai",
                "model": f"gpt-{number}",
                "input": {"type": "completion", "content": [{"type": "text", "text": words}]},
                "output": {"type": "completion", "content": [{"type": "text", "text": answer}]},
                "request_start_time": f"2026-11-2{number}T10:00:00Z",
                "request_end_time": f"2026-11-2{number}T10:00:01Z",
                "input_tokens": 10 * number,
                "tags": ["geo", f"t{number}"],
                "metadata": {"user": f"u{number}"},
            }
            assert client.post("/log-request", json=log).status_code == 201
        yield client


def found(client: httpx.Client, **query: Any) -> list[int]:
    response = client.post(SEARCH, json=query)
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


def by(field: str, operator: str, value: Any = None, nested_key: str | None = None) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value, "nested_key": nested_key}


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (by("metadata", "key_equals", "u1", "user"), {1002}),
        (by("metadata", "key_not_equals", "u1", "user"), {1001, 1003}),
        (by("metadata", "in", ["u0", "u2"], "user"), {1001, 1003}),
        (by("metadata", "is_null", None, "plan"), {1001, 1002, 1003}),
        (by("metadata_keys", "is", "user"), {1001, 1002, 1003}),
        (by("pl_id", "eq", 1002), {1002}),
        (by("pl_id", "in", [1001, 1003]), {1001, 1003}),
        (by("engine", "is", "gpt-2"), {1003}),
        (by("engine", "starts_with", "gpt"), {1001, 1002, 1003}),
        (by("tags", "is", "t1"), {1002}),
        (by("tags", "contains", "geo"), {1001, 1002, 1003}),
        (by("input_text", "contains", "Spain"), {1002}),
        (by("output_text", "not_contains", "Paris"), {1002, 1003}),
        (by("input_tokens", "gte", 10), {1002, 1003}),
        (by("input_tokens", "between", [5, 15]), {1002}),
        (by("request_start_time", "after", "2026-11-21T00:00:00Z"), {1002, 1003}),
        (by("status", "is", "SUCCESS"), {1001, 1002, 1003}),
    ],
)
def test_a_filter_finds_its_logs(client: httpx.Client, condition: dict[str, Any], ids: set[int]) -> None:
    assert set(found(client, filter_group={"filters": [condition]})) == ids


def test_filters_combine_and_nest(client: httpx.Client) -> None:
    either = {"logic": "OR", "filters": [by("tags", "is", "t0"), by("tags", "is", "t1")]}
    assert found(client, filter_group={"filters": [either]}) == [1002, 1001]
    assert found(client, filter_group={"logic": "AND", "filters": [either, by("engine", "is", "gpt-1")]}) == [1002]


def test_a_query_searches_prompt_and_output(client: httpx.Client) -> None:
    assert found(client, q="rome") == [1003]
    assert found(client, q="?") == [1003, 1002, 1001]


def test_the_newest_log_comes_first_by_default(client: httpx.Client) -> None:
    assert found(client) == [1003, 1002, 1001]
    assert found(client, sort_by="input_tokens", sort_order="asc") == [1001, 1002, 1003]


def test_results_come_in_pages(client: httpx.Client) -> None:
    response = client.post(SEARCH, json={"per_page": 2}).json()
    assert (len(response["items"]), response["total"], response["pages"], response["has_next"]) == (2, 3, 2, True)
    assert found(client, per_page=2, page=2) == [1001]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"per_page": 26}, 422),
        ({"page": 0}, 422),
        ({"sort_by": "input_tokens"}, 400),
        ({"sort_by": "luck", "sort_order": "asc"}, 400),
        ({"filter_group": {"filters": [by("user_intent", "is", "curious")]}}, 400),
        ({"filter_group": {"filters": [by("input_tokens", "gt", "many")]}}, 400),
        ({"filter_group": {"filters": [{"field": "tags"}]}}, 422),
        ({"filter_group": {}}, 422),
    ],
)
def test_an_invalid_search_is_refused(client: httpx.Client, query: dict[str, Any], status: int) -> None:
    assert client.post(SEARCH, json=query).status_code == status
