"""Hides the cache of LangGraph's nodes while a recording is open.

A node whose result is cached does not run, so the recording would lack its calls. A replayed result would also stay in
the cache, where the real program finds it later. LangGraph may be imported before or during a block.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from plsync.replay.proxy.after_import import AfterImport
from plsync.replay.proxy.open_blocks import current_block

__all__ = ["hide_node_caches", "show_node_caches"]

_MODULE: Final = "langgraph.pregel.main"


def hide_node_caches() -> None:
    """Hide the caches of all graphs. The caller holds the lock of the open blocks."""
    _after_import.install()


def show_node_caches() -> None:
    """Undo ``hide_node_caches``. The caller holds the lock of the open blocks."""
    _after_import.remove()
    pregel: Any = getattr(sys.modules.get(_MODULE), "Pregel", None)
    if isinstance(vars(pregel).get("cache") if pregel else None, _CacheAttribute):
        pregel.cache = None


def _hide(module: ModuleType) -> None:
    pregel: Any = getattr(module, "Pregel", None)
    # ``cache = None`` is the default of the attribute. Another value is unknown, and stays.
    if pregel is not None and vars(pregel).get("cache", ...) is None:
        pregel.cache = _CacheAttribute()


class _CacheAttribute:
    """The attribute ``cache`` of a graph, which is empty inside a block."""

    def __get__(self, graph: Any, owner: type) -> Any:
        cache = None if graph is None else vars(graph).get("cache")
        return cache if cache is None or current_block() is None else _empty_cache(cache)

    def __set__(self, graph: Any, cache: Any) -> None:
        vars(graph)["cache"] = cache


def _empty_cache(cache: Any) -> Any:
    from langgraph.cache.base import BaseCache  # noqa: PLC0415 - LangGraph is optional

    class EmptyCache(BaseCache[Any]):
        """Finds and stores nothing; ``clear`` reaches the cache of the program."""

        def get(self, keys: Sequence[Any]) -> dict[Any, Any]:
            return {}

        async def aget(self, keys: Sequence[Any]) -> dict[Any, Any]:
            return {}

        def set(self, pairs: Mapping[Any, Any]) -> None:
            pass

        async def aset(self, pairs: Mapping[Any, Any]) -> None:
            pass

        def clear(self, namespaces: Sequence[Any] | None = None) -> None:
            cache.clear(namespaces)

        async def aclear(self, namespaces: Sequence[Any] | None = None) -> None:
            await cache.aclear(namespaces)

    return EmptyCache()


def _hide_if_needed(module: ModuleType) -> None:
    if current_block() is not None:
        _hide(module)


_after_import: Final = AfterImport(_MODULE, _hide_if_needed)
