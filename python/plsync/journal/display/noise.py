"""The parameters and metadata of a call without the facts that LangChain and providers repeat for each call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["own_metadata", "own_params"]

# The page has the model in the line of the call.
_MODEL_NAMES: Final = frozenset({"model", "model_name", "model_id", "deployment_name", "azure_deployment"})
_METADATA: Final = re.compile(r"(ls|lc|langgraph)_|__|checkpoint_(ns|id)$|(versions|created_by)$")


def own_params(record: Record, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters without the type of the client, and without further names of the model."""
    model = record.model
    return {
        name: value
        for name, value in params.items()
        if name != "_type" and not (name in _MODEL_NAMES and value == model)
    }


def own_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata that the program added."""
    return {name: value for name, value in metadata.items() if not _METADATA.match(name)}
