"""The recorders that are compared: the packages, the settings and the callback handler of each.

A recorder is made in the interpreter of its environment, so each function imports its package. A handler that is made
``nulled`` works as usual, and its exporter discards the spans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

__all__ = ["LANGCHAIN", "RECORDERS", "Recorder"]

LANGCHAIN = "langchain==1.5.2"
"""Every environment has it, so that each recorder sees the same calls."""


@dataclass(frozen=True)
class Recorder:
    """One recorder: a peer and its configuration."""

    make: Callable[[bool], Any]
    """Makes the handler; the argument is whether its exporter is nulled."""
    environment: str
    """The name of the environment, which recorders of one package share."""
    requirements: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables; ``{url}`` stands for the URL of the server."""


def _noop(nulled: bool) -> Any:
    from noop import Noop  # noqa: PLC0415

    return Noop()


def _plsync(**options: Any) -> Callable[[bool], Any]:
    # The handler writes to the disk and sends nothing, so there is no exporter to null.
    def make(nulled: bool) -> Any:
        from plsync import PromptLayerCallbackHandler  # noqa: PLC0415

        return PromptLayerCallbackHandler(**options)

    return make


def _langsmith(nulled: bool) -> Any:
    from langchain_core.tracers import LangChainTracer  # noqa: PLC0415

    return LangChainTracer(client=mock.MagicMock(tracing_queue=None)) if nulled else LangChainTracer()


def _langfuse(nulled: bool) -> Any:
    from langfuse import Langfuse  # noqa: PLC0415
    from langfuse.langchain import CallbackHandler  # noqa: PLC0415

    Langfuse(public_key="pk", secret_key="sk", span_exporter=_discard() if nulled else None)  # noqa: S106
    return CallbackHandler()


def _openinference(nulled: bool) -> Any:
    from openinference.instrumentation.langchain import LangChainInstrumentor  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_discard() if nulled else OTLPSpanExporter()))
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    # It adds its tracer to every call. Here the tracer is passed as a handler, beside a call without it.
    tracer = instrumentor._tracer
    instrumentor.uninstrument()
    return tracer


def _opik(nulled: bool) -> Any:
    from opik.integrations.langchain import OpikTracer  # noqa: PLC0415

    if nulled:
        from opik.message_processing.processors.message_processors import ChainedMessageProcessor  # noqa: PLC0415

        ChainedMessageProcessor.process = lambda self, message: None
    return OpikTracer()


def _discard() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: PLC0415

    class Discarding(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    return Discarding()


_OTLP = ("opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2")
_LANGSMITH = {"LANGSMITH_ENDPOINT": "{url}", "LANGSMITH_API_KEY": "key", "LANGSMITH_TRACING": "false"}

RECORDERS: dict[str, Recorder] = {
    "no-op": Recorder(_noop, "langchain"),
    "plsync": Recorder(_plsync(), "plsync", settings={"PROMPTLAYER_BASE_URL": "{url}", "PROMPTLAYER_API_KEY": "key"}),
    "LangChainTracer": Recorder(_langsmith, "langchain", settings=_LANGSMITH),
    "Langfuse": Recorder(_langfuse, "langfuse", ("langfuse==5.0.4",), {"LANGFUSE_BASE_URL": "{url}"}),
    "OpenInference": Recorder(
        _openinference,
        "openinference",
        ("openinference-instrumentation-langchain==0.1.80", *_OTLP),
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"},
    ),
    "Opik": Recorder(
        _opik,
        "opik",
        ("opik==2.2.122",),
        {"OPIK_URL_OVERRIDE": "{url}", "OPIK_SENTRY_ENABLE": "false", "OPIK_USAGE_REPORT_ENABLED": "false"},
    ),
}
