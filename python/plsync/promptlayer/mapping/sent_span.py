"""Changes of a span that PromptLayer refused, or whose parent it refused. The span is JSON by then."""

from __future__ import annotations

from typing import Final

from plsync._common.large_json import dumps, loads
from plsync.promptlayer.mapping.json_values import string

__all__ = ["parent_of", "with_parent", "without_content"]

_KEPT: Final = ("node_type", "plsync_id", "plsync_status", "gen_ai.operation.name")


def without_content(body: bytes, reason: str) -> bytes:
    """The span of a step with its ids, name and times alone. ``plsync_cut`` has PromptLayer's reason.

    >>> span = b'{"name": "search", "attributes": {"node_type": "WORKFLOW", "function_input": "x"}}'
    >>> loads(without_content(span, "no"))["attributes"]
    {'node_type': 'WORKFLOW', 'plsync_cut': 'everything: PromptLayer refused it (no)'}
    """
    span = loads(body)
    kept = {name: value for name, value in span["attributes"].items() if name in _KEPT}
    span["attributes"] = kept | {"plsync_cut": f"everything: PromptLayer refused it ({reason})"}
    span.get("status", {}).pop("description", None)
    return dumps(span)


def parent_of(body: bytes) -> str | None:
    """The id of the parent span."""
    return string(loads(body).get("parent_id")) or None


def with_parent(body: bytes, parent_id: str | None) -> bytes:
    """The span with another parent; without one it is a root."""
    span = loads(body)
    span.pop("parent_id", None)
    return dumps(span if parent_id is None else span | {"parent_id": parent_id})
