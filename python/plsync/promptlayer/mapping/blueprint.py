"""A record as PromptLayer wants it: one span of ``POST /spans-bulk`` with its request log attached.

Shapes: PromptLayer's OpenAPI file, schemas ``Span`` and ``LogRequest`` (2026-08-21).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import orjson

from plsync._common.clock import datetime_from_ms
from plsync.promptlayer.mapping import params
from plsync.promptlayer.mapping.content import contents
from plsync.promptlayer.mapping.json_values import JSON, string, whole
from plsync.promptlayer.mapping.messages import messages
from plsync.promptlayer.mapping.metadata import metadata, tags
from plsync.promptlayer.mapping.status import outcome
from plsync.promptlayer.mapping.tools import tools

if TYPE_CHECKING:
    from plsync.journal.events.facts import Generation
    from plsync.journal.record import Record

__all__ = ["span", "span_json"]

_LAST_NS = (1 << 63) - 1

_NAMES_NOT_PROCESSED = frozenset({"openai.OpenAI", "anthropic.Anthropic"})
"""PromptLayer leaves spans of exactly these names unprocessed."""


def span(record: Record) -> JSON:
    """One span with its request log, ready for JSON.

    The trace and span ids come from the record's id, so that sending a record again is recognisable as such. Whatever
    is unknown in a record becomes text: this does not raise on odd content.
    """
    start, end = _times(record)
    request = _log_request(record, _iso(start), _iso(end))
    failed = request["status"] == "ERROR"
    status = {"status_code": "StatusCode.ERROR" if failed else "StatusCode.OK"}
    if failed:
        status["description"] = request["error_message"]
    return {
        "name": _name(record),
        "context": {"trace_id": record.trace_id, "span_id": record.span_id, "trace_state": ""},
        "kind": "SpanKind.CLIENT",
        "start_time": start,
        "end_time": end,
        "status": status,
        "attributes": {"node_type": "LLM_CALL", "plsync_id": request["metadata"]["plsync_id"]},
        "resource": {"attributes": {"service.name": "plsync"}, "schema_url": ""},
        "log_request": request,
    }


def span_json(record: Record) -> bytes:
    """The span as JSON, to be encoded once however often it is sent."""
    return orjson.dumps(span(record))


def _log_request(record: Record, started: str, ended: str) -> JSON:
    asked, labels, generations, usage = record.params, record.tags, record.output, record.usage
    answers = [_answer(generation) for generation in generations]
    provider = params.provider_name(record.provider)
    cut: list[str] = []
    ending = outcome(record, generations, cut)
    kind = record.kind
    if kind == "chat" or any(generation["message"] is not None for generation in generations):
        # A decision model's input is no list of messages; it is shown as one. And where the start of a call is lost,
        # only its answer says that it was a chat.
        sent = {"type": "chat", "messages": messages(record.input), **tools(asked, provider)}
        received = {"type": "chat", "messages": messages(answers, output=True)}
    else:
        sent, received = _completion(record.input), _completion([generation["text"] for generation in generations])
    request: JSON = {
        "provider": provider,
        "model": params.model_name(record.model, record.name),
        "input": sent,
        "output": received,
        "request_start_time": started,
        "request_end_time": ended,
        "parameters": params.parameters(asked, record.options, record.metadata),
        "tags": tags(labels, cut),
        **ending,
    }
    request["metadata"] = metadata(record, tags=labels, usage=usage, candidates=len(generations), cut=cut)
    if usage is not None:
        for key in ("input_tokens", "output_tokens"):
            count = whole(usage[key])
            if count is not None and count >= 0:
                request[key] = count
    interface = params.api_type(provider, kind, asked, answers)
    if interface is not None:
        request["api_type"] = interface
    return request


def _answer(generation: Generation) -> Any:
    """The message of a candidate; a decision model's has text alone."""
    message = generation["message"]
    return generation["text"] if message is None else message


def _completion(texts: list[Any]) -> JSON:
    return {"type": "completion", "content": contents(texts), "template_format": "jinja2", "input_variables": []}


def _name(record: Record) -> str:
    name = string(record.name) or params.model_name(record.model, None)
    return f"{name} call" if name in _NAMES_NOT_PROCESSED else name


def _times(record: Record) -> tuple[int, int]:
    """Start and end in ns since the epoch, as 64 bits hold them; an abandoned call took no time."""
    start = min(max(int(record.started_ns), 0), _LAST_NS)
    return start, min(start + (record.duration_ns or 0), _LAST_NS)


def _iso(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06}Z"


# Calls sent together were made together.
@functools.lru_cache(64)
def _second(seconds: int) -> str:
    return datetime_from_ms(seconds * 1000).replace(tzinfo=None).isoformat()
