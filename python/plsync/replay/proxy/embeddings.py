"""The methods that replace methods of embeddings in their proxy class."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from plsync.errors import PlsyncWarning
from plsync.replay.proxy import live
from plsync.replay.proxy.capture import CallCapture
from plsync.replay.proxy.inputs import InterceptedInputs
from plsync.replay.proxy.proxy_class import parameters_of, proxy_class_of
from plsync.replay.request.request import to_tagged
from plsync.replay.response.vectors import container_of, in_container, pack_vector

__all__ = ["ENTRY_POINTS", "embedding_methods"]

ENTRY_POINTS: Final = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")
"""The methods of embeddings that a program calls."""


def embedding_methods() -> dict[str, Callable[..., Any]]:
    """The methods for any class of embeddings, by name."""
    methods = (_embed_documents, _embed_query, _aembed_documents, _aembed_query)
    return dict(zip(ENTRY_POINTS, methods, strict=True))


def _embed_documents(self: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    call = _Call(self, "embed_documents", "document", args, kwargs)
    call.inputs.find()
    call.inputs.replay()
    if not call.inputs.missing:
        return call.vectors()
    with call.inputs.record() as (model, captures):
        found = live.call(captures[0], model.embed_documents, *call.live_arguments(), **call.kwargs)
        return call.with_live_vectors(found, captures)


async def _aembed_documents(self: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    call = _Call(self, "aembed_documents", "document", args, kwargs)
    call.inputs.find(can_wait=True)
    await call.inputs.areplay()
    if not call.inputs.missing:
        return call.vectors()
    async with call.inputs.arecord() as (model, captures):
        found = await live.acall(captures[0], model.aembed_documents, *call.live_arguments(), **call.kwargs)
        return call.with_live_vectors(found, captures)


def _embed_query(self: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    call = _Call(self, "embed_query", "query", args, kwargs)
    call.inputs.find()
    call.inputs.replay()
    if not call.inputs.missing:
        return call.vectors()[0]
    with call.inputs.record() as (model, captures):
        vector = live.call(captures[0], model.embed_query, *call.live_arguments(), **call.kwargs)
        captures[0].finish_vector(pack_vector(vector))
        return vector


async def _aembed_query(self: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    call = _Call(self, "aembed_query", "query", args, kwargs)
    call.inputs.find(can_wait=True)
    await call.inputs.areplay()
    if not call.inputs.missing:
        return call.vectors()[0]
    async with call.inputs.arecord() as (model, captures):
        vector = await live.acall(captures[0], model.aembed_query, *call.live_arguments(), **call.kwargs)
        captures[0].finish_vector(pack_vector(vector))
        return vector


class _Call:
    """The texts of one call, and its other arguments."""

    def __init__(
        self, model: Any, name: str, role: Literal["document", "query"], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Reads the arguments.

        Args:
            model: the proxied embeddings.
            name: the name of the method.
            role: the role of the texts; a model may embed a query in another way than a document.
            args: the positional arguments of the call.
            kwargs: the keyword arguments of the call.
        """
        names = parameters_of(proxy_class_of(model).live_class, name)
        self.kwargs = dict(kwargs)
        if not args and not kwargs:
            raise TypeError(f"{name}() misses its argument: pass the text or the texts")
        keyword = names[0] if names and names[0] in kwargs else next(iter(kwargs), "")
        content, *self._rest = args or (self.kwargs.pop(keyword),)
        self._is_query = role == "query"
        self._texts: list[Any] = [content] if self._is_query else list(content)
        options = {**dict(zip(names[1:], self._rest, strict=False)), **self.kwargs}
        self.inputs = InterceptedInputs(model, "embeddings", [{role: text} for text in to_tagged(self._texts)], options)

    def live_arguments(self) -> list[Any]:
        """The positional arguments of the live call: the texts without a recorded vector, and the rest."""
        texts = [self._texts[number] for number in self.inputs.missing]
        return [texts[0] if self._is_query else texts, *self._rest]

    def vectors(self) -> Any:
        """The recorded vectors, in the order of the texts and in the recorded container."""
        found = [response for response in self.inputs.responses if response is not None]
        containers = {response.container for response in found}
        vectors = [response.vector() for response in found]
        return in_container(vectors, containers.pop()) if len(containers) == 1 else vectors

    def with_live_vectors(self, found: Any, captures: Sequence[CallCapture]) -> Any:
        """Recorded and live vectors in the order of the texts. The live vectors are recorded."""
        container = container_of(found)
        live_vectors = found if container else list(found)
        if len(live_vectors) != len(captures):
            message = (
                f"the model returned {len(live_vectors)} vectors for {len(captures)} texts; the program received them, "
                "and none was recorded: embed the texts one by one to record them"
            )
            warnings.warn(message, PlsyncWarning, stacklevel=2)
            return live_vectors
        for capture, vector in zip(captures, live_vectors, strict=True):
            capture.finish_vector(pack_vector(vector), container)
        if len(captures) == len(self._texts):
            return live_vectors
        new = iter(live_vectors)
        return [next(new) if response is None else response.vector() for response in self.inputs.responses]
