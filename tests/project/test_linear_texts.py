"""Every function that reads a foreign text takes time in proportion to it: patterns, loops and splits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from plsync._common.api_key import redact_api_keys
from plsync._common.known_secrets import redact_values, secrets_in
from plsync._common.logged import cleaned_line
from plsync._terminal import json_escaped, visible, visible_line
from plsync.callbacks import sinks
from plsync.journal.events import facts
from plsync.journal.events.tagged import decode, to_plain
from plsync.journal.events.usage import usage
from plsync.promptlayer import responses
from plsync.promptlayer.mapping.error_type import _AUTH, _BOTO, _IN_BODY, _OF_RESPONSES, _QUOTA, _RATE_LIMIT, _TIMEOUT
from plsync.promptlayer.mapping.status import _ENUM
from plsync.recorder.content import without_content
from plsync.replay.mismatch import request_lines
from plsync.replay.recording_paths import _file_name
from plsync.replay.redaction import redact_headers, redact_response
from plsync.replay.request.content import CallIds, canonical_content, scrub
from plsync.replay.request.request import Request
from plsync.replay.request.urls import without_signature
from plsync.replay.response.packing import pack
from tests.support.hostile import GROWING, assert_linear, cases


def image(text: str) -> Any:
    return canonical_content([{"type": "image_url", "image_url": {"url": text}}], CallIds())


def packed(text: str) -> Any:
    return pack({"a": text, "b": f"data:{text}"}, lambda raw: "blob")


def tagged(text: str) -> Any:
    encoded = orjson.dumps({"$": "datetime", "v": "2026-11-22T10:00:00", "tz": text})
    with_zone = to_plain(orjson.loads(encoded))
    try:
        return with_zone, decode(encoded)
    except Exception:  # no time zone has this name
        return with_zone


def statuses(text: str) -> Any:
    patterns = (
        *(_AUTH, _BOTO, _ENUM, _IN_BODY, _OF_RESPONSES, _QUOTA, _RATE_LIMIT, _TIMEOUT),
        *(facts._STATUS_IN_BRACKETS, facts._STATUS_IN_MESSAGE),
    )
    return [pattern.search(text) for pattern in patterns]


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "visible": visible,
    "visible_line": visible_line,
    "json_escaped": json_escaped,
    "redact_api_keys": redact_api_keys,
    "cleaned_line": cleaned_line,
    "secrets_in": lambda text: secrets_in({"a": text[:20_000], "token": text}, [text]),
    "redact_values": lambda text: redact_values({"a": [text], text: 1}, ("0123456789abcdef",)),
    "sink": lambda text: (sinks._FUNCTION.fullmatch(text), sinks._PLAIN.fullmatch(text)),
    "tagged": tagged,
    "short_model": facts.short_model,
    "usage": lambda text: usage({}, {text: {"input_tokens": 1}, "usage": {"input_tokens": text}}, {}),
    "status": statuses,
    "response": lambda text: responses.short(responses.one_line(text)),
    "without_content": lambda text: without_content(
        {"metadata": {text: 1}, "llm_output": {text: 1, "usage": {text: 1}}}
    ),
    "request_lines": lambda text: request_lines(Request("llm", {"prompt": text})),
    "file name": _file_name,
    "headers": lambda text: redact_headers({"a": text, text: "a"}),
    "redact_response": lambda text: redact_response(
        {"error": {"message": text}, "generations": [{"llm_output": text}]}
    ),
    "scrub": scrub,
    "image": image,
    "without_signature": without_signature,
    "pack": packed,
}


@pytest.mark.parametrize("function", cases(FUNCTIONS))
def test_no_function_costs_more_than_its_text_is_long(
    function: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "pl_0123456789abcdef0123456789abcdef")
    # A search for a key in any spelling takes some microseconds for a character. A quadratic pattern takes more from
    # some thousand characters on.
    for make in GROWING.values():
        assert_linear(function, make, least=20_000, budget=5e-6)
