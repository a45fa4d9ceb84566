"""A real GPT4All model, loaded from a file that these tests write."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("gpt4all")

from langchain_community.llms import GPT4All

from plsync import Journal, PromptLayerCallbackHandler, Record
from plsync.testing.tiny_model import DEFAULT, write_tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> GPT4All:
    """A loaded model; one thread, because GPT4All's threads wait by spinning."""
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    return GPT4All(model=str(path), n_threads=1)


@pytest.mark.parametrize(
    ("prompt", "reply"),
    [
        ("Once upon a time, ", " there was a small model that lived on a machine without any network."),
        ("What is the capital of France?", " Paris is the capital of France."),
        ("And of Japan, please?", " Tokyo, of course."),
        ("tell me a joke", " Why did the cassette cross the road? To replay the other side!"),
        ("", " " + DEFAULT),
        ("café 🦜", " " + DEFAULT),
    ],
)
def test_the_tiny_model_replies_literally(tiny: GPT4All, prompt: str, reply: str) -> None:
    assert tiny.invoke(prompt) == reply


def test_a_keyword_far_back_in_a_long_prompt_is_found(tiny: GPT4All) -> None:
    assert tiny.invoke("joke " + "so it goes on and on " * 80).startswith(" Why did the cassette")


def test_the_reply_does_not_depend_on_the_temperature(tiny: GPT4All) -> None:
    hot = tiny.model_copy(update={"temp": 1.5, "repeat_penalty": 1.3})
    assert {hot.invoke("tell me a joke") for _ in range(10)} == {tiny.invoke("tell me a joke")}


def test_a_model_may_be_written_with_other_answers(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "own.gguf", answers={"weather": "It is sunny."}, default="Pardon?")
    own = GPT4All(model=str(path), n_threads=1)
    assert (own.invoke("How is the weather?"), own.invoke("Hello")) == (" It is sunny.", " Pardon?")


Recorded = Callable[..., list[Record]]


@pytest.fixture
def recorded(tiny: GPT4All, tmp_path: Path) -> Recorded:
    """Call a function with the model and a handler, and return its records, oldest first."""

    def record(use: Callable[[GPT4All], object], **changes: object) -> list[Record]:
        handler = PromptLayerCallbackHandler(pl_tags=["langchain", "gpt4all"], journal=tmp_path / "journal")
        use(tiny.model_copy(update={"callbacks": [handler], **changes}))
        with Journal.open(tmp_path / "journal") as journal:
            return list(journal.records(oldest_first=True))

    return record


def test_a_call_is_recorded_with_its_prompt_and_reply(recorded: Recorded) -> None:
    [record] = recorded(lambda model: model.invoke("What is the capital of France?"))
    assert (record.kind, record.status, record.provider) == ("llm", "ok", "gpt4all")
    assert record.input == ["What is the capital of France?"]
    assert [generation["text"] for generation in record.output] == [" Paris is the capital of France."]
    assert record.tags == ["langchain", "gpt4all"]


def test_the_settings_are_recorded_without_the_object_that_holds_the_model(recorded: Recorded) -> None:
    [record] = recorded(lambda model: model.invoke("Hello"))
    assert (record.params["n_predict"], record.params["temp"], record.params["_type"]) == (256, 0.7, "gpt4all")
    assert "object at 0x" not in json.dumps(record.as_dict(), default=str)


def test_a_batch_is_one_record_a_prompt(recorded: Recorded) -> None:
    records = recorded(lambda model: model.batch(["tell me a joke", "And of Japan, please?"]))
    assert [record.output[0]["text"] for record in records] == [
        " Why did the cassette cross the road? To replay the other side!",
        " Tokyo, of course.",
    ]


def test_a_stream_records_the_time_of_each_token(recorded: Recorded) -> None:
    [record] = recorded(lambda model: model.invoke("And of Japan, please?"), streaming=True)
    assert record.first_token_at is not None
    assert record.chunk_times is not None
    assert len(record.chunk_times) == 2  # " Tokyo," and " of course."


def test_a_stop_word_cuts_the_recorded_reply_like_the_returned_one(recorded: Recorded) -> None:
    [record] = recorded(lambda model: model.invoke("What is the capital of France?", stop=["capital"]))
    assert record.output[0]["text"] == " Paris is the "


def test_a_call_that_raises_is_recorded_with_its_error(recorded: Recorded) -> None:
    def misspell(model: GPT4All) -> None:
        with pytest.raises(TypeError, match="n_predikt"):
            model.invoke("Hello", n_predikt=3)

    [record] = recorded(misspell)
    assert record.status == "error"
    assert record.error is not None
    assert record.error["type"] == "TypeError"


def test_the_reply_to_a_prompt_that_is_too_long_is_recorded(recorded: Recorded) -> None:
    [record] = recorded(lambda model: model.invoke("word " * 5000))
    assert record.status == "ok"
    assert record.output[0]["text"].startswith("ERROR: The prompt size exceeds the context window")
