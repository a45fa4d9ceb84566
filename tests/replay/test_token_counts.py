"""Token counts that a server makes are recorded; counts of the process are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, trim_messages

from plsync.errors import NoRecording
from plsync.replay import record_all, with_recording
from tests.support.replaying import lines


class Client:
    """A client of a provider that counts words."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def count_tokens(self, text: str) -> int:
        self.texts.append(text)
        return len(text.split())


class Remote(FakeListChatModel):
    client: Any = None

    def get_num_tokens(self, text: str) -> int:
        return self.client.count_tokens(text)  # type: ignore[no-any-return]


class Local(FakeListChatModel):
    def get_num_tokens(self, text: str) -> int:
        return len(text)


def trimmed(model: Any) -> list[str]:
    messages = [HumanMessage("one two three"), HumanMessage("four five"), HumanMessage("six")]
    return [str(one.content) for one in trim_messages(messages, max_tokens=7, strategy="last", token_counter=model)]


def test_counts_of_a_server_are_recorded_once_for_each_text(tmp_path: Path) -> None:
    path = tmp_path / "counts.jsonl"
    with record_all(path, mode="once"):
        live = trimmed(Remote(responses=[], client=Client()))
    texts = [line["request"]["input"]["text"] for line in lines(path)]
    assert texts
    assert len(set(texts)) == len(texts)
    dead = Remote(responses=[], client=None)
    with record_all(path):
        assert trimmed(dead) == live
    replayed = with_recording(dead, path)
    assert replayed.get_num_tokens("Human: six") == 2
    with pytest.raises(NoRecording, match=r"input\.text: Human: seven"):
        replayed.get_num_tokens("Human: seven")


def test_counts_of_the_process_need_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "counts.jsonl"
    with record_all(path, mode="once") as recording:
        assert Local(responses=[]).get_num_tokens("four") == 4
        assert with_recording(Local(responses=[]), path).get_num_tokens("four") == 4
        assert recording.counts.recorded == 0
    assert not path.exists()


def test_a_model_defined_inside_a_block_is_covered(tmp_path: Path) -> None:
    path = tmp_path / "counts.jsonl"
    with record_all(path, mode="once"):

        class Late(Remote):
            def get_num_tokens(self, text: str) -> int:
                return 1 + int(self.client.count_tokens(text))

        assert Late(responses=[], client=Client()).get_num_tokens("a") == 2
    assert len(lines(path)) == 1
    assert Late(responses=[], client=Client()).get_num_tokens("a b") == 3
