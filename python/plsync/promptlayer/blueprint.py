"""A record as PromptLayer wants it: one span of ``POST /spans-bulk`` with its request log attached.

Shapes: PromptLayer's OpenAPI file, schemas ``Span`` and ``LogRequest`` (2026-08-21).
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from plsync.promptlayer import messages, params
from plsync.promptlayer.content import contents
from plsync.promptlayer.outcome import outcome
from plsync.promptlayer.safe import as_dict, as_list, json_text, string, text, whole

if TYPE_CHECKING:
    from plsync.record import Record

JSON = dict[str, Any]

TAG_LIMIT = 512
KEY_LIMIT = 1024

_LAST_NS = (1 << 63) - 1

_NAMES_NOT_PROCESSED = frozenset({"openai.OpenAI", "anthropic.Anthropic"})
"""PromptLayer leaves spans of exactly these names unprocessed."""


def span(record: Record) -> JSON:
    """One span with its request log, ready for JSON.

    The trace and span ids come from the record's id, so that sending a record again is recognisable as such. Whatever
    is unknown in a record becomes text: this does not raise on odd content.
    """
    start, end = _times(record)
    request = _log_request(record)
    failed = request["status"] == "ERROR"
    status = {"status_code": "StatusCode.ERROR" if failed else "StatusCode.OK"}
    if failed:
        status["description"] = request["error_message"]
    return {
        "name": _name(record),
        "context": {"trace_id": record.trace_id, "span_id": record.span_id, "trace_state": ""},
        "kind": "SpanKind.CLIENT",
        "parent_id": None,
        "start_time": start,
        "end_time": end,
        "status": status,
        "attributes": {"node_type": "LLM_CALL", "plsync_id": record.id},
        "resource": {"attributes": {"service.name": "plsync"}, "schema_url": ""},
        "log_request": {**request, "request_start_time": _iso(start), "request_end_time": _iso(end)},
    }


def _log_request(record: Record) -> JSON:
    generations = [as_dict(generation) for generation in as_list(record.output)]
    answers = [generation["message"] for generation in generations if generation.get("message") is not None]
    provider = params.provider_name(record.provider)
    sent, received = _chat(record, provider, answers) if record.kind == "chat" else _completion(record, generations)
    request: JSON = {
        "provider": provider,
        "model": params.model_name(record.model, record.name),
        "input": sent,
        "output": received,
        "parameters": params.parameters(record.params),
        "tags": [text(tag)[:TAG_LIMIT] for tag in record.tags or ()],
        "metadata": _metadata(record),
        **outcome(record, answers),
    }
    for key in ("input_tokens", "output_tokens"):
        count = whole(as_dict(record.usage).get(key))
        if count is not None and count >= 0:
            request[key] = count
    interface = params.api_type(provider, record.kind, record.params, answers)
    return request if interface is None else {**request, "api_type": interface}


def _chat(record: Record, provider: str, answers: list[Any]) -> tuple[JSON, JSON]:
    # A decision model's input is no list of messages; it is shown as one.
    given = record.input if isinstance(record.input, list) else [record.input] if record.input else []
    sent = {"type": "chat", "messages": messages.messages(given), **params.tools(record.params, provider)}
    return sent, {"type": "chat", "messages": messages.messages(answers, output=True)}


def _completion(record: Record, generations: list[JSON]) -> tuple[JSON, JSON]:
    texts = [generation.get("text") for generation in generations]
    prompts = record.input if isinstance(record.input, list) else [record.input]
    return _completion_prompt(prompts), _completion_prompt(texts)


def _completion_prompt(texts: list[Any]) -> JSON:
    return {"type": "completion", "content": contents(texts), "template_format": "jinja2", "input_variables": []}


def _metadata(record: Record) -> dict[str, str]:
    """The caller's own, then what has no field of its own, then the keys of the handler in langchain-community."""
    found: JSON = dict(as_dict(record.metadata))
    for details in ("input_token_details", "output_token_details"):
        for key, count in as_dict(as_dict(record.usage).get(details)).items():
            found[f"{details}.{key}"] = count
    if record.cached:
        found["cached"] = "true"
    failed = messages.failed_tools(as_list(record.input))
    if failed:
        found["failed_tool_calls"] = ", ".join(failed)
    found |= {
        "plsync_id": record.id,
        "_langchain_run_id": record.run_id,
        "_langchain_parent_run_id": str(record.parent_run_id),
        "_langchain_tags": str(list(record.tags or ())),
    }
    return {text(key)[:KEY_LIMIT]: _value(value) for key, value in found.items()}


def _value(value: Any) -> str:
    return json_text(value) if isinstance(value, dict | list) else text(str(value))


def _name(record: Record) -> str:
    name = string(record.name) or params.model_name(record.model, None)
    return f"{name} call" if name in _NAMES_NOT_PROCESSED else name


def _times(record: Record) -> tuple[int, int]:
    """Start and end in ns since the epoch, as 64 bits hold them; an abandoned call took no time."""
    start = min(max(record.started_ns, 0), _LAST_NS)
    return start, min(max(start, record.ended_ns or start), _LAST_NS)


def _iso(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
