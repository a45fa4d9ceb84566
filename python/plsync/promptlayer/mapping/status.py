"""Maps the end of a call to PromptLayer's status, error type and error message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plsync.promptlayer.mapping.json_values import JSON, as_dict, text
from plsync.promptlayer.mapping.tool_calls import has_invalid

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["MESSAGE_LIMIT", "call_status", "error_type", "finish_reason"]

MESSAGE_LIMIT = 1024
"""Characters in an error message, at most."""

_CUT_SHORT = frozenset(
    {
        "length",
        "max_tokens",
        "max_output_tokens",
        "model_length",
        "model_context_window_exceeded",
        "content_filter",
        "content_filtered",
        "guardrail_intervened",
        "refusal",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "image_safety",
        "malformed_function_call",
    }
)
_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "reason")
_PROVIDER_MODULES = ("openai", "anthropic", "google", "mistralai", "boto")


def call_status(record: Record, generations: list[Any], cut: list[str]) -> dict[str, str]:
    """The ``status`` of a record, and unless it is SUCCESS its ``error_type`` and ``error_message``.

    An incomplete answer is a WARNING.

    Args:
        record: the record.
        generations: its output.
        cut: the names of fields that were too long. ``"error_message"`` is appended when the message was too long.
    """
    status = record.status
    if status in ("error", "pending"):
        error = as_dict(record.error)
        message = f"{text(error.get('type'))}: {text(error.get('message'))}" if error else "The call has not ended."
        if len(message) > MESSAGE_LIMIT:
            cut.append("error_message")
        return _fields("ERROR", error_type(error), message)
    if status == "cancelled":
        return _fields("WARNING", "PROVIDER_PARTIAL_RESPONSE", "The caller cancelled the call.")
    if status == "partial":
        return _fields("WARNING", "PROVIDER_PARTIAL_RESPONSE", "The caller stopped reading before the answer ended.")
    for generation in generations:
        reason = finish_reason(generation)
        if reason in _CUT_SHORT:
            return _fields("WARNING", "PROVIDER_PARTIAL_RESPONSE", f"The model stopped early: {reason}.")
        if has_invalid(generation.get("message")):
            message = "The model called a tool with arguments that are not JSON."
            return _fields("WARNING", "PROVIDER_PARTIAL_RESPONSE", message)
    return {"status": "SUCCESS"}


def error_type(error: JSON) -> str:
    """The category of an error, by the rules of PromptLayer's SDK (``track/error_tracking.py`` of 1.5.16).

    >>> error_type({"type": "RateLimitError", "message": "slow down", "status_code": 429})
    'PROVIDER_RATE_LIMIT'
    """
    name, code = text(error.get("type")), error.get("status_code")
    message, module = text(error.get("message")).lower(), text(error.get("module"))
    if "RateLimitError" in name or code == 429:
        return "PROVIDER_QUOTA_LIMIT" if "insufficient_quota" in message else "PROVIDER_RATE_LIMIT"
    if code == 402:
        return "PROVIDER_QUOTA_LIMIT"
    if "Timeout" in name or code in (408, 504):
        return "PROVIDER_TIMEOUT"
    if code == 401 or "AuthenticationError" in name:
        return "PROVIDER_AUTH_ERROR"
    # LangChain's packages subclass a provider's errors: langchain_openai.OpenAIConnectionError is one of openai's.
    if module.removeprefix("langchain_").startswith(_PROVIDER_MODULES) or isinstance(code, int):
        return "PROVIDER_QUOTA_LIMIT" if "quota" in message else "PROVIDER_ERROR"
    return "UNKNOWN_ERROR"


def finish_reason(generation: JSON) -> str | None:
    """The reason for which the model stopped, in lower case; None if the provider named none."""
    metadata = as_dict(as_dict(generation.get("message")).get("response_metadata"))
    for fields in (metadata, as_dict(generation.get("generation_info")), as_dict(metadata.get("incomplete_details"))):
        for key in _REASONS if fields else ():
            if isinstance(reason := fields.get(key), str):
                return reason.lower()
    return None


def _fields(status: str, kind: str, message: str) -> dict[str, str]:
    return {"status": status, "error_type": kind, "error_message": message[:MESSAGE_LIMIT]}
