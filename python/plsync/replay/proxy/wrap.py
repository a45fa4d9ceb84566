"""``with_recording``: a model whose calls are served from a recording, or made live and recorded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.runnables import RunnableBinding

from plsync.replay.proxy.chat import chat_methods
from plsync.replay.proxy.embedding_stores import embeddings_behind_store, watch_stores, without_store
from plsync.replay.proxy.embeddings import embedding_methods
from plsync.replay.proxy.proxy_class import ProxyClass
from plsync.replay.proxy.text import text_methods
from plsync.replay.proxy.tools import is_retriever, is_tool, retriever_methods, tool_methods
from plsync.replay.recording import Recording, as_recording

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from plsync.journal.journal import Journal
    from plsync.replay.options import Mode, ReplayOptions

__all__ = ["proxy_class_for", "rebuild_proxy", "with_recording"]

Model = TypeVar("Model")


def with_recording(
    model: Model,
    recording: str | os.PathLike[str] | Journal | Recording,
    mode: Mode = "none",
    *,
    serial: bool | None = None,
    **options: Unpack[ReplayOptions],
) -> Model:
    """A copy of a model whose calls are served from a recording, or made live and recorded.

    The copy belongs to a subclass of the model's class. ``isinstance``, ``bind_tools``, ``with_structured_output`` and
    the requests to the provider do not change.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from plsync.replay import with_recording
    >>> model = with_recording(FakeListChatModel(responses=["Paris"]), "./capitals.jsonl", mode="once")
    >>> model.invoke("The capital of France?").content
    'Paris'

    Args:
        model: a chat model, a text model, embeddings, a retriever or a tool of LangChain, or a model with bound
            arguments.
        recording: the path of a file; a journal or its directory; or an open ``Recording``, which keeps its own mode
            and options.
        mode: ``none`` (default) serves recorded calls. ``once`` records into a new file, and serves an existing one.
            ``new_episodes`` serves recorded calls and records other calls. ``all`` records every call again.
        serial: make live calls one at a time; by default only for models that need it (GPT4All, llama.cpp, ...).
        options: ``match``, ``exhausted``, ``speed``, ``redact``, ``filters``, ``also``, ``record_errors``:
            see ``Recording``.

    Returns:
        The copy.

    Raises:
        TypeError: ``model`` is not such a model, or an option is unknown.
        ValueError: see ``Recording``.
    """
    recording = as_recording(recording, mode, options)
    if isinstance(model, RunnableBinding):
        return cast("Model", model.model_copy(update={"bound": with_recording(model.bound, recording, serial=serial)}))
    cls = type(model)
    if not isinstance(model, (BaseChatModel, BaseLLM, Embeddings)) and not is_retriever(cls) and not is_tool(cls):
        raise TypeError(
            f"with_recording takes a model, embeddings, a retriever or a tool, not {cls.__name__}: "
            "pass the model, and build the chain from the result"
        )
    if isinstance(model, Embeddings):
        watch_stores()
        if (inner := embeddings_behind_store(model)) is not None:
            return cast("Model", without_store(model, with_recording(inner, recording, serial=serial)))
    return cast("Model", proxy_class_for(type(model), recording, serial=serial).copy_of(model))


def proxy_class_for(
    live_class: type, recording: Recording, *, has_live_model: bool = True, serial: bool | None = None
) -> ProxyClass:
    """The proxy class of a model class for a recording; ``ProxyClass`` explains the arguments.

    Raises:
        TypeError: the class is neither a chat model, nor a text model, nor embeddings.
    """
    settings: dict[str, Any] = {"has_live_model": has_live_model, "serial": serial, "rebuild": rebuild_proxy}
    if issubclass(live_class, BaseChatModel):
        return ProxyClass(live_class, "chat", chat_methods(live_class), recording, **settings)
    if issubclass(live_class, BaseLLM):
        return ProxyClass(live_class, "llm", text_methods(live_class), recording, **settings)
    if issubclass(live_class, Embeddings):
        return ProxyClass(live_class, "embeddings", embedding_methods(), recording, **settings)
    if is_tool(live_class):
        return ProxyClass(live_class, "tool", tool_methods(live_class), recording, **settings)
    if is_retriever(live_class):
        proxy = ProxyClass(live_class, "retriever", retriever_methods(), recording, **settings)
        # LangChain has read the signature of the new method.
        proxy.cls._expects_other_args = live_class._expects_other_args  # type: ignore[attr-defined]
        return proxy
    raise TypeError(f"{live_class.__name__} is neither a chat model, nor a text model, nor embeddings")


def rebuild_proxy(live_class: type, state: Any, recording: Recording, settings: dict[str, Any]) -> Any:
    """A proxied model that is unpickled.

    Args:
        live_class: the class of the live model.
        state: the live model; without a live model, its fields.
        recording: serves and records the calls.
        settings: keyword arguments of ``proxy_class_for``.
    """
    model = _from_fields(live_class, state) if isinstance(state, dict) else state
    return proxy_class_for(live_class, recording, **settings).copy_of(model)


def _from_fields(live_class: type, fields: dict[str, Any]) -> Any:
    model: Any = object.__new__(live_class)
    for slot, value in (
        ("__dict__", fields),
        ("__pydantic_fields_set__", set(fields)),
        ("__pydantic_extra__", None),
        ("__pydantic_private__", None),
    ):
        object.__setattr__(model, slot, value)
    return model
