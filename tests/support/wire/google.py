"""Google's Gemini API."""

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

FAILURE = json_answer({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}, 429)
BLOCKED = json_answer({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "gemini-2.5-flash"})


def answer(path: str, request: JSON) -> Answer:
    if path.endswith(":batchEmbedContents"):
        texts = [one["content"]["parts"][0]["text"] for one in request["requests"]]
        return json_answer({"embeddings": [{"values": vector_of(text)} for text in texts]})
    if path.endswith(":countTokens"):
        return json_answer({"totalTokens": len(request["contents"][0]["parts"][0]["text"].split())})
    config = request.get("generationConfig") or {}
    tools = request.get("tools") or []
    if tools:
        parts: list[JSON] = [{"functionCall": {"name": tools[0]["functionDeclarations"][0]["name"], "args": FILLED}}]
    elif config.get("responseMimeType") == "application/json":
        parts = [{"text": json.dumps(FILLED)}]
    else:
        parts = [{"text": word} for word in WORDS] if "streamGenerate" in path else [{"text": TEXT}]
    usage = {
        "promptTokenCount": INPUT_TOKENS,
        "candidatesTokenCount": OUTPUT_TOKENS - 1,
        "thoughtsTokenCount": 1,
        "cachedContentTokenCount": 3,
        "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
    }

    def piece(*parts: JSON, last: bool) -> JSON:
        candidate: JSON = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
        ended = {"finishReason": "STOP"} if last else {}
        counted = {"usageMetadata": usage} if last else {}
        return {"candidates": [{**candidate, **ended}], "modelVersion": "gemini-2.5-flash", **counted}

    if "streamGenerate" not in path:
        return json_answer(piece(*parts, last=True))
    return sse([piece(part, last=part is parts[-1]) for part in parts])
