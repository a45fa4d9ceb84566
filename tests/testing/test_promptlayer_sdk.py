"""PromptLayer's SDK, unchanged, works against the stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from promptlayer import AsyncPromptLayer, PromptLayer
from promptlayer.exceptions import PromptLayerAPIError, PromptLayerAuthenticationError, PromptLayerNotFoundError

from plsync.testing import PromptLayerServer
from tests.support.openai_server import OpenAIServer


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


def test_a_log_with_every_field_is_stored_in_full(client: PromptLayer, server: PromptLayerServer) -> None:
    server.add_prompt("greeting", prompt("user", "Hi {name}"))
    log = client.log_request(
        provider="openai",
        model="gpt-4o",
        input=prompt("user", "Hi Bo"),
        output=prompt("assistant", "Hi!"),
        request_start_time=1.5,
        request_end_time=2.5,
        parameters={"temperature": 0.5},
        prompt_name="greeting",
        prompt_version_number=1,
        prompt_input_variables={"name": "Bo"},
        input_tokens=3,
        output_tokens=2,
        price=0.01,
        function_name="f",
        score=90,
        score_name="wit",
        api_type="chat-completions",
        status="WARNING",
        error_type="PROVIDER_PARTIAL_RESPONSE",
        error_message="cut short",
    )
    stored = server.assert_logged(prompt="Hi Bo", api_type="chat-completions", input_tokens=3, status="WARNING")
    assert (log["id"], server.scores) == (stored["id"], {stored["id"]: {"wit": 90}})


def test_an_invalid_log_is_refused(client: PromptLayer, server: PromptLayerServer) -> None:
    with pytest.raises(PromptLayerAPIError):
        client.log_request(
            provider="openai",
            model="gpt-4o",
            input={"type": "chat", "messages": [{"role": "user", "content": "a plain string"}]},
            output=prompt("assistant", "Hi!"),
            request_start_time=1.5,
            request_end_time=2.5,
        )
    server.assert_not_logged()


def test_a_wrong_key_is_an_authentication_error(server: PromptLayerServer) -> None:
    with pytest.raises(PromptLayerAuthenticationError):
        PromptLayer(api_key="pl_other", base_url=server.url).templates.get("greeting")


async def test_the_async_client_tracks_too(server: PromptLayerServer, request_id: int) -> None:
    client = AsyncPromptLayer(api_key=server.api_key, base_url=server.url)
    assert await client.track.score(request_id, 80)
    assert await client.track.metadata(request_id, {"user": "u1"})
    # Not track.prompt(): the asynchronous client of promptlayer 1.5.16 passes its arguments in the wrong order.
    group_id = await client.group.create()
    assert await client.track.group(request_id, group_id)
    assert (server.scores, server.groups) == ({request_id: {"default": 80}}, {group_id: [request_id]})
    assert server.metadata[request_id]["user"] == "u1"


def test_a_template_is_rendered(client: PromptLayer, server: PromptLayerServer) -> None:
    server.add_prompt("greeting", prompt("user", "Hi {name}"), labels=["prod"])
    template = client.templates.get("greeting", {"label": "prod", "input_variables": {"name": "Bo"}})
    assert template["prompt_template"] == prompt("user", "Hi Bo")


def test_an_unknown_template_is_not_found(client: PromptLayer) -> None:
    with pytest.raises(PromptLayerNotFoundError):
        client.templates.get("nowhere")


def test_templates_can_be_published_and_listed(client: PromptLayer, server: PromptLayerServer) -> None:
    published = client.templates.publish(
        {
            "prompt_name": "greeting",
            "prompt_template": prompt("user", "Hi {name}"),
            "commit_message": "first",
            "release_labels": ["prod"],
        }
    )
    server.add_prompt("farewell", prompt("user", "Bye"))
    assert published["prompt_name"] == "greeting"
    assert [template["prompt_name"] for template in client.templates.all()] == ["greeting", "farewell"]
    assert [template["prompt_name"] for template in client.templates.all(label="prod")] == ["greeting"]
    assert len(client.templates.all(page=2, per_page=1)) == 1


async def test_the_async_client_reads_templates_too(server: PromptLayerServer) -> None:
    client = AsyncPromptLayer(api_key=server.api_key, base_url=server.url)
    server.add_prompt("greeting", prompt("user", "Hi {name}"))
    template = await client.templates.get("greeting", {"input_variables": {"name": "Bo"}})
    assert template["prompt_template"] == prompt("user", "Hi Bo")
    assert [found["prompt_name"] for found in await client.templates.all()] == ["greeting"]


def test_the_sdks_cache_renders_a_template_that_was_fetched_once(server: PromptLayerServer) -> None:
    server.add_prompt("greeting", prompt("user", "Hi {name}"))
    client = PromptLayer(api_key=server.api_key, base_url=server.url, cache_ttl_seconds=60)
    for name in ("Bo", "Al"):
        template = client.templates.get("greeting", {"input_variables": {"name": name}})
        assert template["prompt_template"]["messages"][0]["content"][0]["text"] == f"Hi {name}"
    assert len(server.requests) == 1


@pytest.fixture
def openai(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    # The SDK caches one OpenAI client for the whole process.
    monkeypatch.setattr("promptlayer.utils._llm_client_cache", {})
    with OpenAIServer("Hi Bo!") as openai:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_BASE_URL", openai.url)
        yield openai


def add_runnable(server: PromptLayerServer) -> None:
    model = {"provider": "openai", "name": "gpt-4o", "parameters": {"temperature": 0.5}}
    server.add_prompt("greeting", prompt("user", "Greet {name}"), metadata={"model": model})


def test_run_logs_its_request_and_links_the_prompt(
    client: PromptLayer, server: PromptLayerServer, openai: OpenAIServer
) -> None:
    add_runnable(server)
    group_id = client.group.create()
    arguments = {"input_variables": {"name": "Bo"}, "tags": ["t"], "metadata": {"user": "u1"}, "group_id": group_id}
    result = client.run("greeting", **arguments)
    log = server.assert_logged(prompt="Greet Bo", answer="Hi Bo!", tag="t", model="gpt-4o", metadata={"user": "u1"})
    assert result["request_id"] == log["id"]
    assert result["prompt_blueprint"]["prompt_template"]["messages"][0]["content"][0]["text"] == "Greet Bo"
    assert server.prompt_links[log["id"]] == {
        "prompt_name": "greeting",
        "version": 1,
        "input_variables": {"name": "Bo"},
    }
    assert server.groups == {group_id: [log["id"]]}
    assert openai.requests[0]["temperature"] == 0.5


def test_run_logs_a_request_that_the_provider_refused(
    client: PromptLayer, server: PromptLayerServer, openai: OpenAIServer
) -> None:
    add_runnable(server)
    openai.failure = (401, {}, {"message": "no", "type": "auth", "code": "invalid_api_key"})
    with pytest.raises(Exception, match="no"):
        client.run("greeting", input_variables={"name": "Bo"})
    server.assert_logged(prompt="Greet Bo", status="ERROR", error_type="PROVIDER_AUTH_ERROR")


def test_traces_arrive_and_the_log_of_a_run_is_on_its_span(server: PromptLayerServer, openai: OpenAIServer) -> None:
    add_runnable(server)
    client = PromptLayer(api_key=server.api_key, base_url=server.url, enable_tracing=True)

    @client.traceable(name="greet everyone")  # type: ignore[untyped-decorator]
    def greet() -> Any:
        return client.run("greeting", input_variables={"name": "Bo"})

    request_id = greet()["request_id"]
    assert client.tracer_provider is not None
    assert client.tracer_provider.force_flush()
    client.tracer_provider.shutdown()
    spans = {span["name"]: span for span in server.spans}
    outer, run = spans["greet everyone"], spans["PromptLayer Run"]
    assert (run["trace_id"], run["parent_id"]) == (outer["trace_id"], outer["span_id"])
    headers = {"X-API-KEY": server.api_key}
    trace = httpx.get(f"{server.url}/api/public/v2/traces/{run['trace_id']}", headers=headers, trust_env=False).json()
    logged = {span["span_id"]: span["request_log_id"] for span in trace["spans"]}
    assert logged[run["span_id"]] == request_id
