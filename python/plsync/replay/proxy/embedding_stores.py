"""Bypasses the store of ``CacheBackedEmbeddings``.

A stored vector would hide a text from the recording. A replayed vector would stay in the store, where the real program
finds it later. So the texts go straight to the embeddings behind the store.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from plsync.replay.proxy.after_import import AfterImport
from plsync.replay.proxy.embeddings import ENTRY_POINTS
from plsync.replay.proxy.proxy_class import is_proxy

__all__ = ["embeddings_behind_store", "watch_stores", "without_store"]

_MODULE: Final = "langchain_classic.embeddings.cache"
_BYPASS: Final = "__plsync_bypass__"


def embeddings_behind_store(model: Any) -> Any:
    """The embeddings whose vectors a ``CacheBackedEmbeddings`` stores; ``None`` for any other model."""
    cls = getattr(sys.modules.get(_MODULE), "CacheBackedEmbeddings", None)
    return model.underlying_embeddings if cls is not None and isinstance(model, cls) else None


def without_store(model: Any, recorded: Any) -> Any:
    """A copy of a ``CacheBackedEmbeddings`` around recorded embeddings."""
    watch_stores()
    found = copy.copy(model)
    found.underlying_embeddings = recorded
    return found


def watch_stores() -> None:
    """Bypass the stores around recorded embeddings, also if LangChain's class is imported later.

    The patch stays: it has no effect on other embeddings.
    """
    _after_import.install()


def _patch(module: ModuleType) -> None:
    cls: Any = getattr(module, "CacheBackedEmbeddings", None)
    for name in ENTRY_POINTS if cls is not None else ():
        method = vars(cls).get(name)
        if method is not None and not hasattr(method, _BYPASS):
            setattr(cls, name, _bypassing(method, name))


def _bypassing(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    # Not the attributes of the method: it may be a patch itself.
    @functools.wraps(method, updated=())
    def entry_point(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        inner = self.underlying_embeddings
        return getattr(inner, name)(*args, **kwargs) if is_proxy(inner) else method(self, *args, **kwargs)

    setattr(entry_point, _BYPASS, True)
    return entry_point


_after_import: Final = AfterImport(_MODULE, _patch)
