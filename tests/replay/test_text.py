"""Text models recorded and replayed: with only ``_call``, with ``_generate``, and with streaming."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.llms import LLM, BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from plsync.errors import NoRecording
from plsync.replay import with_recording
from tests.support.models import CallbackLLM, FailingLLM
from tests.support.replaying import lines, recorded, replayed


class Several(BaseLLM):
    """Returns two candidates for each prompt of a call, and one count of tokens for the whole call."""

    calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "several"

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        self.calls += 1
        made = [
            [Generation(text=f"{prompt} {number}", generation_info={"n": number}) for number in (1, 2)]
            for prompt in prompts
        ]
        return LLMResult(generations=made, llm_output={"token_usage": {"total": len(prompts)}})


class Streaming(CallbackLLM):
    """Streams, and reports each chunk itself, like LangChain's text models."""

    def _stream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        for number, word in enumerate(("Pa", "ris", "")):
            chunk = GenerationChunk(text=word, generation_info={"finish_reason": "stop"} if number == 2 else None)
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk

    async def _astream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        for chunk in self._stream(prompt):
            yield chunk


class Listener(BaseCallbackHandler):
    """Keeps the events that it receives."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.received.append((token, chunk))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.received.append((response.generations, response.llm_output))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def test_a_response_comes_back(path: Path) -> None:
    assert recorded(FakeListLLM(responses=["Paris"]), path).invoke("Where?") == "Paris"
    replay = replayed(FakeListLLM(responses=["no"]), path)
    assert isinstance(replay, FakeListLLM)
    assert replay.invoke("Where?") == "Paris"


async def test_async_calls_are_replayed(path: Path) -> None:
    assert await recorded(FakeListLLM(responses=["Paris"]), path).ainvoke("Where?") == "Paris"
    assert await replayed(FakeListLLM(responses=["no"]), path).ainvoke("Where?") == "Paris"


def test_a_model_with_only_call_streams_its_response_as_one_chunk(path: Path) -> None:
    assert list(recorded(CallbackLLM(), path).stream("Where?")) == ["a b"]
    assert list(replayed(CallbackLLM(), path).stream("Where?")) == ["a b"]


def test_tokens_reported_without_chunks_are_reported_again(path: Path) -> None:
    live, replay = Listener(), Listener()
    recorded(CallbackLLM(), path).invoke("Where?", {"callbacks": [live]})
    replayed(CallbackLLM(), path).invoke("Where?", {"callbacks": [replay]})
    assert replay.received == live.received
    assert [token for token, _ in replay.received[:2]] == ["a ", "b"]


async def test_tokens_are_reported_in_async_calls(path: Path) -> None:
    live, replay = Listener(), Listener()
    await recorded(CallbackLLM(), path).ainvoke("Where?", {"callbacks": [live]})
    await replayed(CallbackLLM(), path).ainvoke("Where?", {"callbacks": [replay]})
    assert replay.received == live.received


@pytest.mark.parametrize("reports", [True, False])
def test_a_stream_has_the_recorded_chunks_and_reports(path: Path, reports: bool) -> None:
    class Mute(Streaming):
        def _stream(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
            yield from super()._stream(prompt)

    model = Streaming() if reports else Mute()
    live, replay = Listener(), Listener()
    assert list(recorded(model, path).stream("Where?", {"callbacks": [live]})) == ["Pa", "ris", ""]
    assert list(replayed(model, path).stream("Where?", {"callbacks": [replay]})) == ["Pa", "ris", ""]
    assert replay.received == live.received
    assert len(replay.received) == (4 if reports else 1)


async def test_an_async_stream_has_the_recorded_chunks(path: Path) -> None:
    assert [word async for word in recorded(Streaming(), path).astream("Where?")] == ["Pa", "ris", ""]
    assert [word async for word in replayed(Streaming(), path).astream("Where?")] == ["Pa", "ris", ""]


def test_a_stream_is_served_whole_and_a_whole_response_is_streamed(path: Path) -> None:
    model = recorded(Streaming(), path)
    list(model.stream("streamed"))
    model.invoke("whole")
    assert replayed(Streaming(), path).invoke("streamed") == "Paris"
    assert list(replayed(Streaming(), path).stream("whole")) == ["a b"]
    [[generation]] = replayed(Streaming(), path).generate(["streamed"]).generations
    assert generation == Generation(text="Paris", generation_info={"finish_reason": "stop"})


def test_several_prompts_are_one_live_call_and_one_line_each(path: Path) -> None:
    model = recorded(Several(), path)
    first = model.generate(["a", "b"])
    assert model.calls == 1
    assert len(lines(path)) == 2
    again = replayed(Several(), path).generate(["a", "b"])
    assert again.generations == first.generations
    assert again.llm_output == first.llm_output
    assert replayed(Several(), path).batch(["b", "a"]) == ["b 1", "a 1"]


def test_only_missing_prompts_reach_the_model(path: Path) -> None:
    recorded(Several(), path).generate(["b"])
    model = with_recording(Several(), path, mode="new_episodes")
    answers = model.generate(["a", "b", "c"])
    assert [several[0].text for several in answers.generations] == ["a 1", "b 1", "c 1"]
    assert [line["request"]["prompt"] for line in lines(path)] == ["b", "a", "c"]


async def test_abatch_is_replayed(path: Path) -> None:
    assert await recorded(Several(), path).abatch(["a", "b"]) == ["a 1", "b 1"]
    assert await replayed(Several(), path).abatch(["b", "a"]) == ["b 1", "a 1"]


def test_stop_words_and_settings_of_the_call_are_recorded(path: Path) -> None:
    recorded(FakeListLLM(responses=["a"]), path).invoke("Where?", stop=["x"], n_predict=3)
    [line] = lines(path)
    assert line["request"] == {"prompt": "Where?", "stop": ["x"]}
    assert line["settings"] == {"n_predict": 3}
    with pytest.raises(NoRecording):
        replayed(FakeListLLM(responses=["a"]), path).invoke("Where?")


def test_an_error_comes_back(path: Path) -> None:
    for model in (recorded(FailingLLM(), path), replayed(FailingLLM(), path)):
        with pytest.raises(ValueError, match=r"^out of order$") as raised:
            model.invoke("Where?")
        assert raised.type is ValueError


async def test_an_error_of_several_prompts_is_recorded_for_each(path: Path) -> None:
    batch: dict[str, Any] = {"inputs": ["Where?", "When?"], "return_exceptions": True}
    live = recorded(FailingLLM(), path).batch(**batch)
    assert len(lines(path)) == 2
    again = replayed(FailingLLM(), path).batch(**batch)
    assert list(map(repr, again)) == list(map(repr, live)) == ["ValueError('out of order')"] * 2
    await recorded(FailingLLM(), path).abatch(**batch)
    assert list(map(repr, await replayed(FailingLLM(), path).abatch(**batch))) == list(map(repr, live))
    with pytest.raises(ValueError, match=r"^out of order$"):
        replayed(FailingLLM(), path).invoke("When?")


class PathLLM(LLM):
    """A local model, named by the path of its file."""

    model: str

    @property
    def _llm_type(self) -> str:
        return "path"

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        return "yes"


def test_a_lone_surrogate_in_a_prompt_is_recorded(path: Path) -> None:
    assert recorded(FakeListLLM(responses=["yes"]), path).invoke("cut \ud83d") == "yes"
    assert replayed(FakeListLLM(responses=["no"]), path).invoke("cut \ud83d") == "yes"
    with pytest.raises(NoRecording):
        replayed(FakeListLLM(responses=["no"]), path).invoke("cut \ud83e")


class JsonLLM(FakeListLLM):
    """Requests JSON by default."""

    format: str = "json"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"format": self.format}


def test_the_default_format_of_a_model_counts_and_causes_no_warning(path: Path) -> None:
    with warnings.catch_warnings(record=True) as shown:
        recorded(JsonLLM(responses=["{}"]), path).invoke("hi")
    assert [str(one.message) for one in shown] == []
    assert lines(path)[0]["request"] == {"prompt": "hi", "response_format": "json"}


def test_the_directory_of_a_model_file_does_not_count(path: Path) -> None:
    strict = ("messages", "model")
    recorded(PathLLM(model="/home/ann/models/tiny.gguf"), path).invoke("hi")
    assert lines(path)[0]["model"] == "tiny.gguf"
    assert replayed(PathLLM(model="C:\\models\\tiny.gguf"), path, match=strict).invoke("hi") == "yes"
    with pytest.raises(NoRecording):
        replayed(PathLLM(model="/home/ann/models/large.gguf"), path, match=strict).invoke("hi")
