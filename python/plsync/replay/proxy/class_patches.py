"""Patches methods that each class defines for itself, while a ``record_all`` block is open.

Embeddings have no common method that all of their calls pass through: each class has its own ``embed_documents``. The
same holds for counters of tokens. So the methods of every class are patched. A class that the program defines later is
patched when it is made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseLanguageModel

from plsync.replay.proxy.embedding_stores import embeddings_behind_store
from plsync.replay.proxy.embeddings import ENTRY_POINTS
from plsync.replay.proxy.live import is_model_code
from plsync.replay.proxy.open_blocks import current_block
from plsync.replay.proxy.proxy_class import is_proxy, is_proxy_class
from plsync.replay.proxy.token_counts import COUNTERS, is_remote_counter

__all__ = ["patch_classes", "unpatch_classes"]

_MARK: Final = "__plsync_original__"
_HOOK: Final = "__init_subclass__"

_originals: dict[tuple[type, str], Any] = {}


def patch_classes() -> None:
    """Patch all classes of embeddings and models. The caller holds the lock of the open blocks."""
    for base in _BASES:
        for cls in [base, *_subclasses(base)]:
            _patch(cls)
        if _HOOK not in vars(base):
            setattr(base, _HOOK, classmethod(functools.partial(_patch_new_class, base)))


def unpatch_classes() -> None:
    """Undo ``patch_classes``. The caller holds the lock of the open blocks."""
    for base in _BASES:
        hook = getattr(vars(base).get(_HOOK), "__func__", None)
        if getattr(hook, "func", None) is _patch_new_class:
            delattr(base, _HOOK)
    for (cls, name), method in list(_originals.items()):
        # Another library may have patched the method meanwhile. Its patch stays, and ours passes each call on.
        if getattr(vars(cls).get(name), _MARK, None) is method:
            setattr(cls, name, method)
    _originals.clear()


def _subclasses(cls: type) -> Iterator[type]:
    # Not cls.__subclasses__(): a metaclass may have a method of this name.
    found: type
    for found in type.__subclasses__(cls):
        yield found
        yield from _subclasses(found)


def _patch_new_class(base: Any, cls: Any, /, **kwargs: Any) -> None:
    super(base, cls).__init_subclass__(**kwargs)
    _patch(cls)


def _patch(cls: Any) -> None:
    if is_proxy_class(cls):
        return
    for name in ENTRY_POINTS if issubclass(cls, Embeddings) else COUNTERS:
        method = vars(cls).get(name)
        # Not only functions: a decorator or a compiler may make another kind of method.
        if hasattr(type(method), "__get__") and not hasattr(method, _MARK) and _is_recorded(cls, method):
            _originals[cls, name] = method
            patched: Any = _with_proxy_as_self(method, name)
            if isinstance(method, (staticmethod, classmethod)):
                patched = _OnClassOrObject(method, name, patched)
            setattr(cls, name, patched)


def _is_recorded(cls: type, method: Any) -> bool:
    if not issubclass(cls, Embeddings):
        return is_remote_counter(method)
    return not getattr(method, "__isabstractmethod__", False)  # no program calls an abstract method


def _with_proxy_as_self(method: Any, name: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def entry_point(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        live = method.__get__(self, type(self))
        # An object that another model calls contributes to the response of that model, which is recorded.
        if is_proxy(self) or is_model_code(self) or (block := current_block()) is None:
            return live(*args, **kwargs)
        if (inner := embeddings_behind_store(self)) is not None:
            return getattr(inner, name)(*args, **kwargs)
        return getattr(block.proxy_of(self), name)(*args, **kwargs)

    setattr(entry_point, _MARK, method)
    return entry_point


class _OnClassOrObject:
    """The patch of a static method or a class method, which a program also calls on the class."""

    def __init__(self, method: Any, name: str, on_object: Callable[..., Any]) -> None:
        self._name, self._on_object = name, on_object
        self.__wrapped__ = method
        setattr(self, _MARK, method)

    def __get__(self, model: Any, owner: Any = None) -> Callable[..., Any]:
        if model is not None:
            return self._on_object.__get__(model, owner)  # type: ignore[no-any-return]
        live = self.__wrapped__.__get__(None, owner)

        @functools.wraps(live)
        def on_class(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if is_model_code() or (block := current_block()) is None or (model := _object_of(owner)) is None:
                return live(*args, **kwargs)
            return getattr(block.proxy_of(model), self._name)(*args, **kwargs)

        return on_class


def _object_of(cls: Any) -> Any:
    """An object with the state of its class alone; ``None`` for a class that has no such objects."""
    try:
        return cls.model_construct() if hasattr(cls, "model_construct") else object.__new__(cls)
    except Exception:  # an abstract class, or a default that raises
        return None


_BASES: Final[tuple[Any, ...]] = (Embeddings, BaseLanguageModel)
