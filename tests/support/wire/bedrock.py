"""Amazon Bedrock: Converse, and the invocation of a model of Anthropic. Streams are frames of AWS's event stream."""

from __future__ import annotations

import base64
import json
import struct
import zlib

from tests.support.wire import anthropic
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

FAILURE = json_answer(
    {"message": "slow down"}, 429, (("x-amzn-ErrorType", "ThrottlingException"), ("x-amzn-RequestId", "req-1"))
)
_USAGE = {
    "inputTokens": INPUT_TOKENS - 3,
    "outputTokens": OUTPUT_TOKENS,
    "totalTokens": INPUT_TOKENS + OUTPUT_TOKENS,
    "cacheReadInputTokens": 3,
}


def answer(path: str, request: JSON) -> Answer:
    if "inputText" in request:  # a model of Amazon embeds one text
        return json_answer({"embedding": vector_of(request["inputText"]), "inputTextTokenCount": INPUT_TOKENS})
    if path.endswith("/invoke"):
        counts = (("Input", INPUT_TOKENS), ("Output", OUTPUT_TOKENS))
        headers = tuple((f"X-Amzn-Bedrock-{name}-Token-Count", str(count)) for name, count in counts)
        return json_answer(anthropic.message(request), headers=headers)
    if path.endswith("/invoke-with-response-stream"):
        metrics = {"inputTokenCount": INPUT_TOKENS, "outputTokenCount": OUTPUT_TOKENS}
        *messages, last = anthropic.events(request)
        messages.append({**last, "amazon-bedrock-invocationMetrics": metrics})
        pieces = [base64.b64encode(json.dumps(event).encode()).decode() for event in messages]
        return _stream([("chunk", {"bytes": piece}) for piece in pieces])
    tools = (request.get("toolConfig") or {}).get("tools") or []
    name = next((tool["toolSpec"]["name"] for tool in tools if "toolSpec" in tool), None)
    reason = "end_turn" if name is None else "tool_use"
    if path.endswith("/converse"):
        call = {"toolUse": {"toolUseId": "tooluse_1", "name": name, "input": FILLED}}
        wants_json = "outputConfig" in request
        content = [{"text": json.dumps(FILLED) if wants_json else TEXT} if name is None else call]
        message = {"role": "assistant", "content": content}
        metrics = {"latencyMs": 1}
        return json_answer({"output": {"message": message}, "stopReason": reason, "usage": _USAGE, "metrics": metrics})
    events: list[tuple[str, JSON]] = [("messageStart", {"role": "assistant"})]
    if name is None:
        events += [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in WORDS]
    else:
        start = {"toolUse": {"toolUseId": "tooluse_1", "name": name}}
        events.append(("contentBlockStart", {"contentBlockIndex": 0, "start": start}))
        for part in ('{"name": ', '"Paris"}'):
            events.append(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": part}}}))
    events.append(("contentBlockStop", {"contentBlockIndex": 0}))
    events.append(("messageStop", {"stopReason": reason}))
    events.append(("metadata", {"usage": _USAGE, "metrics": {"latencyMs": 1}}))
    return _stream(events)


def failing_stream(exception: str) -> Answer:
    """A stream of Converse that breaks with an exception behind its first word."""
    delta = {"contentBlockIndex": 0, "delta": {"text": WORDS[0]}}
    begun = [_frame("messageStart", {"role": "assistant"}), _frame("contentBlockDelta", delta)]
    return Answer(
        "application/vnd.amazon.eventstream", [*begun, _frame(exception, {"message": "slow down"}, kind="exception")]
    )


def _stream(events: list[tuple[str, JSON]]) -> Answer:
    return Answer("application/vnd.amazon.eventstream", [_frame(name, payload) for name, payload in events])


def _frame(name: str, payload: JSON, kind: str = "event") -> bytes:
    body = json.dumps(payload).encode()
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in ((f":{kind}-type", name), (":content-type", "application/json"), (":message-type", kind))
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))
