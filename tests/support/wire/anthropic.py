"""Anthropic's messages."""

from __future__ import annotations

import json

from tests.support.wire.server import FILLED, INPUT_TOKENS, JSON, OUTPUT_TOKENS, TEXT, WORDS, Answer, json_answer, sse

FAILURE = json_answer(
    {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, 429, (("request-id", "req-1"),)
)


def message(request: JSON) -> JSON:
    """A whole message for a request."""
    content: JSON = {"type": "text", "text": json.dumps(FILLED) if _wants_json(request) else TEXT}
    if request.get("tools"):
        content = {"type": "tool_use", "id": "toolu_1", "name": request["tools"][0]["name"], "input": FILLED}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "m"),
        "content": [content],
        "stop_reason": "tool_use" if request.get("tools") else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT_TOKENS - 3, "output_tokens": OUTPUT_TOKENS, "cache_read_input_tokens": 3},
    }


def _wants_json(request: JSON) -> bool:
    return bool(request.get("output_format") or (request.get("output_config") or {}).get("format"))


def events(request: JSON) -> list[JSON]:
    """The events of a stream."""
    whole = message(request)
    (content,) = whole["content"]
    found: list[JSON] = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    if content["type"] == "tool_use":
        begun = {**content, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", '{"name": ', '"Paris"}')]
    else:
        begun = {"type": "text", "text": ""}
        words = WORDS if content["text"] == TEXT else (content["text"],)
        deltas = [{"type": "text_delta", "text": word} for word in words]
    found.append({"type": "content_block_start", "index": 0, "content_block": begun})
    found += [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    found.append({"type": "content_block_stop", "index": 0})
    found.append({"type": "message_delta", "delta": ended, "usage": whole["usage"]})
    found.append({"type": "message_stop"})
    return found


def answer(path: str, request: JSON) -> Answer:
    if path.partition("?")[0].endswith("/count_tokens"):
        return json_answer({"input_tokens": len(json.dumps(request["messages"]))})
    return sse(events(request), named=True) if request.get("stream") else json_answer(message(request))
