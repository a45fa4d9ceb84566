"""Ollama's chat and generate."""

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
    vector_of,
)

FAILURE = json_answer({"error": "slow down"}, 429)


def answer(path: str, request: JSON) -> Answer:
    if path.endswith("/embed"):
        return json_answer({"model": request["model"], "embeddings": [vector_of(text) for text in request["input"]]})
    base = {"model": request["model"], "created_at": "2026-01-01T00:00:00Z"}
    words: tuple[str, ...] = (json.dumps(FILLED),) if request.get("format") else WORDS
    lines: list[JSON]
    if path.endswith("/generate"):
        lines = [{**base, "response": word, "done": False} for word in words]
        end: JSON = {"response": ""}
    elif request.get("tools"):
        call = {"function": {"name": request["tools"][0]["function"]["name"], "arguments": FILLED}}
        lines = [{**base, "message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False}]
        end = {"message": {"role": "assistant", "content": ""}}
    else:
        lines = [{**base, "message": {"role": "assistant", "content": word}, "done": False} for word in words]
        end = {"message": {"role": "assistant", "content": ""}}
    counts = {"prompt_eval_count": INPUT_TOKENS, "eval_count": OUTPUT_TOKENS, "total_duration": 5, "load_duration": 1}
    lines.append({**base, **end, "done": True, "done_reason": "stop", **counts})
    if request.get("stream") is False:
        whole = {"message": {"role": "assistant", "content": TEXT}} if "message" in end else {"response": TEXT}
        return json_answer({**lines[-1], **whole})
    return Answer("application/x-ndjson", [json.dumps(line).encode() + b"\n" for line in lines])
