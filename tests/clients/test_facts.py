"""Facts that clients report in different places: models, statuses, blocked answers, schemas, streamed arguments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.tools import tool
from pydantic import BaseModel

from plsync import Journal, PromptLayerCallbackHandler, Record
from plsync.promptlayer.mapping.blueprint import span
from plsync.testing.schema import check
from tests.support.wire import anthropic, bedrock, google, openai
from tests.support.wire.clients import CLIENTS, Client
from tests.support.wire.server import JSON, Answer, Format, WireServer, json_answer, sse

# Clients warn of their dependencies, and leave sockets to the garbage collector.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


class City(BaseModel):
    """A city."""

    name: str


def client_of(name: str) -> Client:
    client = next(client for client in CLIENTS if client.name == name)
    if not client.installed:
        pytest.skip(f"{client.module} is not installed")
    return client


@contextlib.contextmanager
def serving(name: str, path: Path, answer: Format | None = None) -> Iterator[tuple[Any, Any, WireServer]]:
    """A model of a client, the config of its handler, and its server."""
    client = client_of(name)
    with WireServer(answer or client.answer or openai.answer) as server:
        yield client.model(server.url), {"callbacks": [PromptLayerCallbackHandler(journal=path)]}, server


def record_of(path: Path) -> Record:
    with Journal.open(path) as journal:
        (record,) = journal.records()
    return record


def log_of(record: Record) -> JSON:
    built = span(record)
    check("Span", orjson.loads(orjson.dumps(built)))
    log: JSON = built["log_request"]
    return log


@pytest.mark.parametrize("name", ["ChatOpenAI", "OpenAI", "ChatAnthropic", "ChatOllama", "ChatMistralAI", "ChatGroq"])
def test_the_model_of_a_call_is_the_one_that_the_call_names(path: Path, name: str) -> None:
    with serving(name, path) as (model, config, server):
        model.bind(model="other").invoke("hi", config)
    assert server.requests[0][1]["model"] == "other"
    record = record_of(path)
    assert (record.model, log_of(record)["model"]) == ("other", "other")
    with Journal.open(path) as journal:
        assert [found.id for found in journal.records(model="other")] == [record.id]


def test_a_text_model_with_several_prompts_has_its_model_and_provider(path: Path) -> None:
    with serving("OllamaLLM", path) as (model, config, _):
        model.generate(["hi", "ho"], callbacks=config["callbacks"])
    with Journal.open(path) as journal:
        assert {(record.model, record.provider) for record in journal.records()} == {("model-1", "ollama")}


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        ("ChatGoogleGenerativeAI", google.BLOCKED, "safety"),
        (
            "ChatBedrockConverse",
            json_answer(
                {
                    "output": {"message": {"role": "assistant", "content": [{"text": "No."}]}},
                    "stopReason": "guardrail_intervened",
                    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
                    "metrics": {"latencyMs": 1},
                }
            ),
            "guardrail_intervened",
        ),
        (
            "ChatAnthropic",
            json_answer({**anthropic.message({}), "content": [], "stop_reason": "refusal"}),
            "refusal",
        ),
        (
            "ChatOpenAI",
            json_answer(
                {
                    "id": "c",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "m",
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "content_filter",
                            "message": {"role": "assistant", "content": "", "refusal": None},
                        }
                    ],
                    "usage": openai.USAGE,
                }
            ),
            "content_filter",
        ),
    ],
)
def test_a_blocked_answer_is_a_warning_with_the_providers_reason(
    path: Path, name: str, answer: Answer, reason: str
) -> None:
    with serving(name, path, lambda *_: answer) as (model, config, _):
        model.invoke("hi", config)
    record = record_of(path)
    log = log_of(record)
    assert (log["status"], log["error_message"]) == ("WARNING", f"The provider blocked the answer: {reason}.")
    assert not record.lossy


@pytest.mark.parametrize("name", ["ChatBedrockConverse", "ChatBedrock", "ChatOpenAI", "ChatAnthropic", "ChatGroq"])
def test_a_failed_call_has_the_request_id_of_its_provider(path: Path, name: str) -> None:
    with serving(name, path) as (model, config, server):
        server.failure = client_of(name).failure
        with pytest.raises(Exception):  # noqa: B017 - of any client
            model.invoke("hi", config)
    log = log_of(record_of(path))
    assert (log["error_type"], log["output"]["messages"]) == ("PROVIDER_RATE_LIMIT", [])
    assert (log["metadata"]["error_status_code"], log["metadata"]["error_request_id"]) == ("429", "req-1")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ChatOpenAI", {"response_format": City}),
        ("ChatOpenAI (Responses)", {"response_format": City}),
        ("ChatLiteLLM", {"response_format": City}),
        ("ChatGoogleGenerativeAI", {"response_schema": City, "response_mime_type": "application/json"}),
        ("ChatDeepSeek", {"response_format": City}),
    ],
)
def test_a_class_in_the_settings_is_recorded_by_its_schema(path: Path, name: str, settings: JSON) -> None:
    with serving(name, path) as (model, config, server), contextlib.suppress(Exception):
        model.invoke("hi", config, **settings)
        assert b'"name"' in orjson.dumps(server.requests)
    record = record_of(path)
    assert b'"properties":{"name":' in orjson.dumps(record.params)
    assert not record.lossy


def streamed(_path: str, request: JSON) -> Answer:
    """A search of Anthropic's server, and a tool call."""
    begun, *_ = anthropic.events({**request, "tools": None})
    blocks: list[tuple[JSON, list[str]]] = [
        (
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
            ['{"query": ', '"paris"}'],
        ),
    ]
    events = [begun]
    for index, (block, parts) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        for part in parts:
            delta = {"type": "input_json_delta", "partial_json": part}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [{"type": "message_delta", "delta": ended, "usage": {"output_tokens": 2}}, {"type": "message_stop"}]
    return sse(events, named=True)


