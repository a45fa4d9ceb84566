"""Hides the cache of LangGraph's nodes while a recording is open.

A node whose result is cached does not run, so the recording would lack its calls. A replayed result would also stay in
the cache, where the real program finds it later. LangGraph may be imported before or during a block.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from plsync.replay.proxy.open_blocks import current_block

__all__ = ["hide_node_caches", "show_node_caches"]

_MODULE: Final = "langgraph.pregel.main"


def hide_node_caches() -> None:
    """Hide the caches of all graphs. The caller holds the lock of the open blocks."""
    if (module := sys.modules.get(_MODULE)) is not None:
        _hide(module)
    elif _after_import not in sys.meta_path:
        sys.meta_path.insert(0, _after_import)


def show_node_caches() -> None:
    """Undo ``hide_node_caches``. The caller holds the lock of the open blocks."""
    if _after_import in sys.meta_path:
        sys.meta_path.remove(_after_import)
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


class _AfterImport(MetaPathFinder):
    """Hides the caches as soon as the program imports LangGraph."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _HidingLoader(spec.loader)
        return spec


class _HidingLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module looks as if the original loader had found it.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if current_block() is not None:
            _hide(module)


_after_import: Final = _AfterImport()
