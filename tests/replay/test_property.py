"""Replay returns an equal response for every response of a model: generated messages, whole and in chunks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult

from tests.support.examples import examples
from tests.support.generated import FIELDS, VALUES, message, same
from tests.support.models import Chat
from tests.support.replaying import recorded, replayed

THOROUGHLY = settings(
    deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
# A generated text rarely resembles a link with a password, or headers.
pytestmark = pytest.mark.filterwarnings("error")


@st.composite
def answer(draw: st.DrawFn, cls: type[BaseMessage] = AIMessage) -> Any:
    """A response whose fields were set without validation, as providers do."""
    construct: Any = cls.model_construct
    made: Any = construct(
        content=draw(st.text() | st.lists(st.text() | FIELDS, max_size=3)),
        additional_kwargs=draw(FIELDS),
        response_metadata=draw(FIELDS),
        name=draw(st.none() | st.text()),
        id=draw(st.none() | st.text(min_size=1)),
    )
    values = {
        **made.__dict__,
        **{name: draw(st.just(made.__dict__[name]) | VALUES) for name in ("tool_calls", "usage_metadata")},
    }
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_extra__", draw(FIELDS) or None)
    return made


@st.composite
def chunk(draw: st.DrawFn) -> Any:
    """A chunk of a provider: text, blocks, partial tool calls, usage, or nothing at all."""
    call = st.fixed_dictionaries(
        {
            "name": st.none() | st.text(max_size=5),
            "args": st.none() | st.text(max_size=10),
            "id": st.none() | st.text(max_size=5),
            "index": st.none() | st.integers(0, 3),
            "type": st.just("tool_call_chunk"),
        }
    )
    counts = st.integers(0, 1 << 40)
    usage = st.fixed_dictionaries({"input_tokens": counts, "output_tokens": counts, "total_tokens": counts})
    return AIMessageChunk(
        content=draw(st.text(max_size=8)),
        additional_kwargs=draw(FIELDS),
        response_metadata=draw(FIELDS),
        id=draw(st.none() | st.just("msg-1")),
        tool_call_chunks=draw(st.lists(call, max_size=2)),
        usage_metadata=draw(st.none() | usage),
    )


class Raw(Chat):
    """Returns its fields."""

    whole: Any = None
    pieces: Any = ()
    information: Any = None

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        made = [
            ChatGeneration.model_construct(message=one, text="x", generation_info=self.information)
            for one in self.whole
        ]
        return ChatResult.model_construct(generations=made, llm_output=self.information)

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for piece in self.pieces:
            yield ChatGenerationChunk(message=piece, generation_info=self.information)


class RawText(BaseLLM):
    """Returns its fields as a text model."""

    texts: Any
    information: Any = None

    @property
    def _llm_type(self) -> str:
        return "raw"

    def _generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        made = [Generation(text=text, generation_info=self.information) for text in self.texts]
        return LLMResult(generations=[made], llm_output=self.information)


@given(answers=st.lists(answer(), min_size=1, max_size=3), information=st.none() | FIELDS)
@THOROUGHLY
def test_responses_come_back_equal(answers: list[Any], information: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "calls.jsonl"
        model = Raw(whole=answers, information=information)
        # Not ``invoke``: LangChain would change both responses in the same way.
        first = recorded(model, path)._generate([AIMessage("hi")])
        again = replayed(model, path)._generate([AIMessage("hi")])
    assert same(again.llm_output, first.llm_output)
    assert len(again.generations) == len(first.generations)
    for one, other in zip(again.generations, first.generations, strict=True):
        assert same(one.message, other.message)
        assert same(one.generation_info, other.generation_info)


def test_large_binaries_of_every_kind_come_back_equal(tmp_path: Path) -> None:
    large = bytes(range(256)) * 20
    information = {"bytes": large, "bytearray": bytearray(large), "tuple": (large,), 1: {"base64": "QUJD" * 2000}}
    model = Raw(whole=[AIMessage("data:image/png;base64," + "QUJD" * 2000)], information=information)
    first = recorded(model, tmp_path / "calls.jsonl")._generate([AIMessage("hi")])
    again = replayed(model, tmp_path / "calls.jsonl")._generate([AIMessage("hi")])
    assert len(list((tmp_path / "blobs").iterdir())) == 2
    assert same(again.llm_output, information)
    assert same(again.generations[0].message, first.generations[0].message)


@given(pieces=st.lists(chunk(), min_size=1, max_size=5), information=st.none() | FIELDS)
@THOROUGHLY
def test_streams_come_back_with_the_same_chunks(pieces: list[Any], information: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "calls.jsonl"
        model = Raw(pieces=[piece.model_copy(deep=True) for piece in pieces], information=information)
        list(recorded(model, path)._stream([AIMessage("hi")]))
        again = list(replayed(model, path)._stream([AIMessage("hi")]))
    served = [one.message for one in again]
    assert all(same(one, other) for one, other in zip(served, pieces, strict=False))
    # If no chunk has an id of the provider, LangChain's last chunk is served too.
    assert len(served) - len(pieces) in (0, 1)


@given(message=message())
@THOROUGHLY
def test_requests_with_any_message_match(message: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "calls.jsonl"
        recorded(Raw(whole=[AIMessage("yes")]), path)._generate([message])
        [generation] = replayed(Raw(), path)._generate([message]).generations
    assert generation.message.content == "yes"


@given(texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=3), information=st.none() | FIELDS)
@THOROUGHLY
def test_texts_come_back_equal(texts: list[str], information: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "calls.jsonl"
        model = RawText(texts=texts, information=information)
        first = recorded(model, path).generate(["hi"])
        again = replayed(model, path).generate(["hi"])
    assert [one.text for one in again.generations[0]] == texts
    assert same(again.llm_output, first.llm_output)
    assert all(same(one, other) for one, other in zip(again.generations[0], first.generations[0], strict=True))
