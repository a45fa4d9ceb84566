"""The note of a command that found no record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from plsync.journal.filters import Filters, names_model
from plsync.journal.journal import Journal

__all__ = ["no_tree_found", "nothing_found"]

_MOST_MODELS: Final = 20


def nothing_found(journal: Journal, filters: Filters) -> str:
    """Why no record was found: the journal is empty, has no such model, or no record passes the filters."""
    if not filters or not journal.last_seq():
        return f"the journal {journal.path} is empty; attach PromptLayerCallbackHandler to a model and call it"
    if (model := filters.get("model")) and not any(names_model(model, name) for name in journal.models()):
        return f"no record matches; {_models(journal.models())}"
    return "no record matches; `plsync list` without filters shows the newest records"


def no_tree_found(journal: Journal, filters: Filters) -> str:
    """Why no tree was found: its root is no call, no root passes the filters, or the journal has calls alone."""
    if filters.get("model"):
        return "no run matches: a run passes the filters of its root, which has no model; `plsync list` lists calls"
    if next(journal.trees(limit=1), None) is not None:
        return "no run matches; `plsync list --trees` without filters shows the newest runs"
    return "no run matches; `plsync list` lists calls, and a handler with runs='tree' records runs"


def _models(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _MOST_MODELS:,} more" if len(shown) > _MOST_MODELS else ""
    return f"models there are: {', '.join(shown[:_MOST_MODELS])}{more}" if shown else "no record names a model"
