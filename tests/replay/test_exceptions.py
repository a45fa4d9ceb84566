"""Recorded exceptions: raised again as their class, with their attributes, and without a call of a constructor."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from plsync.errors import PlsyncError, RecordedError
from plsync.replay.redaction import redact_response
from tests.support.models import Chat, StreamingChat
from tests.support.replaying import lines, recorded, replayed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


class TooBusy(Exception):
    """Resembles exceptions of SDKs: its constructor has only keywords, and builds the text from them."""

    def __init__(self, *, after: int, hints: list[str]) -> None:
        super().__init__(f"come back after {after} s")
        self.after = after
        self.hints = hints
        self.lock = object()


class Wordless(Exception):
    """Its text needs a value that cannot be recorded."""

    def __init__(self, code: object) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code.number}"  # type: ignore[attr-defined]


def failing(error: Exception) -> Chat:
    def fail(_: list[BaseMessage]) -> AIMessage:
        raise error

    return Chat(reply=fail)


def raised_again(error: Exception, path: Path) -> BaseException:
    with pytest.raises(type(error)) as live:
        recorded(failing(error), path).invoke("hi")
    with pytest.raises(BaseException) as replay:
        replayed(Chat(), path).invoke("hi")
    assert live.value is error
    assert replay.value is not error
    return replay.value


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 1),
        ValueError("cut \ud83d"),
        KeyError("missing"),
        TimeoutError(),
        ConnectionResetError(104, "Connection reset by peer"),
        FileNotFoundError(2, "No such file", "a.gguf"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OutputParserException("no JSON", observation="o", llm_output="{", send_to_llm=True),
        httpx.ConnectTimeout("too slow"),
    ],
)
def test_an_exception_comes_back_as_its_class_with_its_arguments(error: Exception, path: Path) -> None:
    again = raised_again(error, path)
    assert type(again) is type(error)
    assert (str(again), again.args) == (str(error), error.args)
    state = {name: value for name, value in vars(error).items() if name != "_request"}
    assert {name: value for name, value in vars(again).items() if name != "_request"} == state
    assert getattr(again, "errno", None) == getattr(error, "errno", None)
    assert getattr(again, "filename", None) == getattr(error, "filename", None)


def test_attributes_come_back_although_the_constructor_has_other_arguments(path: Path) -> None:
    again = raised_again(TooBusy(after=7, hints=["a"]), path)
    assert type(again) is TooBusy
    assert (str(again), again.after, again.hints) == ("come back after 7 s", 7, ["a"])
    assert not hasattr(again, "lock")


def test_the_text_comes_back_although_the_class_cannot_build_it(path: Path) -> None:
    again = raised_again(Wordless(types.SimpleNamespace(number=3)), path)
    assert isinstance(again, Wordless)
    assert (type(again).__name__, str(again)) == ("Wordless", "code 3")


def test_the_cause_comes_back(path: Path) -> None:
    error = RuntimeError("outer")
    error.__cause__ = KeyError("inner")
    again = raised_again(error, path)
    assert isinstance(again.__cause__, KeyError)
    assert again.__cause__.args == ("inner",)


def test_retries_receive_the_error_and_then_the_response(path: Path) -> None:
    outcomes: Iterator[Any] = iter([ConnectionError("first"), AIMessage("then")])

    def reply(_: list[BaseMessage]) -> AIMessage:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    def retried(model: BaseChatModel) -> Any:
        return model.with_retry(wait_exponential_jitter=False).invoke("hi").content

    assert retried(recorded(Chat(reply=reply), path)) == "then"
    assert [set(line["answer"]) for line in lines(path)] == [{"error"}, {"generations"}]
    assert retried(replayed(Chat(), path)) == "then"


def test_a_broken_stream_breaks_at_the_same_chunk(path: Path) -> None:
    def read(model: BaseChatModel) -> list[str]:
        words: list[str] = []
        with pytest.raises(ConnectionError, match="gone"):
            words.extend(chunk.text for chunk in model.stream("hi"))
        return words

    model = StreamingChat(fails=ConnectionError("gone"))
    assert read(recorded(model, path)) == read(replayed(model, path)) == ["a ", "b ", "c"]
    with pytest.raises(ConnectionError, match="gone"):
        replayed(model, path).invoke("hi")


async def test_async_calls_raise_the_exception(path: Path) -> None:
    with pytest.raises(TooBusy):
        await recorded(failing(TooBusy(after=1, hints=[])), path).ainvoke("hi")
    with pytest.raises(TooBusy):
        await replayed(Chat(), path).ainvoke("hi")


# --- missing classes ---


def without_class(path: Path, name: str) -> None:
    path.write_text(path.read_text().replace(f"{__name__}:{name}", f"gone.away:{name}"))


def test_a_stand_in_of_the_same_name_replaces_a_missing_class(path: Path) -> None:
    class OutOfQuota(ConnectionError):
        pass

    error = OutOfQuota("none left")
    error.limit = 3  # type: ignore[attr-defined]
    with pytest.raises(OutOfQuota):
        recorded(failing(error), path).invoke("hi")
    with pytest.raises(RecordedError, match=r"^none left$") as replay:
        replayed(Chat(), path).invoke("hi")
    assert isinstance(replay.value, ConnectionError)
    assert isinstance(replay.value, PlsyncError)
    assert type(replay.value).__name__ == "OutOfQuota"
    assert replay.value.limit == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path_in_file",
    [
        "os:system",
        "builtins:exec",
        "subprocess:Popen",
        "builtins:KeyboardInterrupt",
        "nothing:here",
        "",
        7,
        "os:path.x",
    ],
)
def test_a_file_can_only_name_an_exception(path_in_file: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="sure"):
        recorded(failing(ValueError("sure")), path).invoke("hi")
    head, line = path.read_text().splitlines()
    call = json.loads(line)
    call["answer"]["error"] |= {"class": path_in_file, "bases": [path_in_file]}
    path.write_text(f"{head}\n{json.dumps(call, separators=(',', ':'))}\n")
    with pytest.raises(RecordedError, match="sure"):
        replayed(Chat(), path).invoke("hi")


def test_no_module_is_imported_for_an_exception(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap_of_plsync.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TooBusy):
        recorded(failing(TooBusy(after=1, hints=[])), path).invoke("hi")
    path.write_text(path.read_text().replace(f"{__name__}:TooBusy", "trap_of_plsync:TooBusy"))
    with pytest.raises(RecordedError, match="come back"):
        replayed(Chat(), path).invoke("hi")
    assert "trap_of_plsync" not in sys.modules


def test_no_constructor_of_the_class_is_called(path: Path) -> None:
    class Trap(Exception):
        def __new__(cls, *args: Any) -> Trap:
            made.append(args)
            return super().__new__(cls, *args)

    made: list[Any] = []
    setattr(sys.modules[__name__], "Trap", Trap)  # noqa: B010 - the restorer looks it up by name
    Trap.__qualname__ = "Trap"
    again = raised_again(Trap("x"), path)
    assert type(again) is Trap
    assert made == [("x",)]


# --- errors that do not come from the model ---


class Nosy(Chat):
    """Calls another model, which has no recording."""

    other: Any = None

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="a"))
        self.other.invoke("b")


def test_a_mismatch_inside_a_model_is_not_recorded_as_its_error(path: Path, tmp_path: Path) -> None:
    model = Nosy(other=replayed(Chat(), tmp_path / "none.jsonl"))
    with pytest.raises(PlsyncError):
        list(recorded(model, path).stream("hi"))
    assert not path.exists()


@pytest.mark.parametrize(
    "planted",
    [
        lambda secret: {"error": {"$": "exception", "c": "app:Refused", "body": {"api_key": secret}}},
        lambda secret: {"error": {"args": ["no", [{"name": "X-Api-Key", "value": secret}]]}},
        lambda secret: {"error": {"fields": {"sent": [["x-api-key", secret]]}}},
        lambda secret: {"llm_output": {"headers": {"x-api-key": secret}}},
        lambda secret: {"generations": [{"generation_info": {"headers": [["x-api-key", secret]]}}]},
    ],
)
def test_a_recorded_response_has_no_credential_by_name(planted: Any) -> None:
    secret = "Zq01-planted-104729"  # noqa: S105 - an example
    redacted = redact_response(planted(secret))
    assert secret not in str(redacted)
    assert redacted.keys() == planted(secret).keys()
    if "c" in redacted.get("error", {}):
        assert redacted["error"]["c"] == "app:Refused"
