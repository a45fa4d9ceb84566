"""Maps metadata and tags within PromptLayer's limits, and adds facts that have no field in a request log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plsync.promptlayer.mapping.json_values import JSON, as_dict, json_text, string
from plsync.promptlayer.mapping.messages import failed_tools

if TYPE_CHECKING:
    from plsync.journal.events.facts import Usage
    from plsync.journal.record import Record

__all__ = ["KEY_LIMIT", "TAG_LIMIT", "metadata", "tags"]

TAG_LIMIT = 512
"""Characters in a tag, at most."""
KEY_LIMIT = 1024
"""Characters in a metadata key, at most."""


def tags(found: list[str], cut: list[str]) -> list[str]:
    """The tags within PromptLayer's limit. Appends ``"tags"`` to ``cut`` when one was too long."""
    if max(map(len, found), default=0) <= TAG_LIMIT:
        return found
    cut.append("tags")
    return [tag[:TAG_LIMIT] for tag in found]


def metadata(
    record: Record, *, tags: list[str], usage: Usage | None, candidates: int, cut: list[str]
) -> dict[str, str]:
    """The metadata of a log; every value is text.

    Args:
        record: the record. Its own metadata wins over the added facts.
        tags: its tags.
        usage: token counts. Their details have no field in a request log.
        candidates: the number of answers; added if it is more than one.
        cut: the names of fields that were too long. ``"metadata keys"`` is appended when a key was too long.
    """
    found: JSON = {**_added(record, usage, candidates), **_without_nulls(record.metadata)}
    if max(map(len, found), default=0) > KEY_LIMIT:
        cut.append("metadata keys")
        found = {key[:KEY_LIMIT]: value for key, value in found.items()}
    found["plsync_id"] = record.id
    # The keys and the format of the handler in langchain-community.
    found["_langchain_run_id"] = record.run_id
    found["_langchain_parent_run_id"] = record.parent_run_id
    found["_langchain_tags"] = str(tags)
    if cut:
        found["plsync_cut"] = ", ".join(cut)
    return {key: value if isinstance(value, str) else _value(value) for key, value in found.items()}


def _without_nulls(metadata: JSON) -> JSON:
    """The metadata without nulls, which have no form as text. NaN is one of them."""
    return {key: value for key, value in metadata.items() if value is not None}


def _added(record: Record, usage: Usage | None, candidates: int) -> JSON:
    found: JSON = {} if usage is None else _token_details(usage)
    for mark in record.marks():
        found[mark] = "true"
    if record.damage is not None:
        found["damage"] = record.damage
    if candidates > 1:
        found["candidates"] = candidates
    failed = failed_tools(record.input)
    if failed:
        found["failed_tool_calls"] = ", ".join(failed)
    status_code = as_dict(record.error).get("status_code")
    if status_code is not None:
        found["error_status_code"] = status_code
    if record.error is not None and (request_id := string(record.error_response().get("request_id"))) is not None:
        found["error_request_id"] = request_id
    return found


def _token_details(usage: Usage) -> JSON:
    found: JSON = {}
    if usage["total_tokens"] != usage["input_tokens"] + usage["output_tokens"]:
        found["total_tokens"] = usage["total_tokens"]
    for details in ("input_token_details", "output_token_details"):
        for key, count in as_dict(usage.get(details)).items():
            found[f"{details}.{key}"] = count
    return found


def _value(value: Any) -> str:
    return json_text(value) if isinstance(value, dict | list) else str(value)
