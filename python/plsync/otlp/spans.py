"""Makes the span of a record, by OpenTelemetry's ``gen_ai`` conventions.

A span has the ids under which PromptLayer receives the record. So a repeated export repeats the ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from plsync._common.large_json import dumps
from plsync.errors import ExportError
from plsync.genai.messages import CONVENTIONS

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["request", "require_otlp", "span"]

_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "amazon_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "anthropic_bedrock": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistralai": "mistral_ai",
    "ibm": "ibm.watsonx.ai",
    "xai": "x_ai",
}
_SETTINGS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
_JSON: Final = {
    "input_messages": "gen_ai.input.messages",
    "output_messages": "gen_ai.output.messages",
    "tools": "gen_ai.tool.definitions",
}
_RUN_JSON: Final = {
    "execute_tool": ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    "invoke_agent": ("plsync.input", "plsync.output"),
    "retrieval": ("gen_ai.retrieval.query.text", "gen_ai.retrieval.documents"),
    None: ("plsync.input", "plsync.output"),
}
"""The attributes of the input and the output of a run, by its operation."""
_NAMES: Final = {"execute_tool": "gen_ai.tool.name", "invoke_agent": "gen_ai.agent.name"}
"""The attribute of the name of a run, by its operation."""
_PLAIN: Final = {
    "operation": "gen_ai.operation.name",
    "model": "gen_ai.request.model",
    "conversation_id": "gen_ai.conversation.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "error_type": "error.type",
    "user_id": "user.id",
    "record_id": "plsync.record_id",
    "run_id": "plsync.run_id",
    "parent_run_id": "plsync.parent_run_id",
    "name": "plsync.name",
    "rerun_of": "plsync.rerun_of",
    "tool_call_id": "gen_ai.tool.call.id",
    "status": "plsync.status",
    "request_id": "promptlayer.request_id",
    "tags": "plsync.tags",
    "marks": "plsync.marks",
}
_LAST_NS: Final = (1 << 63) - 1


def require_otlp() -> None:
    """Check that OpenTelemetry's protobuf package is installed.

    Raises:
        ExportError: it is missing.
    """
    try:
        import opentelemetry.proto.collector.trace.v1.trace_service_pb2  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ExportError(
            "spans need the package opentelemetry-proto, and nothing was exported: pip install 'plsync[otlp]'"
        ) from None


def span(facts: Mapping[str, Any]) -> Span:
    """The span of a call or a run that has ended.

    Args:
        facts: the facts of the record by column (:class:`plsync.genai.columns.FactsMaker`). A call without an end has
            a span without duration.
    """
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status  # noqa: PLC0415 - an extra

    start = (facts["started_at"] or 0) * 1000
    failed = facts["status"] == "error"
    made = Span(
        trace_id=bytes.fromhex(facts["trace_id"]),
        span_id=bytes.fromhex(facts["span_id"]),
        parent_span_id=bytes.fromhex(facts["parent_span_id"] or ""),
        name=_name(facts),
        kind=Span.SPAN_KIND_CLIENT if _is_call(facts) else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start,
        end_time_unix_nano=min(start + max(facts["duration_ns"] or 0, 0), _LAST_NS),
        status=Status(
            code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET,
            message=(facts["error_message"] or "") if failed else "",
        ),
    )
    for name, value in _attributes(facts):
        if value is not None and value != []:
            attribute = made.attributes.add(key=name)
            _set(attribute.value, value)
    if (first := facts["first_token_at"]) is not None:
        made.events.add(name="gen_ai.first_token", time_unix_nano=first * 1000)
    return made


def _is_call(facts: Mapping[str, Any]) -> bool:
    return facts["kind"] in ("chat", "llm", None)


def _name(facts: Mapping[str, Any]) -> str:
    """The name of a span in the conventions: the operation, and the model, the tool or the agent."""
    if _is_call(facts):
        return " ".join(filter(None, (facts["operation"], facts["model"])))
    return " ".join(filter(None, (facts["operation"], facts["name"]))) or str(facts["kind"])


def request(spans: Iterable[Span], journal_id: str, resource: Mapping[str, str]) -> ExportTraceServiceRequest:
    """One message with these spans, of one journal.

    Args:
        spans: the spans.
        journal_id: the id of the journal.
        resource: the attributes of the resource, with the name of the service.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - an extra
        ExportTraceServiceRequest,
    )

    made = ExportTraceServiceRequest()
    spans_of = made.resource_spans.add()
    for name, value in {"service.instance.id": journal_id, **resource}.items():
        spans_of.resource.attributes.add(key=name).value.string_value = value
    scope = spans_of.scope_spans.add(schema_url=f"https://opentelemetry.io/schemas/{CONVENTIONS}")
    scope.scope.name, scope.scope.version = "plsync", version("plsync")
    scope.spans.extend(spans)
    return made


def _attributes(facts: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for column, name in _PLAIN.items():
        yield name, facts[column]
    provider = facts["provider"]
    yield "gen_ai.provider.name", _PROVIDERS.get(provider, provider)
    for column, name in _JSON.items():
        value = facts[column]
        yield name, None if value is None else dumps(value).decode()
    if not _is_call(facts):
        yield from _run_attributes(facts)
    settings = facts["params"] if isinstance(facts["params"], dict) else {}
    given = {_SETTINGS[name]: value for name, value in settings.items() if name in _SETTINGS}
    yield from ((name, value) for name, value in given.items() if isinstance(value, int | float))
    stop = settings.get("stop")
    if isinstance(stop, str):
        stop = [stop]
    if isinstance(stop, list) and all(isinstance(one, str) for one in stop):
        yield "gen_ai.request.stop_sequences", stop
    answers = facts["output_messages"]
    if isinstance(answers, list):
        reasons = [one.get("finish_reason") for one in answers if isinstance(one, dict)]
        yield "gen_ai.response.finish_reasons", [reason for reason in reasons if isinstance(reason, str)]
    for key, value in (facts["metadata"] or {}).items():
        if not key.startswith("ls_"):
            yield f"plsync.metadata.{key}", value


def _run_attributes(facts: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    operation = facts["operation"]
    yield "plsync.kind", facts["kind"]
    if operation in _NAMES:
        yield _NAMES[operation], facts["name"]
    for name, value in zip(_RUN_JSON[operation], (facts["run_input"], facts["run_output"]), strict=True):
        if value is not None:
            yield name, value if isinstance(value, str) else dumps(value).decode()


def _set(target: AnyValue, value: Any) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, str):
        target.string_value = value
    else:
        target.array_value.SetInParent()
        for item in value:
            target.array_value.values.add().string_value = item