@pytest.mark.parametrize("version", [None, "v0", "v1"])
def test_the_arguments_of_a_streamed_server_tool_are_delivered(path: Path, version: str | None) -> None:
    with serving("ChatAnthropic", path, streamed) as (model, config, _):
        versioned = model if version is None else model.model_copy(update={"output_version": version})
        list(versioned.stream("hi", config))
    (message,) = log_of(record_of(path))["output"]["messages"]
    (block,) = message["content"]
    assert (block["type"], block["name"], block["input"]) == ("server_tool_use", "web_search", {"query": "paris"})


BROKEN = '{"name": Paris'


def with_broken_arguments(answer: Format) -> Format:
    """The wire format with arguments of tool calls that are no JSON."""

    def broken(path: str, request: JSON) -> Answer:
        whole = answer(path, request)
        # The quotes are escaped once in JSON, and again in the JSON inside the events of a stream.
        swaps = [(b'\\"Paris\\"}', b"Paris"), (b'\\\\\\"Paris\\\\\\"}', b"Paris")]
        parts = list(whole.parts)
        for old, new in swaps:
            parts = [part.replace(old, new) for part in parts]
        return whole._replace(parts=parts)

    return broken


@tool
def find(name: str) -> str:
    """Finds a city."""
    return name


@pytest.mark.parametrize("name", ["ChatOpenAI", "ChatAnthropic", "ChatMistralAI", "ChatGroq", "ChatOpenAI (Responses)"])
def test_broken_arguments_of_a_stream_are_delivered_as_the_model_wrote_them(path: Path, name: str) -> None:
    answer = client_of(name).answer
    assert answer is not None
    with serving(name, path, with_broken_arguments(answer)) as (model, config, _):
        list(model.bind_tools([find]).stream("hi", config))
    log = log_of(record_of(path))
    (call,) = log["output"]["messages"][0]["tool_calls"]
    assert call["function"]["arguments"] == BROKEN
    assert log["error_message"] == "The model called a tool with arguments that are not JSON."


def chat_chunk(text: str) -> JSON:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


ANTHROPIC_ERROR = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}, "request_id": "req-1"}
GOOGLE_PIECE = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "Par"}]}}]}
BROKEN_STREAMS = {
    "ChatOpenAI": sse([chat_chunk("Par"), {"error": {"message": "slow", "code": "rate_limit_exceeded"}}]),
    "ChatAnthropic": sse([*anthropic.events({})[:3], ANTHROPIC_ERROR], named=True),
    "ChatGoogleGenerativeAI": sse([GOOGLE_PIECE, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}]),
    "ChatBedrockConverse": bedrock.failing_stream("throttlingException"),
}


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_an_error_inside_a_stream_has_its_type_and_the_part_that_arrived(path: Path, name: str) -> None:
    served = serving(name, path, lambda *_: BROKEN_STREAMS[name])
    with served as (model, config, _), pytest.raises(Exception):  # noqa: B017 - of any client
        list(model.stream("hi", config))
    log = log_of(record_of(path))
    assert (log["status"], log["error_type"]) == ("ERROR", "PROVIDER_RATE_LIMIT")
    assert log["output"]["messages"][0]["content"][0]["text"].startswith("Par")
    assert log["metadata"].get("error_status_code") in (None, "429")


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize(("reason", "message"), [("SAFETY", "blocked the answer"), ("NO_IMAGE", "stopped early")])
def test_an_answer_that_google_cut_is_a_warning_with_its_tokens(
    path: Path, way: str, reason: str, message: str
) -> None:
    usage = {"promptTokenCount": 8, "candidatesTokenCount": 2, "totalTokenCount": 10}
    body = {"candidates": [{"index": 0, "finishReason": reason}], "usageMetadata": usage}
    answer = json_answer(body) if way == "invoke" else sse([body])
    with serving("ChatGoogleGenerativeAI", path, lambda *_: answer) as (model, config, _):
        for _ in model.stream("hi", config) if way == "stream" else [model.invoke("hi", config)]:
            pass
    log = log_of(record_of(path))
    assert message in log["error_message"]
    assert (log["input_tokens"], log["output_tokens"]) == (8, 2)
