"""``load``: a model that consists of its recording, without a live model."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult, GenerationChunk, LLMResult
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from plsync.errors import RecordingNotFound
from plsync.replay.options import ReplayOptions
from plsync.replay.proxy.wrap import proxy_class_for
from plsync.replay.recording import Recording, as_recording
from plsync.replay.request.structured_output import SCHEMA_OPTION

if TYPE_CHECKING:
    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal
    from plsync.replay.matching import Match
    from plsync.replay.options import Exhausted
    from plsync.replay.redaction import Redact

__all__ = ["RecordedChatModel", "RecordedEmbeddings", "RecordedLLM", "load"]


class _Identity:
    """The identity of a model without a live model, which LangChain passes to callbacks."""

    if TYPE_CHECKING:
        recording: str
        model_name: str | None

    @property
    def _llm_type(self) -> str:
        return "plsync-recording"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"recording": os.path.basename(self.recording), "model_name": self.model_name}


# The proxy class replaces ``_generate`` and its relatives in both classes. They are defined because LangChain derives
# the abilities of a model from the methods of its class.


class RecordedChatModel(_Identity, BaseChatModel):
    """A chat model with a recording and no live model; ``load`` makes one.

    Tools and structured output match in any form in which the recorded provider was called.
    """

    recording: str
    """The path of the recording."""
    model_name: str | None = None
    """The name of the recorded model."""

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools.

        Args:
            tools: tools in any form that LangChain converts.
            tool_choice: the tool that the model must call, as for the recorded model.
            kwargs: more arguments to bind.
        """
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """The model with an output of a schema, in any form in which the recorded provider was called.

        Args:
            schema: a class or a JSON schema.
            include_raw: return ``raw``, ``parsed`` and ``parsing_error``.
            kwargs: ignored; other models take them.
        """
        model: Runnable[LanguageModelInput, AIMessage] = self.bind(**{SCHEMA_OPTION: schema})
        parser: Runnable[Any, Any] = RunnableLambda(lambda message: _parse_structured(message, schema))
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        raise NotImplementedError


class RecordedLLM(_Identity, BaseLLM):
    """A text model with a recording and no live model; ``load`` makes one."""

    recording: str
    """The path of the recording."""
    model_name: str | None = None
    """The name of the recorded model."""

    def _generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        raise NotImplementedError

    def _stream(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
        raise NotImplementedError

    async def _astream(self, prompt: str, *args: Any, **kwargs: Any) -> AsyncIterator[GenerationChunk]:
        raise NotImplementedError
        yield


class RecordedEmbeddings(Embeddings):
    """Embeddings with a recording and no live model; ``load`` makes one."""

    def __init__(self, recording: str, model_name: str | None = None) -> None:
        """Embeddings without a live model.

        Args:
            recording: the path of the recording.
            model_name: the name of the recorded model.
        """
        self.recording = recording
        self.model_name = model_name

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The recorded vectors of texts."""
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        """The recorded vector of a query."""
        raise NotImplementedError


def load(
    recording: str | os.PathLike[str] | Journal | Recording,
    like: type | None = None,
    *,
    kind: Literal["chat", "llm", "embeddings"] | None = None,
    match: Match | None = None,
    exhausted: Exhausted = "fail",
    speed: float | None = None,
    redact: Redact | None = None,
    filters: Filters | None = None,
    **fields: Any,
) -> Any:
    """A model made of a recording alone, without a provider's package, a key, a client or a model file.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from plsync.replay import load, with_recording
    >>> model = with_recording(FakeListChatModel(responses=["Paris"]), "./capitals.jsonl", mode="once")
    >>> recorded = model.invoke("The capital of France?")
    >>> load("./capitals.jsonl").invoke("The capital of France?").content
    'Paris'

    Args:
        recording: the path of a file; a journal or its directory; or an open ``Recording``, which keeps its own
            options.
        like: the class of the model, e.g. ``ChatOpenAI``: the model gets its methods, and ``fields`` are its fields.
            The constructor of the class is not called, so the model has no client and needs no key.
        kind: ``chat``, ``llm`` or ``embeddings``; by default the kind of the first recorded call of a chat
            model or text model. Without such a call, ``embeddings``.
        match: see ``Recording``.
        exhausted: see ``Recording``.
        speed: see ``Recording``.
        redact: see ``Recording``.
        filters: see ``Recording``.
        fields: fields of the model.

    Returns:
        A chat model, a text model or embeddings.

    Raises:
        RecordingNotFound: the recording has no calls.
        RecordingFormatError: the file is not a recording.
        TypeError: ``like`` is neither a chat model, nor a text model, nor embeddings.
        ValueError: see ``Recording``.
    """
    options: ReplayOptions = {
        "match": match,
        "exhausted": exhausted,
        "speed": speed,
        "redact": redact,
        "filters": filters,
    }
    recording = as_recording(recording, "none", options)
    first = recording.first_call(kind)
    if first is None:
        raise RecordingNotFound(
            f"nothing is recorded in {recording.path}; nothing was created: record calls there first, or correct the "
            "path"
        )
    if like is not None:
        return proxy_class_for(like, recording, has_live_model=False).copy_of(_without_constructor(like, fields))
    model: type = _MODELS.get(kind or first.request.kind, RecordedChatModel)
    fields = {"recording": str(recording.path), "model_name": first.request.model, **fields}
    return proxy_class_for(model, recording, has_live_model=False).copy_of(model(**fields))


_MODELS: Final[dict[str, type]] = {"llm": RecordedLLM, "embeddings": RecordedEmbeddings}


def _without_constructor(cls: Any, fields: dict[str, Any]) -> Any:
    """An object of a model's class without a call of its constructor; a missing field becomes None."""
    if not hasattr(cls, "model_construct"):
        plain = object.__new__(cls)
        vars(plain).update(fields)
        return plain
    model = cls.model_construct(**fields)
    for name in cls.model_fields:
        model.__dict__.setdefault(name, None)
    return model


def _parse_structured(message: AIMessage, schema: Any) -> Any:
    found = message.tool_calls[0]["args"] if message.tool_calls else JsonOutputParser().parse(message.text)
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    return schema(**found) if is_class else found
