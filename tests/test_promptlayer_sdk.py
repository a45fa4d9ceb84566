"""PromptLayer's own SDK, unchanged, works against the stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from promptlayer import AsyncPromptLayer, PromptLayer

from plsync.testing import PromptLayerServer


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer() as server:
        yield server


@pytest.fixture
def client(server: PromptLayerServer) -> PromptLayer:
    return PromptLayer(api_key=server.api_key, base_url=server.url)


def prompt(role: str, text: str) -> dict[str, Any]:
    return {"type": "chat", "messages": [{"role": role, "content": [{"type": "text", "text": text}]}]}


@pytest.fixture
def request_id(client: PromptLayer) -> int:
    now = time.time()
    log = client.log_request(
        provider="gpt4all",
        model="tiny",
        input=prompt("user", "hi"),
        output=prompt("assistant", "yo"),
        request_start_time=now,
        request_end_time=now,
        tags=["t"],
        metadata={"k": "v"},
    )
    request_id: int = log["id"]
    return request_id


def test_log_request_returns_the_id_of_a_stored_log(server: PromptLayerServer, request_id: int) -> None:
    assert [log["id"] for log in server.request_logs] == [request_id]


async def test_the_async_client_logs_too(server: PromptLayerServer) -> None:
    client = AsyncPromptLayer(api_key=server.api_key, base_url=server.url)
    log = await client.log_request(
        provider="gpt4all",
        model="tiny",
        input=prompt("user", "hi"),
        output=prompt("assistant", "yo"),
        request_start_time=0.0,
        request_end_time=1.0,
    )
    assert server.request_logs[0]["id"] == log["id"]


def test_scores_land_under_their_names(client: PromptLayer, server: PromptLayerServer, request_id: int) -> None:
    assert client.track.score(request_id=request_id, score=80)
    assert client.track.score(request_id=request_id, score=20, score_name="style")
    assert server.scores == {request_id: {"default": 80, "style": 20}}


def test_metadata_is_added(client: PromptLayer, server: PromptLayerServer, request_id: int) -> None:
    assert client.track.metadata(request_id=request_id, metadata={"user": "u1"})
    assert server.metadata[request_id] == {"k": "v", "user": "u1"}


def test_a_request_is_linked_to_its_prompt(client: PromptLayer, server: PromptLayerServer, request_id: int) -> None:
    server.add_prompt("greeting", prompt("user", "Hi {name}"))
    assert client.track.prompt(request_id=request_id, prompt_name="greeting", prompt_input_variables={"name": "Bo"})
    assert server.prompt_links[request_id]["prompt_name"] == "greeting"


def test_a_request_joins_a_group(client: PromptLayer, server: PromptLayerServer, request_id: int) -> None:
    group_id = client.group.create()
    assert client.track.group(request_id=request_id, group_id=group_id)
    assert server.groups == {group_id: [request_id]}


def test_a_template_comes_rendered(client: PromptLayer, server: PromptLayerServer) -> None:
    server.add_prompt("greeting", prompt("user", "Hi {name}"), labels=["prod"])
    template = client.templates.get("greeting", {"label": "prod", "input_variables": {"name": "Bo"}})
    assert template["prompt_template"] == prompt("user", "Hi Bo")
