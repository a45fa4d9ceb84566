"""OpenAI's chat completions, completions and responses, and the many APIs that follow them."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

from tests.support.wire.server import (
    FILLED,
    INPUT_TOKENS,
    JSON,
    OUTPUT_TOKENS,
    TEXT,
    WORDS,
    Answer,
    json_answer,
    sse,
    vector_of,
)

USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
FAILURE = json_answer(
    {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
    429,
    (("x-request-id", "req-1"),),
)


def answer(path: str, request: JSON) -> Answer:
    path = path.partition("?")[0]
    if path.endswith("/embeddings"):
        return _embeddings(request)
    if path.endswith("/responses"):
        return _response(request)
    if path.endswith("/completions") and not path.endswith("/chat/completions"):
        return _completion(request)
    return _chat(request)


def _embeddings(request: JSON) -> Answer:
    texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
    vectors: list[Any] = [vector_of(text) for text in texts]
    if request.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack("<5f", *vector)).decode() for vector in vectors]
    data = [{"object": "embedding", "index": number, "embedding": vector} for number, vector in enumerate(vectors)]
    usage = {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}
    return json_answer({"id": "e-1", "object": "list", "model": request.get("model"), "data": data, "usage": usage})


def _chat(request: JSON) -> Answer:
    message = _message(request)
    reason = "tool_calls" if "tool_calls" in message else "stop"
    base = {"id": "chatcmpl-1", "created": 1, "model": request.get("model", "m")}
    if not request.get("stream"):
        choice = {"index": 0, "finish_reason": reason, "logprobs": None, "message": {"role": "assistant", **message}}
        return json_answer({**base, "object": "chat.completion", "choices": [choice], "usage": USAGE})

    def chunk(delta: JSON, reason: str | None = None, **fields: Any) -> JSON:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return {**base, "object": "chat.completion.chunk", "choices": [choice], **fields}

    calls = [{"index": index, **call} for index, call in enumerate(message.get("tool_calls", []))]
    pieces = [{"tool_calls": calls, "content": ""}] if calls else [{"content": word} for word in _words(message)]
    events = [chunk({"role": "assistant", "content": ""}), *map(chunk, pieces)]
    # Some APIs send the usage with the last piece, and OpenAI sends it in a piece without choices, at request.
    if (request.get("stream_options") or {}).get("include_usage"):
        events += [chunk({}, reason), {**chunk({}), "choices": [], "usage": USAGE}]
    else:
        events.append(chunk({}, reason, usage=USAGE, x_groq={"id": "req-1", "usage": USAGE}))
    return sse(events, done=True)


def _words(message: JSON) -> tuple[str, ...]:
    return WORDS if message["content"] == TEXT else (message["content"],)


def _message(request: JSON) -> JSON:
    tools = request.get("tools") or []
    if tools and request["messages"][-1]["role"] != "tool":
        choice = request.get("tool_choice")
        named = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["function"]["name"]
        function = {"name": named, "arguments": json.dumps(FILLED)}
        return {"content": "", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    return {
        "content": TEXT
        if (request.get("response_format") or {"type": "text"})["type"] == "text"
        else json.dumps(FILLED)
    }


def _completion(request: JSON) -> Answer:
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": request.get("model", "m")}
    if not request.get("stream"):
        choice = {"index": 0, "finish_reason": "stop", "text": TEXT, "logprobs": None}
        return json_answer({**base, "choices": [choice], "usage": USAGE})
    choices = [{"index": 0, "finish_reason": None, "text": word, "logprobs": None} for word in WORDS]
    choices.append({"index": 0, "finish_reason": "stop", "text": "", "logprobs": None})
    events: list[JSON] = [{**base, "choices": [choice]} for choice in choices]
    if (request.get("stream_options") or {}).get("include_usage"):
        events.append({**base, "choices": [], "usage": USAGE})
    return sse(events, done=True)


def _response(request: JSON) -> Answer:
    tools = request.get("tools") or []
    form = ((request.get("text") or {}).get("format") or {"type": "text"})["type"]
    item: JSON
    if tools:
        item = {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": tools[0]["name"],
            "status": "completed",
        }
        item["arguments"] = json.dumps(FILLED)
    else:
        text = TEXT if form == "text" else json.dumps(FILLED)
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    usage = {
        "input_tokens": INPUT_TOKENS,
        "output_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": request["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "completed",
        "error": None,
        "usage": usage,
    }
    if not request.get("stream"):
        return json_answer(whole)
    begun = {**whole, "output": [], "status": "in_progress", "usage": None}
    place = {"output_index": 0, "item_id": item["id"]}
    events: list[JSON] = [{"type": "response.created", "response": begun}]
    if tools:
        events.append({"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}})
        events.append({"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]})
        events.append({"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]})
    else:
        events.append({"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}})
        part = {**item["content"][0], "text": ""}
        events.append({"type": "response.content_part.added", **place, "content_index": 0, "part": part})
        text = item["content"][0]["text"]
        for word in WORDS if text == TEXT else (text,):
            events.append(
                {"type": "response.output_text.delta", **place, "content_index": 0, "delta": word, "logprobs": []}
            )
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": whole})
    return sse([{**event, "sequence_number": number} for number, event in enumerate(events)], named=True)
