"""Models that are nothing but their recording."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

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
from plsync.replay.proxy.wrap import graft
from plsync.replay.recording import Recording
from plsync.replay.request.structured_output import WISH

if TYPE_CHECKING:
    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal
    from plsync.replay.matching import Match
    from plsync.replay.modes import Exhausted
    from plsync.replay.redaction import Redact

__all__ = ["RecordedChatModel", "RecordedLLM", "load"]


class RecordedChatModel(BaseChatModel):
    """A chat model with a recording and no model behind it; ``load`` makes one.

    Tools and structured output are found however the recorded provider was asked for them.
    """

    recording: str
    model_name: str | None = None

    @property
    def _llm_type(self) -> str:
        return "plsync-recording"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"recording": os.path.basename(self.recording), "model_name": self.model_name}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools offered to it."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """The model, asked for an answer of a schema; how it was asked when it was recorded does not matter."""
        model: Runnable[LanguageModelInput, AIMessage] = self.bind(**{WISH: schema})
        parser: Runnable[Any, Any] = RunnableLambda(lambda message: _structured(message, schema))
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")

    # What a graft replaces; here only because LangChain asks a class what it can do.

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        raise NotImplementedError


class RecordedLLM(BaseLLM):
    """A text model with a recording and no model behind it; ``load`` makes one."""

    recording: str
    model_name: str | None = None

    @property
    def _llm_type(self) -> str:
        return "plsync-recording"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"recording": os.path.basename(self.recording), "model_name": self.model_name}

    def _generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        raise NotImplementedError

    def _stream(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
        raise NotImplementedError

    async def _astream(self, prompt: str, *args: Any, **kwargs: Any) -> AsyncIterator[GenerationChunk]:
        raise NotImplementedError
        yield


def load(
    recording: str | os.PathLike[str] | Journal | Recording,
    like: type | None = None,
    *,
    kind: Literal["chat", "llm"] | None = None,
    match: Match | None = None,
    exhausted: Exhausted = "fail",
    speed: float | None = None,
    redact: Redact | None = None,
    filters: Filters | None = None,
    **fields: Any,
) -> Any:
    """A model made of a recording alone: no provider's package, key, client or model file is needed.

    >>> from plsync.replay import load
    >>> load("./capitals.jsonl").invoke("The capital of France?").content
    'Paris'

    Args:
        recording: the recording's file; a journal or its directory; or an open ``Recording``.
        like: the class the model is to be of, e.g. ``ChatOpenAI``: its methods then are those of the recorded model,
            and ``fields`` are its fields. It is not initialised, so it has no client and needs no key.
        kind: ``chat`` or ``llm``; by default what was recorded first.
        match, exhausted, speed, redact, filters: as of ``Recording``.
        fields: of the model.

    Returns:
        A chat model, or a text model.

    Raises:
        RecordingNotFound: nothing is recorded there.
        RecordingFormatError: it is no recording.
        TypeError: ``like`` is neither a chat model nor a text model.
    """
    if not isinstance(recording, Recording):
        settings: dict[str, Any] = {"match": match, "exhausted": exhausted, "speed": speed, "redact": redact}
        recording = Recording(recording, filters=filters, **settings)
    first = recording.first_call()
    if first is None:
        raise RecordingNotFound(
            f"nothing is recorded in {recording.path}; record something there first, or mend the path"
        )
    if like is not None:
        return graft(like, recording, asks=False).onto(_of_class(like, fields))
    model: type = RecordedLLM if (kind or first.request.kind) == "llm" else RecordedChatModel
    fields = {"recording": str(recording.path), "model_name": first.request.model, **fields}
    return graft(model, recording, asks=False).onto(model(**fields))


def _of_class(cls: Any, fields: dict[str, Any]) -> Any:
    """An object of a model's class that no constructor has seen; fields it must have are there, if only as None."""
    model = cls.model_construct(**fields)
    for name in cls.model_fields:
        model.__dict__.setdefault(name, None)
    return model


def _structured(message: AIMessage, schema: Any) -> Any:
    found = message.tool_calls[0]["args"] if message.tool_calls else JsonOutputParser().parse(message.text)
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    return schema(**found) if is_class else found
