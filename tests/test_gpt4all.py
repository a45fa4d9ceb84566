"""The local model people attach plsync to: the real GPT4All, loaded from a file these tests write."""

from pathlib import Path

import pytest

pytest.importorskip("gpt4all")

from langchain_community.llms import GPT4All

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


def test_a_model_may_be_written_with_answers_of_ones_own(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "own.gguf", answers={"weather": "It is sunny."}, default="Pardon?")
    own = GPT4All(model=str(path), n_threads=1)
    assert (own.invoke("How is the weather?"), own.invoke("Hello")) == (" It is sunny.", " Pardon?")
