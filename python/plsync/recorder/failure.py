"""Describes a failed call: how it ended, its error, and the part of the response that arrived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from plsync._common.native import END_CANCELLED, END_ERROR, END_INTERRUPTED, END_OK, END_PARTIAL
from plsync._common.redaction import redact_secrets, redact_settings, redact_text
from plsync.recorder.http_error import response_of, status_of

__all__ = ["describe", "end_of", "interrupt_of", "partial_response"]

# By name: importing asyncio, concurrent.futures or anyio for their classes would cost more than recording does.
_HTTP_KEYS: Final = frozenset({"body", "headers", "request_id", "status_code"})
_CANCELLED: Final = frozenset({"Cancelled", "CancelledError"})


def end_of(error: BaseException) -> int:
    """The ``END_*`` constant of an exception: cancelled, partial (the consumer stopped reading) or error."""
    if isinstance(error, GeneratorExit):
        return END_PARTIAL
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return END_CANCELLED  # the only ways to cancel a synchronous call
    if any(base.__name__ in _CANCELLED for base in type(error).__mro__):
        return END_CANCELLED
    return END_ERROR


def interrupt_of(error: BaseException) -> tuple[int, Any] | None:
    """How a run ended that LangGraph stopped by its own exception, and the payload. None for any other error.

    A graph that waits for a person, or was drained, is interrupted and can go on later. A command for the parent graph
    is no failure either.
    """
    classes = {base.__name__ for base in type(error).__mro__ if base.__module__ == "langgraph.errors"}
    if "GraphBubbleUp" not in classes:
        return None
    payload = error.args[0] if error.args else None
    return (END_OK if "ParentCommand" in classes else END_INTERRUPTED), payload


def describe(error: BaseException, http: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The ``error`` field of an end event.

    Args:
        error: the exception of the call.
        http: LangChain's metadata of the provider's HTTP response, if there is one.
    """
    kind = type(error)
    secrets: tuple[str, ...] = ()
    try:
        message = str(error)
        if message or http is not None:
            from plsync._common import known_secrets  # noqa: PLC0415 - only calls that fail need it

            secrets = known_secrets.secrets_in_error(error)
        message = redact_text(redact_secrets(message, secrets))
    except BaseException as raised:  # an exception whose str() fails is recorded, too
        message = f"<str failed: {type(raised).__name__}>"
    status = status_of(error)
    if status is None and http is not None:
        status = http.get("status_code")
    response = response_of(error)
    if response is not None:
        http = {**response, **{key: value for key, value in (http or {}).items() if value is not None}}
    described: dict[str, Any] = {
        "type": kind.__name__,
        "module": kind.__module__,
        "message": message,
        "status_code": int(status) if isinstance(status, int) else None,
    }
    if http is not None:
        described["response"] = _without_secrets(redact_settings(http), secrets)
    return described


def _without_secrets(value: Any, secrets: tuple[str, ...]) -> Any:
    if not secrets:
        return value
    from plsync._common import known_secrets  # noqa: PLC0415 - only calls that fail need it

    return known_secrets.redact_values(value, secrets)


def partial_response(response: Any) -> tuple[list[Any], Mapping[str, Any] | None]:
    """The generations with a part of the response, and the metadata of the provider's HTTP response.

    LangChain lists both together. The metadata is in a generation without content, and may be empty.
    """
    generations = [item for of_prompt in getattr(response, "generations", None) or [] for item in of_prompt]
    http = [metadata for item in generations if (metadata := _http_metadata(item))]
    return [item for item in generations if _http_metadata(item) is None], http[0] if http else None


def _http_metadata(generation: Any) -> Mapping[str, Any] | None:
    message = getattr(generation, "message", None)
    # A partial stream consists of chunks. They may have headers beside a response that has no content yet.
    if getattr(message, "type", None) != "ai":
        return None
    metadata = getattr(message, "response_metadata", None)
    if not isinstance(metadata, Mapping) or getattr(message, "content", None) or getattr(message, "tool_calls", None):
        return None
    return metadata if metadata.keys() <= _HTTP_KEYS else None
