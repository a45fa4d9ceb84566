"""Cohere's chat, version 2."""

from __future__ import annotations

import json

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

FAILURE = json_answer({"id": "req-1", "message": "slow down"}, 429)
_TOKENS = {"input_tokens": float(INPUT_TOKENS), "output_tokens": float(OUTPUT_TOKENS)}
_USAGE = {"billed_units": _TOKENS, "tokens": _TOKENS}


def answer(path: str, request: JSON) -> Answer:
    if path.endswith("/embed"):
        vectors = {"float": [vector_of(text) for text in request["texts"]]}
        kind = "embeddings_by_type"
        return json_answer({"id": "e-1", "response_type": kind, "embeddings": vectors, "texts": request["texts"]})
    tools = request.get("tools") or []
    reason = "TOOL_CALL" if tools else "COMPLETE"
    call = {"name": tools[0]["function"]["name"], "arguments": json.dumps(FILLED)} if tools else {}
    calls = [{"id": "call_1", "type": "function", "function": call}] if tools else []
    if not request.get("stream"):
        text = json.dumps(FILLED) if request.get("response_format") else TEXT
        content = [] if calls else [{"type": "text", "text": text}]
        message = {"role": "assistant", "content": content, "tool_calls": calls}
        return json_answer({"id": "r1", "finish_reason": reason, "message": message, "usage": _USAGE})
    events: list[JSON] = [{"type": "message-start", "id": "r1", "delta": {"message": {"role": "assistant"}}}]
    if calls:
        started = {"message": {"tool_calls": {**calls[0], "function": {**call, "arguments": ""}}}}
        events.append({"type": "tool-call-start", "index": 0, "delta": started})
        delta = {"message": {"tool_calls": {"function": {"arguments": call["arguments"]}}}}
        events.append({"type": "tool-call-delta", "index": 0, "delta": delta})
        events.append({"type": "tool-call-end", "index": 0})
    else:
        events.append(
            {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
        )
        for word in WORDS:
            events.append({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}})
        events.append({"type": "content-end", "index": 0})
    events.append({"type": "message-end", "delta": {"finish_reason": reason, "usage": _USAGE}})
    return sse(events, named=True)
