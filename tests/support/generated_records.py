"""Whole records, drawn by hypothesis: events of the handler, values of providers, and junk."""

from __future__ import annotations

import orjson
from hypothesis import strategies as st

from plsync import Record
from plsync.journal.events.tagged import encode
from plsync.promptlayer.mapping.content import anthropic, bedrock, google, media, openai, standard
from tests.support.generated import FIELDS, message
from tests.support.request_log import AT, StoredRow

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just("$"), inner, max_size=3),
    max_leaves=8,
)
KINDS = sorted(
    {kind for module in (anthropic, bedrock, google, media, openai, standard) for kind in module.CONVERTERS}
    | {"tool_call", "tool_use", "function_call", "invalid_tool_call", "input_json_delta", "tool_result", "non_standard"}
)
FIELDS_OF_BLOCKS = [
    *(
        "text",
        "url",
        "base64",
        "data",
        "mime_type",
        "source",
        "source_type",
        "file",
        "file_id",
        "file_data",
        "file_uri",
    ),
    *(
        "image_url",
        "video_url",
        "input_audio",
        "detail",
        "id",
        "call_id",
        "name",
        "args",
        "input",
        "arguments",
        "extras",
    ),
    *("annotations", "citations", "reasoning", "thinking", "signature", "summary", "value", "title", "filename"),
    *("output", "outputs", "content", "tool_use_id", "tool_call_id", "status", "action", "operation", "queries"),
    *("results", "result", "code", "container_id", "executable_code", "code_execution_result", "outcome", "is_error"),
    *(
        "toolUse",
        "toolResult",
        "reasoningContent",
        "guardContent",
        "citationsContent",
        "cachePoint",
        "image",
        "document",
    ),
    *("server_label", "tools", "error", "approval_request_id", "refusal", "media"),
]
CITATION = st.dictionaries(
    st.sampled_from(
        [
            *("type", "url", "title", "start_index", "end_index", "cited_text", "file_id", "filename", "index"),
            *("container_id", "document_title", "document_index", "extras", "value", "url_citation", "place_id"),
        ]
    ),
    st.sampled_from(["url_citation", "map_citation", "non_standard_annotation", 0, 5, None]) | ANYTHING,
    max_size=6,
)
NESTED = st.dictionaries(
    st.sampled_from(
        ["type", "url", "data", "media_type", "format", "file_id", "bytes", "text", "content", "name", "json"]
    ),
    st.sampled_from(["base64", "url", "file", "text", "content", "png"]) | ANYTHING,
    max_size=4,
)
VALUES = ANYTHING | NESTED | st.lists(CITATION | NESTED, max_size=3)
BLOCKS = st.builds(
    lambda kind, rest: rest if kind is None else {**rest, "type": kind},
    st.none() | st.sampled_from(KINDS) | st.text(max_size=4),
    st.dictionaries(st.sampled_from(FIELDS_OF_BLOCKS), VALUES, max_size=5),
)
CALLS = st.lists(
    st.dictionaries(st.sampled_from(["id", "name", "args", "type", "error"]), ANYTHING, max_size=4) | ANYTHING,
    max_size=2,
)
FINISHED = st.dictionaries(
    st.sampled_from(["finish_reason", "stop_reason", "id", "model_name", "grounding_metadata", "incomplete_details"]),
    st.sampled_from(["stop", "length", "resp_1"]) | ANYTHING,
    max_size=3,
)
BESIDE = st.dictionaries(
    st.sampled_from(
        ["reasoning_content", "reasoning", "refusal", "audio", "function_call", "tool_outputs", "__openai_role__"]
    ),
    ANYTHING | NESTED | st.lists(BLOCKS, max_size=2),
    max_size=3,
)
MESSAGES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["human", "ai", "AIMessageChunk", "system", "tool", "function", "chat", "remove", "my", 7]
        ),
        "content": st.text(max_size=8) | st.lists(BLOCKS | st.text(max_size=4), max_size=3) | ANYTHING,
    },
    optional={
        "tool_calls": CALLS | ANYTHING,
        "invalid_tool_calls": CALLS,
        "tool_call_id": ANYTHING,
        "name": st.text(max_size=3) | ANYTHING,
        "role": st.sampled_from(["user", "assistant", "tool", "function", "developer", "placeholder", "x"]) | ANYTHING,
        "status": st.sampled_from(["error", "success"]) | ANYTHING,
        "additional_kwargs": BESIDE | ANYTHING,
        "response_metadata": FINISHED | ANYTHING,
        "usage_metadata": st.dictionaries(
            st.sampled_from(["input_tokens", "output_tokens", "total_tokens", "input_token_details"]), ANYTHING
        ),
    },
)
TAGGED = st.builds(
    lambda tag, fields: {"$": tag, "v": fields}, st.sampled_from(["AIMessage", "HumanMessage"]), MESSAGES
)
TOOLS = st.dictionaries(
    st.sampled_from(
        [
            *("type", "name", "description", "parameters", "input_schema", "strict", "function", "custom"),
            *("function_declarations", "toolSpec", "google_search", "inputSchema", "parameter_definitions"),
        ]
    ),
    st.sampled_from(["function", "custom", "web_search_20250305", "mcp", "bash_1", "teleport"])
    | ANYTHING
    | st.lists(st.dictionaries(st.sampled_from(["name", "parameters"]), ANYTHING), max_size=2),
    max_size=4,
)
PARAMS = st.dictionaries(
    st.sampled_from(
        [
            *("tools", "tool_choice", "tool_config", "toolConfig", "functions", "function_call", "model", "stop"),
            *("temperature", "response_format", "use_responses_api", "model_kwargs", "openai_api_key"),
        ]
    ),
    st.lists(TOOLS, max_size=3) | TOOLS | ANYTHING,
    max_size=5,
)
STARTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["chat", "chat", "llm"]) | ANYTHING,
        "t": st.just(AT) | ANYTHING,
    },
    optional={
        "messages": st.lists(MESSAGES | TAGGED | ANYTHING, max_size=3) | ANYTHING,
        "prompts": st.lists(ANYTHING, max_size=2),
        "inputs": ANYTHING,
        "params": PARAMS | ANYTHING,
        "options": ANYTHING | st.fixed_dictionaries({"ls_structured_output_format": ANYTHING, "stop": ANYTHING}),
        "metadata": st.dictionaries(st.sampled_from(["ls_provider", "ls_model_name", "ls_temperature", "x"]), ANYTHING)
        | ANYTHING,
        "tags": st.lists(st.text(max_size=5) | st.just("x" * 600) | ANYTHING, max_size=3),
        "class": ANYTHING | st.just(["langchain_openai", "ChatOpenAI"]),
        "name": st.sampled_from(["openai.OpenAI", "x"]) | ANYTHING,
        "run_id": ANYTHING,
        "parent_run_id": ANYTHING,
    },
)
GENERATIONS = st.fixed_dictionaries(
    {"text": st.text(max_size=8) | ANYTHING},
    optional={"message": MESSAGES | TAGGED | ANYTHING, "generation_info": FINISHED | ANYTHING},
)
ENDS = st.fixed_dictionaries(
    {"t": st.just(AT) | ANYTHING},
    optional={
        "elapsed": st.integers(0, 2**62) | ANYTHING,
        "generations": st.lists(GENERATIONS, max_size=3) | ANYTHING,
        "outputs": ANYTHING,
        "llm_output": ANYTHING | st.fixed_dictionaries({"token_usage": ANYTHING}),
        "error": ANYTHING
        | st.fixed_dictionaries({"type": ANYTHING, "message": st.just("x" * 2000), "status_code": ANYTHING}),
        "kind": ANYTHING,
    },
)


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """The events of a chat as the recorder encodes it, of messages that validation never saw."""
    start = {"kind": "chat", "t": AT, "messages": draw(st.lists(message(), max_size=3)), "params": draw(FIELDS)}
    generation = {"text": draw(st.text(max_size=8)), "message": draw(message()), "generation_info": draw(FIELDS)}
    end = {"t": AT, "elapsed": 5, "generations": [generation], "llm_output": draw(st.none() | FIELDS)}
    return encode({**start, "metadata": draw(FIELDS)})[0], encode(end)[0]


BYTES = st.none() | st.binary(max_size=8) | ANYTHING.map(orjson.dumps)
EVENTS = (
    st.tuples(STARTS.map(orjson.dumps), ENDS.map(orjson.dumps))
    | st.tuples(STARTS.map(orjson.dumps) | BYTES, ENDS.map(orjson.dumps) | BYTES)
    | written()
)


def _stored(events: tuple[bytes | None, bytes | None], ended: int, flags: int, damage: str | None) -> Record:
    return StoredRow(*events, ended, flags, damage=damage).record()


RECORDS = st.builds(
    _stored,
    EVENTS,
    st.integers(0, 5),
    st.integers(0, 15),
    st.none() | st.just("checksum"),
)
