"""Maps the end of a call to PromptLayer's status and error message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from plsync.promptlayer.mapping.error_type import error_type
from plsync.promptlayer.mapping.json_values import JSON, as_dict, as_list, string, text
from plsync.promptlayer.mapping.tool_calls import has_invalid

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["MESSAGE_LIMIT", "blocked_by", "blocked_in", "call_status", "finish_reason", "step_status"]

MESSAGE_LIMIT = 1024
"""Characters in an error message, at most."""

_CUT_SHORT = frozenset(
    {
        "abort",
        "aborted",
        "length",
        "max_tokens",
        "max_output_tokens",
        "max_length",
        "model_length",
        "model_context_window_exceeded",
        "error",
        "error_limit",
        "image_other",
        "insufficient_system_resource",
        "malformed_function_call",
        "malformed_model_output",
        "malformed_response",
        "malformed_tool_use",
        "missing_thought_signature",
        "network_error",
        "no_image",
        "other",
        "time_limit",
        "token_limit",
        "too_many_tool_calls",
        "unexpected_tool_call",
    }
)
_BLOCKED = frozenset(
    {
        "blocked",
        "blocklist",
        "content_filter",
        "content_filtered",
        "error_toxic",
        "guardrail_intervened",
        "image_prohibited_content",
        "image_recitation",
        "image_safety",
        "language",
        "model_armor",
        "prohibited_content",
        "recitation",
        "refusal",
        "safety",
        "sensitive",
        "spii",
    }
)
_BLOCKED_BY = "The provider blocked the answer: {}."
_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "reason")
# The prefixes of enums: ``FinishReason.SAFETY``, ``BLOCK_REASON_SAFETY``.
_ENUM = re.compile(r"^(\w+\.|(block|finish|stop)_?reason_)(?=\w)")
_UNBLOCKED = frozenset({"", "unspecified", "blocked_reason_unspecified", "block_reason_unspecified"})


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
        return _fields("ERROR", error_type(error, record.error_response().get("body")), message)
    if status == "cancelled":
        return _fields("WARNING", "PROVIDER_PARTIAL_RESPONSE", "The caller cancelled the call.")
    if status == "partial":
        return _fields("WARNING", "PROVIDER_PARTIAL_RESPONSE", "The caller stopped reading before the answer ended.")
    reasons = [reason for generation in generations if (reason := _incomplete(generation)) is not None]
    if not reasons and (blocked := blocked_in(record.llm_output())) is not None:
        reasons = [_BLOCKED_BY.format(blocked)]
    if reasons:
        return _fields("WARNING", "PROVIDER_PARTIAL_RESPONSE", reasons[0])
    return {"status": "SUCCESS"}


def step_status(record: Record) -> dict[str, str]:
    """The status of a step's span. It is unset for a step that waits for a person, or was cancelled."""
    if record.status == "ok":
        return {"status_code": "StatusCode.OK"}
    if record.status not in ("error", "pending"):
        return {"status_code": "StatusCode.UNSET"}
    error = as_dict(record.error)
    message = f"{text(error.get('type'))}: {text(error.get('message'))}" if error else "The run has not ended."
    return {"status_code": "StatusCode.ERROR", "description": message[:MESSAGE_LIMIT]}


def _incomplete(generation: JSON) -> str | None:
    """Why an answer is incomplete; None for a complete one."""
    if (blocked := blocked_by(generation)) is not None:
        return _BLOCKED_BY.format(blocked)
    if (reason := finish_reason(generation)) in _CUT_SHORT:
        return f"The model stopped early: {reason}."
    if has_invalid(generation.get("message")):
        return "The model called a tool with arguments that are not JSON."
    return None


def blocked_by(generation: JSON) -> str | None:
    """Why the provider blocked a prompt or an answer, or the model refused, in lower case; None if neither happened.

    >>> blocked_by({"message": {"response_metadata": {"prompt_feedback": {"block_reason": "SAFETY"}}}})
    'safety'
    """
    reason = finish_reason(generation)
    if reason in _BLOCKED:
        return reason
    message = as_dict(generation.get("message"))
    for fields in (as_dict(message.get("response_metadata")), as_dict(generation.get("generation_info"))):
        found = blocked_in(fields)
        if found is not None:
            return found
    parts = [as_dict(part).get("type") for part in as_list(message.get("content"))]
    return "refusal" if "refusal" in parts or string(as_dict(message.get("additional_kwargs")).get("refusal")) else None


def blocked_in(fields: JSON) -> str | None:
    """The reason in the metadata of an answer: of a blocked prompt, or of a guardrail that intervened."""
    feedback = as_dict(fields.get("prompt_feedback") or fields.get("promptFeedback"))
    reason = feedback.get("block_reason", feedback.get("blockReason"))
    if isinstance(reason, str) and (named := _named(reason)) not in _UNBLOCKED:
        return named
    # Google numbers its reasons in older versions. 0 is no reason.
    if isinstance(reason, int) and reason:
        return "blocked"
    action = fields.get("amazon-bedrock-guardrailAction")
    return "guardrail_intervened" if action == "INTERVENED" else None


def finish_reason(generation: JSON) -> str | None:
    """The reason for which the model stopped, in lower case; None if the provider named none."""
    metadata = as_dict(as_dict(generation.get("message")).get("response_metadata"))
    for fields in (metadata, as_dict(generation.get("generation_info")), as_dict(metadata.get("incomplete_details"))):
        for key in _REASONS if fields else ():
            if (reason := string(fields.get(key))) is not None:
                return _named(reason)
    return None


def _named(reason: str) -> str:
    return _ENUM.sub("", reason.lower())


def _fields(status: str, kind: str, message: str) -> dict[str, str]:
    return {"status": status, "error_type": kind, "error_message": message[:MESSAGE_LIMIT]}
