"""Maps a record to one span of ``POST /spans-bulk``. The span of a call has its request log attached.

Source of the format: PromptLayer's OpenAPI file, schemas ``Span`` and ``LogRequest`` (2026-08-21).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from plsync._common.clock import datetime_from_ms
from plsync._common.large_json import dumps
from plsync.promptlayer.mapping import params
from plsync.promptlayer.mapping.content import contents
from plsync.promptlayer.mapping.json_values import JSON, integer, string
from plsync.promptlayer.mapping.messages import messages
from plsync.promptlayer.mapping.metadata import metadata, tags
from plsync.promptlayer.mapping.status import call_status, step_status
from plsync.promptlayer.mapping.step import step_attributes, step_name
from plsync.promptlayer.mapping.tools import tools

if TYPE_CHECKING:
    from plsync.journal.events.facts import Generation
    from plsync.journal.record import Record

__all__ = ["span", "span_json"]

_LAST_NS = (1 << 63) - 1

_NAMES_NOT_PROCESSED = frozenset({"openai.OpenAI", "anthropic.Anthropic"})
"""PromptLayer leaves spans of exactly these names unprocessed."""


def span(
    record: Record,
    *,
    resumed: str | None = None,
    parent: str | None = None,
    open_until: int = 0,
    links: bool = True,
) -> JSON:
    """The span of a record, ready for JSON.

    The trace and span ids are derived from the ids of records, so PromptLayer recognises a record that is sent again.
    Unknown content becomes text; no content makes this function raise.

    Args:
        record: a call or a step.
        resumed: the root of the interrupted graph that this root continues.
        parent: the ancestor that takes the place of a refused parent.
        open_until: the least end of a step whose process died, in ns since the epoch. The journal has no end of it.
        links: whether a late record links to its tree.

    Returns:
        An object of the schema ``Span``. For a call it has ``log_request`` of the schema ``LogRequest``.
    """
    found = _step(record, open_until) if record.is_run else _call(record)
    parent = None if record.renewed else parent or record.parent_id
    if parent is not None:
        found["parent_id"] = _span_id(parent)
    linked = [(root, reason) for root, reason in _linked(record, resumed) if root is not None]
    if linked and links:
        found["links"] = [_link(root, reason) for root, reason in linked]
        if record.is_run:
            found["attributes"]["promptlayer.metadata.plsync_root"] = linked[0][0]
        else:
            found["log_request"]["metadata"]["plsync_root"] = linked[0][0]
    return found


def _call(record: Record) -> JSON:
    start, end = _times(record)
    request = _log_request(record, _iso(start), _iso(end))
    failed = request["status"] == "ERROR"
    status = {"status_code": "StatusCode.ERROR" if failed else "StatusCode.OK"}
    if failed:
        status["description"] = request["error_message"]
    return {
        **_common(record, _name(string(record.name) or params.model_name(record.model, None))),
        "kind": "SpanKind.CLIENT",
        "start_time": start,
        "end_time": end,
        "status": status,
        "attributes": {"node_type": "LLM_CALL", "plsync_id": request["metadata"]["plsync_id"]},
        "log_request": request,
    }


def _step(record: Record, open_until: int) -> JSON:
    """The span of a chain, a tool, a retriever, a prompt or a parser."""
    begin, end = record.plain_events()
    started, ended = _times(record)
    is_root = record.parent_id is None
    attributes = {"plsync_id": record.id, **step_attributes(begin, end, record.status, is_root=is_root)}
    return {
        **_common(record, _name(step_name(begin))),
        "kind": "SpanKind.INTERNAL",
        "start_time": started,
        "end_time": max(ended, min(open_until, _LAST_NS)) if record.duration_ns is None else ended,
        "status": step_status(record),
        "attributes": attributes,
    }


def _common(record: Record, name: str) -> JSON:
    return {
        "name": name,
        "context": {"trace_id": record.trace_id, "span_id": record.span_id, "trace_state": ""},
        "resource": {"attributes": {"service.name": "plsync"}, "schema_url": ""},
    }


def _linked(record: Record, resumed: str | None) -> Iterator[tuple[str | None, str]]:
    yield record.started_after, "started after the end of this tree"
    # The trace of its tree was closed before it ended.
    yield (record.root_id if record.renewed and record.parent_id is not None else None), "ended after this tree"
    yield resumed, "resumes this graph"


def _link(root_id: str, reason: str) -> JSON:
    context = {"trace_id": root_id.replace("-", ""), "span_id": _span_id(root_id), "trace_state": ""}
    return {"context": context, "attributes": {"reason": reason}}


def _span_id(record_id: str) -> str:
    return record_id.replace("-", "")[16:]


def span_json(
    record: Record,
    *,
    resumed: str | None = None,
    parent: str | None = None,
    open_until: int = 0,
    links: bool = True,
) -> bytes:
    """The span of a record as JSON, in UTF-8, with the arguments of :func:`span`."""
    return dumps(span(record, resumed=resumed, parent=parent, open_until=open_until, links=links))


def _log_request(record: Record, started: str, ended: str) -> JSON:
    settings, labels, generations, usage = record.params, record.tags, record.output, record.usage
    answers = [_answer(generation) for generation in generations]
    if record.status == "error":
        # LangChain adds an empty message for the response of some providers. An error without an answer has no message.
        answers = [answer for answer in answers if not _is_empty(answer)]
    provider = params.provider_name(record.provider)
    cut: list[str] = []
    status = call_status(record, generations, cut)
    kind = record.kind
    if kind == "chat" or any(generation["message"] is not None for generation in generations):
        # A decision model's input is mapped to messages too. If the start of a chat is lost, its answer has a message.
        sent = {"type": "chat", "messages": messages(record.input), **tools(settings, provider)}
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
        "parameters": params.parameters(settings, record.options, record.metadata),
        "tags": tags(labels, cut),
        **status,
    }
    request["metadata"] = metadata(record, tags=labels, usage=usage, candidates=len(generations), cut=cut)
    if usage is not None:
        for key in ("input_tokens", "output_tokens"):
            count = integer(usage[key])
            if count is not None and count >= 0:
                request[key] = count
    interface = params.api_type(provider, kind, settings, answers)
    if interface is not None:
        request["api_type"] = interface
    return request


def _answer(generation: Generation) -> Any:
    """The message of a candidate. A decision model's candidate has text only."""
    message = generation["message"]
    return generation["text"] if message is None else message


def _is_empty(answer: Any) -> bool:
    fields = ("content", "tool_calls", "invalid_tool_calls", "additional_kwargs")
    return isinstance(answer, dict) and not any(answer.get(field) for field in fields)


def _completion(texts: list[Any]) -> JSON:
    return {"type": "completion", "content": contents(texts), "template_format": "jinja2", "input_variables": []}


def _name(name: str) -> str:
    return f"{name} call" if name in _NAMES_NOT_PROCESSED else name


def _times(record: Record) -> tuple[int, int]:
    """Start and end in ns since the epoch, within 64 bits. An abandoned call ends at its start."""
    start = min(max(int(record.started_ns), 0), _LAST_NS)
    return start, min(start + (record.duration_ns or 0), _LAST_NS)


def _iso(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06}Z"


# A batch has many calls of the same second.
@functools.lru_cache(64)
def _second(seconds: int) -> str:
    return datetime_from_ms(seconds * 1000).replace(tzinfo=None).isoformat()
