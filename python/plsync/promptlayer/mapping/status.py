"""How a call ended, in PromptLayer's terms: status, error type, error message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plsync.promptlayer.mapping.json_values import JSON, as_dict, text
from plsync.promptlayer.mapping.tool_calls import has_invalid

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["MESSAGE_LIMIT", "error_type", "finish_reason", "outcome"]

MESSAGE_LIMIT = 1024
"""Characters that PromptLayer takes of an error message."""

_CUT_SHORT = frozenset(
    {
        *("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"),
        *("content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety", "recitation"),
        *("blocklist", "prohibited_content", "spii", "image_safety", "malformed_function_call"),
    }
)
_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "reason")
_PROVIDER_MODULES = ("openai", "anthropic", "google", "mistralai", "boto")


def outcome(record: Record, generations: list[Any], cut: list[str]) -> dict[str, str]:
    """The ``status``, ``error_type`` and ``error_message`` of a record; only those that apply.

    ``generations``: its output. An answer that is there but not whole is a WARNING. What does not fit is cut, and
    noted in ``cut``.
    """
    status = record.status
    if status in ("error", "pending"):
        error = as_dict(record.error)
        told = f"{text(error.get('type'))}: {text(error.get('message'))}" if error else "The call has not ended."
        if len(told) > MESSAGE_LIMIT:
            cut.append("error_message")
        return _told("ERROR", error_type(error), told)
    if status == "cancelled":
        return _told("WARNING", "PROVIDER_PARTIAL_RESPONSE", "The caller cancelled the call.")
    if status == "partial":
        return _told("WARNING", "PROVIDER_PARTIAL_RESPONSE", "The caller stopped reading before the answer ended.")
    for generation in generations:
        reason = finish_reason(generation)
        if reason in _CUT_SHORT:
            return _told("WARNING", "PROVIDER_PARTIAL_RESPONSE", f"The model stopped early: {reason}.")
        if has_invalid(generation.get("message")):
            told = "The model called a tool with arguments that are not JSON."
            return _told("WARNING", "PROVIDER_PARTIAL_RESPONSE", told)
    return {"status": "SUCCESS"}


def error_type(error: JSON) -> str:
    """PromptLayer's category of an error, by the rules of its own SDK (``track/error_tracking.py`` of 1.5.16).

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
    # LangChain's packages raise subclasses of their own: langchain_openai's OpenAIConnectionError is one of openai's.
    if module.removeprefix("langchain_").startswith(_PROVIDER_MODULES) or isinstance(code, int):
        return "PROVIDER_QUOTA_LIMIT" if "quota" in message else "PROVIDER_ERROR"
    return "UNKNOWN_ERROR"


def finish_reason(generation: JSON) -> str | None:
    """Why the model stopped, in lower case, under the name each provider gives it."""
    metadata = as_dict(as_dict(generation.get("message")).get("response_metadata"))
    for told in (metadata, as_dict(generation.get("generation_info")), as_dict(metadata.get("incomplete_details"))):
        for key in _REASONS if told else ():
            if isinstance(reason := told.get(key), str):
                return reason.lower()
    return None


def _told(status: str, kind: str, message: str) -> dict[str, str]:
    return {"status": status, "error_type": kind, "error_message": message[:MESSAGE_LIMIT]}
