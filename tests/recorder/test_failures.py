"""A failure to record is counted and shown once, and the model call continues."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from plsync import PromptLayerCallbackHandler
from tests.support import programs
from tests.support.models import Chat, StreamingChat, records, texts


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "file").write_text("not a directory")
    yield tmp_path / "file" / "journal"


def run(program: str, *arguments: object, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", textwrap.dedent(program), *map(str, arguments)]
    return programs.run(command, check=True, capture_output=True, text=True, timeout=60)


CALLS = """
import sys
from langchain_core.language_models import FakeListLLM
from plsync import PromptLayerCallbackHandler
handler = PromptLayerCallbackHandler(journal=sys.argv[1])
for _ in range(2):
    print(FakeListLLM(responses=["yes"]).invoke("hi", {"callbacks": [handler]}))
print(handler.failures)
"""


def test_a_journal_that_cannot_be_written_costs_one_warning(unwritable: Path) -> None:
    done = run(CALLS, unwritable)
    assert done.stdout.split() == ["yes", "yes", "4"]
    assert done.stderr.count("PlsyncWarning") == 1


def test_a_call_continues_where_warnings_are_errors(unwritable: Path) -> None:
    done = run(CALLS, unwritable, options=("-W", "error::UserWarning"))
    assert done.stdout.split() == ["yes", "yes", "4"]


class Hostile:
    """Raises at each use."""

    def __repr__(self) -> str:
        raise SystemExit("repr")

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt(name)


def test_a_value_that_cannot_be_written_costs_only_itself(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    cycle: list[Any] = []
    cycle.append(cycle)
    config: Any = {"callbacks": [handler], "metadata": {"hostile": Hostile(), "cycle": cycle, "kept": (1, 2)}}
    Chat().invoke("hi", config)
    (record,) = records(path)
    assert (record.status, record.lossy, record.metadata["kept"]) == ("ok", True, [1, 2])
    assert handler.failures == 0


class HostileClass(type):
    """A metaclass that raises at each use."""

    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)


class OfHostileClass(metaclass=HostileClass):
    pass


def test_a_value_whose_class_raises_costs_only_itself(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    Chat().invoke("hi", {"callbacks": [handler], "metadata": {"hostile": OfHostileClass(), "kept": 1}})
    (record,) = records(path)
    assert (record.status, texts(record), record.lossy, record.metadata["kept"]) == ("ok", ["yes"], True, 1)
    assert handler.failures == 0


def test_an_error_without_a_text_ends_the_call(path: Path) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit("str")

    def fail(_: Any) -> AIMessage:
        raise Mute

    with pytest.raises(Mute):
        Chat(reply=fail).invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]})
    (record,) = records(path)
    assert record.status == "error"
    assert record.error is not None
    assert record.error["type"] == "Mute"


class Unanswered(Exception):
    """Reads its status from a response that it does not have."""

    @property
    def status_code(self) -> int:
        raise RuntimeError("there was no response")


def test_an_error_without_a_status_keeps_its_message_and_the_part_that_arrived(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    with pytest.raises(Unanswered):
        list(StreamingChat(fails=Unanswered("cut off")).stream("hi", {"callbacks": [handler]}))
    (record,) = records(path)
    assert texts(record) == ["a b c"]
    assert record.error == {"type": "Unanswered", "message": "cut off", "module": __name__, "status_code": None}
    assert handler.failures == 0


def test_a_status_of_a_subclass_of_int_is_kept_as_a_number(path: Path) -> None:
    class NotFound(Exception):
        status_code = HTTPStatus.NOT_FOUND

    def fail(_: Any) -> AIMessage:
        raise NotFound

    with pytest.raises(NotFound):
        Chat(reply=fail).invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]})
    (record,) = records(path)
    assert record.error is not None
    assert (record.error["status_code"], record.lossy) == (404, False)


@pytest.mark.filterwarnings("ignore::plsync.errors.PlsyncWarning")
def test_a_field_beyond_the_limit_costs_only_itself(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path, pl_tags=["mine"])
    config: Any = {"callbacks": [handler], "tags": ["geo"], "metadata": {"user": 7}}
    Chat().invoke("x" * (65 << 20), config)
    (record,) = records(path)
    assert (record.status, texts(record), record.input, record.lossy) == ("ok", ["yes"], [], True)
    assert (record.tags, record.metadata["user"], record.class_name) == (["geo", "mine"], 7, "Chat")
    start, _ = record.events()
    assert start["omitted"] == ["messages"]
    assert handler.failures == 1


@pytest.mark.filterwarnings("ignore::plsync.errors.PlsyncWarning")
def test_the_largest_of_several_large_fields_go(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    run_id = uuid.uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=run_id, tags=["geo"])
    answer = ChatGeneration(message=AIMessage("x" * (20 << 20)))  # twice: as the text, and in the message
    handler.on_llm_end(LLMResult(generations=[[answer]], llm_output={"raw": "x" * (30 << 20)}), run_id=run_id)
    (record,) = records(path)
    assert (record.status, record.tags, record.output) == ("ok", ["geo"], [])
    _, end = record.events()
    assert (end["omitted"], len(end["llm_output"]["raw"])) == (["generations"], 30 << 20)


def test_a_callback_with_wrong_arguments_is_counted(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    nonsense: Any = object()
    handler.on_chat_model_start(nonsense, nonsense, run_id=nonsense)
    handler.on_llm_end(nonsense, run_id=uuid.uuid4())
    handler.on_llm_new_token(nonsense, run_id=nonsense)
    assert handler.failures == 3
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=uuid.uuid4(), tags=nonsense, metadata=nonsense)
    assert records(path)[-1].lossy
