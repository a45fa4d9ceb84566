"""A record becomes one span with its request log, in the shapes PromptLayer documents."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plsync.promptlayer.blueprint import span
from plsync.record import STATUSES, Record
from plsync.testing.schema import validator

HOUR = 1_795_378_479_779_262_001
RECORD_ID = bytes.fromhex("0193aaaabbbb7ccc8dddeeeeffff0001")


@dataclass
class StoredRow:
    """The attributes of a stored row that a blueprint depends on."""

    start: bytes | None
    end: bytes | None
    ended: int
    flags: int = 0
    id: bytes = RECORD_ID
    seq: int = 1
    state: int = 1
    attempts: int = 1
    last_error: str | None = None
    sink: str | None = None
    writer: bytes = bytes(16)
    request_id: int | None = None
    acked_at: int | None = None
    not_before: int | None = None


@dataclass
class Call:
    """One call as the handler would have written it."""

    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    status: str = "ok"
    flags: int = 0

    def span(self) -> dict[str, Any]:
        start = {
            "v": 1,
            "kind": "chat",
            "t": HOUR,
            "run_id": "019a0000-0000-7000-8000-000000000001",
            "parent_run_id": None,
            "class": ["langchain_openai", "ChatOpenAI"],
            "name": None,
            "messages": [tagged("HumanMessage", content="hi", type="human")],
            "params": {"model": "gpt-x"},
            "options": {},
            "tags": [],
            "pl_tags": [],
            "metadata": {"ls_provider": "openai"},
            **self.start,
        }
        end = {"v": 1, "t": HOUR + 5_000_000_000, "elapsed": 2_000_000_000, "generations": [], **self.end}
        row = StoredRow(orjson.dumps(start), orjson.dumps(end), STATUSES.index(self.status), self.flags)  # type: ignore[arg-type]
        built = span(Record.from_row(row))  # type: ignore[arg-type]
        validator("Span").validate_python(built)
        return built

    def log(self) -> dict[str, Any]:
        log: dict[str, Any] = self.span()["log_request"]
        return log


def tagged(tag: str, /, **fields: Any) -> dict[str, Any]:
    return {"$": tag, "v": fields}


def answer(content: Any = "yo", **fields: Any) -> dict[str, Any]:
    message = tagged("AIMessage", type="ai", content=content, **fields)
    text = content if isinstance(content, str) else ""
    return tagged("ChatGeneration", text=text, message=message, generation_info=None)


def sent(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Call(start={"messages": list(messages)}).log()["input"]["messages"]
    return found


def received(generation: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = Call(end={"generations": [generation]}).log()["output"]["messages"]
    return found[0]


def content_of(block: Any) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = sent(tagged("HumanMessage", type="human", content=[block]))[0]["content"]
    return content


def test_ids_come_from_the_record_id() -> None:
    context = Call().span()["context"]
    assert context == {"trace_id": RECORD_ID.hex(), "span_id": RECORD_ID[8:].hex(), "trace_state": ""}


def test_times_are_those_of_the_call_in_monotonic_length() -> None:
    built = Call().span()
    assert (built["start_time"], built["end_time"]) == (HOUR, HOUR + 2_000_000_000)
    assert built["log_request"]["request_start_time"] == "2026-11-22T20:14:39.779262Z"


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (tagged("SystemMessage", type="system", content="x"), "system"),
        (
            tagged("SystemMessage", type="system", content="x", additional_kwargs={"__openai_role__": "developer"}),
            "developer",
        ),
        (tagged("HumanMessage", type="human", content="x"), "user"),
        (tagged("AIMessage", type="ai", content="x"), "assistant"),
        (tagged("AIMessageChunk", type="AIMessageChunk", content="x"), "assistant"),
        (tagged("ToolMessage", type="tool", content="x", tool_call_id="c1"), "tool"),
        (tagged("FunctionMessage", type="function", content="x", name="f"), "function"),
        (tagged("ChatMessage", type="chat", role="developer", content="x"), "developer"),
        (tagged("ChatMessage", type="chat", role="narrator", content="x"), "user"),
        (tagged("ChatMessage", type="chat", role="tool", content="x"), "user"),
    ],
)
def test_each_message_type_has_its_role(message: dict[str, Any], role: str) -> None:
    assert sent(message)[0]["role"] == role
    assert sent(message)[0]["content"] == [{"type": "text", "text": "x"}]


def test_content_is_always_a_list() -> None:
    assert sent(tagged("HumanMessage", type="human", content=""))[0]["content"] == []


def test_a_tool_message_names_the_call_it_answers() -> None:
    message = sent(tagged("ToolMessage", type="tool", content="4", tool_call_id="c1", name="add", artifact=[1]))[0]
    assert (message["tool_call_id"], message["name"]) == ("c1", "add")
    assert "artifact" not in message


def test_a_failed_tool_is_named_in_the_metadata() -> None:
    failed = tagged("ToolMessage", type="tool", content="boom", tool_call_id="c1", status="error")
    assert Call(start={"messages": [failed]}).log()["metadata"]["failed_tool_calls"] == "c1"


def test_a_remove_message_is_left_out() -> None:
    assert sent(tagged("RemoveMessage", type="remove", content="", id="m1")) == []


def test_tool_calls_carry_their_arguments_as_json() -> None:
    calls = [{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    message = received(answer("", tool_calls=calls))
    function = {"name": "add", "arguments": '{"a":1}'}
    assert message["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert message["content"] == []


def test_tool_use_in_content_is_not_told_twice() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    calls = [{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    message = received(answer([block], tool_calls=calls))
    assert (len(message["tool_calls"]), message["content"]) == (1, [])


def test_tool_use_only_in_content_becomes_a_tool_call() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    assert received(answer([block]))["tool_calls"][0]["function"]["name"] == "add"


def test_unparsable_tool_arguments_are_kept_and_warned_of() -> None:
    log = Call(end={"generations": [answer("", invalid_tool_calls=[{"name": "f", "args": "{oops", "id": None}])]}).log()
    call = log["output"]["messages"][0]["tool_calls"][0]
    assert (call["id"], call["function"]["arguments"]) == ("call_0", "{oops")
    assert (log["status"], log["error_type"]) == ("WARNING", "PROVIDER_PARTIAL_RESPONSE")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "text", "text": "x"}, {"type": "text", "text": "x"}),
        ({"type": "image", "url": "http://i"}, {"type": "image_url", "image_url": {"url": "http://i"}}),
        ({"type": "image_url", "image_url": "http://i"}, {"type": "image_url", "image_url": {"url": "http://i"}}),
        (
            {"type": "image_url", "image_url": {"url": "http://i", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "http://i", "detail": "low"}},
        ),
        (
            {"type": "image", "base64": "QQ==", "mime_type": "image/png"},
            {"type": "media", "media": {"title": "image", "type": "image/png", "url": "QQ==", "format": "base64"}},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            {"type": "media", "media": {"title": "image", "type": "image/png", "url": "QQ==", "format": "base64"}},
        ),
        ({"type": "image", "file_id": "f1"}, {"type": "text", "text": "[image f1]"}),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            {"type": "media", "media": {"title": "audio", "type": "audio/mp3", "url": "QQ==", "format": "base64"}},
        ),
        (
            {"type": "file", "url": "http://f", "mime_type": "application/pdf"},
            {
                "type": "media",
                "media": {"title": "file", "type": "application/pdf", "url": "http://f", "format": "url"},
            },
        ),
        ({"type": "reasoning", "reasoning": "hm"}, {"type": "thinking", "thinking": "hm"}),
        (
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "thinking", "thinking": "hm", "signature": "s"},
        ),
        ({"type": "non_standard", "value": {"a": 1}}, {"type": "text", "text": '{"a":1}'}),
        ({"type": "hologram", "a": 1}, {"type": "text", "text": '{"type":"hologram","a":1}'}),
        ("words", {"type": "text", "text": "words"}),
    ],
)
def test_each_content_block_has_its_form(block: Any, expected: dict[str, Any]) -> None:
    assert content_of(block) == [expected]


def test_a_citation_stays_with_its_text() -> None:
    citation = {"type": "citation", "title": "T", "url": "http://t", "start_index": 0, "end_index": 1}
    block = content_of({"type": "text", "text": "x", "annotations": [citation, {"type": "citation", "url": "u"}]})[0]
    assert block["annotations"] == [{**citation, "type": "url_citation"}]


def test_media_that_a_model_made_is_output_media() -> None:
    block = {"type": "image", "base64": "QQ==", "mime_type": "image/png"}
    made = {
        "type": "output_media",
        "url": "data:image/png;base64,QQ==",
        "mime_type": "image/png",
        "media_type": "image",
    }
    assert received(answer([block]))["content"] == [made]


def test_reasoning_beside_the_content_comes_first() -> None:
    content = received(answer("yo", additional_kwargs={"reasoning_content": "hm"}))["content"]
    assert [block["type"] for block in content] == ["thinking", "text"]


def test_every_candidate_is_in_the_output() -> None:
    messages = Call(end={"generations": [answer("a"), answer("b")]}).log()["output"]["messages"]
    assert [message["content"][0]["text"] for message in messages] == ["a", "b"]


def test_a_text_call_is_a_completion() -> None:
    generation = tagged("Generation", text="world", generation_info=None)
    call = Call(start={"kind": "llm", "messages": None, "prompts": ["hello {x}"]}, end={"generations": [generation]})
    assert call.log()["input"]["content"] == [{"type": "text", "text": "hello {x}"}]
    assert call.log()["output"]["content"] == [{"type": "text", "text": "world"}]


def test_usage_becomes_token_counts_and_details_metadata() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "input_token_details": {"cached": 2}}
    log = Call(end={"generations": [answer(usage_metadata=usage)]}).log()
    assert (log["input_tokens"], log["output_tokens"]) == (3, 4)
    assert log["metadata"].items() >= {"input_token_details.cached": "2"}.items()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "RateLimitError", "message": "slow"}, "PROVIDER_RATE_LIMIT"),
        ({"type": "APIStatusError", "message": "", "status_code": 429}, "PROVIDER_RATE_LIMIT"),
        ({"type": "RateLimitError", "message": "insufficient_quota"}, "PROVIDER_QUOTA_LIMIT"),
        ({"type": "APIStatusError", "message": "", "status_code": 402}, "PROVIDER_QUOTA_LIMIT"),
        ({"type": "APITimeoutError", "message": ""}, "PROVIDER_TIMEOUT"),
        ({"type": "ReadTimeout", "message": ""}, "PROVIDER_TIMEOUT"),
        ({"type": "AuthenticationError", "message": ""}, "PROVIDER_AUTH_ERROR"),
        ({"type": "InternalServerError", "module": "openai", "message": ""}, "PROVIDER_ERROR"),
        ({"type": "OpenAIConnectionError", "module": "langchain_openai.chat_models.base"}, "PROVIDER_ERROR"),
        ({"type": "ValueError", "module": "builtins", "message": "no"}, "UNKNOWN_ERROR"),
    ],
)
def test_errors_are_sorted_as_promptlayer_sorts_them(error: dict[str, Any], expected: str) -> None:
    log = Call(end={"error": error}, status="error").log()
    assert (log["status"], log["error_type"]) == ("ERROR", expected)


def test_an_error_keeps_the_partial_answer_and_its_message_cut() -> None:
    error = {"type": "ValueError", "message": "x" * 2000}
    log = Call(end={"generations": [answer("par")], "error": error}, status="error").log()
    assert log["output"]["messages"][0]["content"][0]["text"] == "par"
    assert len(log["error_message"]) == 1024


@pytest.mark.parametrize("status", ["partial", "cancelled"])
def test_a_call_the_caller_left_is_a_warning(status: str) -> None:
    log = Call(end={"generations": [answer("par")]}, status=status).log()
    assert (log["status"], log["error_type"]) == ("WARNING", "PROVIDER_PARTIAL_RESPONSE")


@pytest.mark.parametrize("reason", ["length", "content_filter", "MAX_TOKENS"])
def test_an_answer_cut_short_is_a_warning(reason: str) -> None:
    log = Call(end={"generations": [answer(response_metadata={"finish_reason": reason})]}).log()
    assert (log["status"], log["error_type"]) == ("WARNING", "PROVIDER_PARTIAL_RESPONSE")


def test_an_abandoned_call_is_an_error_without_output() -> None:
    start = orjson.dumps({"kind": "chat", "t": HOUR, "messages": [tagged("HumanMessage", type="human", content="hi")]})
    built = span(Record.from_row(StoredRow(start, None, 5)))  # type: ignore[arg-type]
    validator("Span").validate_python(built)
    assert built["log_request"]["status"] == "ERROR"
    assert built["log_request"]["output"]["messages"] == []
    assert built["end_time"] == built["start_time"] == HOUR


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [("azure", "openai.azure"), ("google_genai", "google"), ("mistralai", "mistral"), ("gpt4all", "gpt4all")],
)
def test_providers_have_promptlayers_names(given_as: str, expected: str) -> None:
    assert Call(start={"metadata": {"ls_provider": given_as}}).log()["provider"] == expected


def test_the_model_is_never_empty() -> None:
    call = Call(start={"params": {}, "metadata": {}, "class": ["x", "FakeChat"]})
    assert (call.log()["model"], call.log()["provider"]) == ("FakeChat", "fakechat")
    assert Call(start={"params": {}, "metadata": {}, "class": None}).log()["model"] == "unknown"


@pytest.mark.parametrize(
    "path", ["/home/me/models/tiny.gguf", "C:\\models\\tiny.gguf", "./tiny.gguf", "models/tiny.gguf"]
)
def test_a_model_file_goes_by_its_name_alone(path: str) -> None:
    assert Call(start={"params": {"model": path}}).log()["model"] == "tiny.gguf"


def test_parameters_leave_secrets_out() -> None:
    params = {"model": "m", "temperature": 0.5, "max_tokens": 3, "openai_api_key": "k", "auth_token": "t", "stop": None}
    assert Call(start={"params": params}).log()["parameters"] == {"temperature": 0.5, "max_tokens": 3}
    passed_on = {"model_kwargs": {"extra_headers": {"x": "k"}, "seed": 1}}
    assert Call(start={"params": passed_on}).log()["parameters"] == {"model_kwargs": {"seed": 1}}


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "add", "description": "d", "parameters": {"type": "object"}}},
        {"type": "function", "name": "add", "description": "d", "parameters": {"type": "object"}},
        {"name": "add", "description": "d", "input_schema": {"type": "object"}},
    ],
)
def test_tools_of_every_shape_become_function_tools(tool: dict[str, Any]) -> None:
    prompt = Call(start={"params": {"tools": [tool], "tool_choice": "auto"}}).log()["input"]
    function = {"name": "add", "description": "d", "parameters": {"type": "object"}}
    assert (prompt["tools"], prompt["tool_choice"]) == ([{"type": "function", "function": function}], "auto")


def test_a_tool_the_provider_runs_is_built_in() -> None:
    prompt = Call(start={"params": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}}).log()["input"]
    assert (prompt["tools"][0]["type"], prompt["tools"][0]["provider"]) == ("web_search", "openai")


def test_an_unknown_tool_stays_among_the_parameters() -> None:
    log = Call(start={"params": {"tools": [{"type": "teleport"}]}}).log()
    assert log["parameters"]["tools"] == [{"type": "teleport"}]


@pytest.mark.parametrize("choice", [{"type": "function", "function": {"name": "add"}}, {"type": "tool", "name": "add"}])
def test_a_forced_tool_is_named(choice: dict[str, Any]) -> None:
    prompt = Call(start={"params": {"tool_choice": choice}}).log()["input"]
    assert prompt["tool_choice"] == {"type": "function", "function": {"name": "add"}}


def test_metadata_is_text_and_keeps_the_old_keys() -> None:
    start = {"metadata": {"user": 7, "deep": {"a": 1}}, "tags": ["lc"], "pl_tags": ["pl"], "parent_run_id": None}
    metadata = Call(start=start).log()["metadata"]
    assert (metadata["user"], metadata["deep"]) == ("7", '{"a":1}')
    assert metadata["plsync_id"] == "0193aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
    assert metadata["_langchain_run_id"] == "019a0000-0000-7000-8000-000000000001"
    assert (metadata["_langchain_parent_run_id"], metadata["_langchain_tags"]) == ("None", "['lc', 'pl']")


def test_tags_are_cut() -> None:
    assert Call(start={"tags": ["x" * 600], "pl_tags": ["p"]}).log()["tags"] == ["x" * 512, "p"]


@pytest.mark.parametrize("name", ["openai.OpenAI", "anthropic.Anthropic"])
def test_a_span_avoids_names_that_promptlayer_skips(name: str) -> None:
    assert Call(start={"name": name}).span()["name"] != name


def test_openai_says_which_interface_answered() -> None:
    assert Call().log()["api_type"] == "chat-completions"
    assert Call(end={"generations": [answer(response_metadata={"id": "resp_1"})]}).log()["api_type"] == "responses"
    assert "api_type" not in Call(start={"metadata": {"ls_provider": "ollama"}}).log()


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(
    [
        "text",
        "reasoning",
        "thinking",
        "image",
        "image_url",
        "audio",
        "video",
        "file",
        "document",
        "media",
        "input_audio",
        "text-plain",
        "tool_use",
        "tool_call",
        "server_tool_call",
        "server_tool_result",
        "non_standard",
        "nonsense",
    ]
)
keys = st.sampled_from(
    [
        "text",
        "url",
        "base64",
        "data",
        "mime_type",
        "source",
        "file",
        "file_id",
        "image_url",
        "input_audio",
        "id",
        "name",
        "args",
        "input",
        "annotations",
        "reasoning",
        "thinking",
        "signature",
        "summary",
        "extras",
        "value",
        "title",
    ]
)
blocks = st.builds(lambda kind, rest: {**rest, "type": kind}, kinds, st.dictionaries(keys, anything, max_size=5))
message_fields = st.sampled_from(
    [
        "tool_calls",
        "invalid_tool_calls",
        "tool_call_id",
        "name",
        "additional_kwargs",
        "response_metadata",
        "usage_metadata",
        "role",
        "status",
    ]
)
types = st.sampled_from(
    ["human", "ai", "AIMessageChunk", "system", "tool", "function", "chat", "remove", "mystery", 7, None]
)
odd_messages = (
    st.builds(
        lambda kind, content, rest: {**rest, "type": kind, "content": content},
        types,
        st.text(max_size=8) | st.lists(blocks | anything, max_size=3) | anything,
        st.dictionaries(message_fields, anything, max_size=5),
    )
    | anything
)


params = st.sampled_from(["tools", "tool_choice", "functions", "function_call", "model", "stop", "temperature"])
starts = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["chat", "llm"]),
        "t": st.just(HOUR) | st.integers(-(2**63), 2**63 - 1),
        "messages": st.lists(odd_messages, max_size=3),
        "prompts": st.lists(anything, max_size=2),
        "params": st.dictionaries(params, anything),
        "metadata": anything,
        "tags": st.lists(st.text(max_size=5), max_size=3),
        "name": anything,
    }
)
ends = st.fixed_dictionaries(
    {
        "t": st.just(HOUR),
        "elapsed": st.none() | st.integers(0, 2**62),
        "generations": st.lists(st.fixed_dictionaries({"text": st.text(), "message": odd_messages}), max_size=2),
        "error": anything,
    }
)


@settings(deadline=None)
@given(start=starts, end=ends, status=st.sampled_from([1, 2, 3, 4, 5]))
def test_whatever_a_record_holds_the_span_is_valid_and_json(
    start: dict[str, Any], end: dict[str, Any], status: int
) -> None:
    row = StoredRow(orjson.dumps(start), orjson.dumps(end), status)
    body = orjson.dumps(span(Record.from_row(row)))  # type: ignore[arg-type]
    validator("Span").validate_python(json.loads(body))
