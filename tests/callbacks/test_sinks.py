"""Names of callbacks, and delivery in the process that registered them."""

from __future__ import annotations

import functools
import gc
import os
import sys
import textwrap
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from plsync import PromptLayerCallbackHandler
from plsync.callbacks import in_process, sinks
from tests.support import programs
from tests.support.calls import acknowledge, write_calls
from tests.support.models import Chat


def on_id(request_id: int) -> None:
    """A callback of this module."""


class Methods:
    def on_id(self, request_id: int) -> None:
        """A callback of an object."""


def test_the_sink_of_a_function_is_its_module_and_name() -> None:
    assert sinks.sink_name(on_id) == f"{__name__}:on_id"
    assert sinks.is_importable(on_id)


def test_the_sink_of_a_local_function_has_its_line() -> None:
    def local(request_id: int) -> None:
        """A callback in a function."""

    one, two = (lambda _: 1), (lambda _: 2)
    line = local.__code__.co_firstlineno
    assert sinks.sink_name(local).endswith(f".<locals>.local@{line}")
    assert sinks.sink_name(one).startswith(f"{__name__}:")
    for callback in (local, one, two, Methods().on_id, functools.partial(on_id)):
        assert "@" in sinks.sink_name(callback)
        assert not sinks.is_importable(callback)


def test_the_sink_of_a_scripts_function_has_the_path_of_the_script(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text("from plsync.callbacks import sinks\ndef on_id(i): pass\nprint(sinks.sink_name(on_id))\n")
    found = programs.run([sys.executable, "app.py"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == f"{os.path.realpath(script)}:on_id"


def test_a_long_name_is_shortened_and_stays_unique() -> None:
    def named(name: str) -> Any:
        def callback(request_id: int) -> None:
            """A callback that is renamed below."""

        callback.__qualname__ = name
        return callback

    one, other = sinks.sink_name(named("a" * 400)), sinks.sink_name(named("b" + "a" * 399))
    assert one != other
    assert max(len(name.encode()) for name in (one, other)) <= 255


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (lambda request_id: [request_id], [7]),
        (lambda request_id, extra=None: [request_id, extra], [7, "record"]),
        (lambda request_id, record: [request_id, record], [7, "record"]),
        (lambda *arguments: list(arguments), [7, "record"]),
        (lambda request_id, *, flag=False: [request_id, flag], [7, False]),
    ],
)
def test_a_callback_with_a_second_argument_receives_the_record(callback: Any, expected: list[Any]) -> None:
    record: Any = "record"
    assert sinks.with_record(callback)(7, record) == expected


def test_an_id_is_delivered_while_the_process_lives(tmp_path: Path) -> None:
    delivered: list[Any] = []
    done = threading.Event()

    def collect(request_id: int, record: Any) -> None:
        delivered.append((request_id, record.input[0]["content"]))
        done.set()

    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(collect, journal=tmp_path / "journal")]})
    assert acknowledge(tmp_path / "journal") == 1
    assert done.wait(30)
    ((request_id, content),) = delivered
    assert request_id >= 1000
    assert content == "hi"


def test_each_of_several_callbacks_of_one_line_receives_its_own_ids(tmp_path: Path) -> None:
    delivered: list[tuple[str, str]] = []
    done = threading.Event()

    def collector(user: str) -> Any:
        def collect(request_id: int, record: Any) -> None:
            delivered.append((user, record.input[0]["content"]))
            if len(delivered) == 6:
                done.set()

        return collect

    class User:
        def __init__(self, name: str) -> None:
            self.on_id = collector(name)

        def method(self, request_id: int, record: Any) -> None:
            self.on_id(request_id, record)

    callbacks = {
        **{name: collector(name) for name in ("ann", "bob")},
        **{name: User(name).method for name in ("cy", "dee")},
        **{name: functools.partial(collector(name)) for name in ("eve", "fay")},
    }
    for name, callback in callbacks.items():
        Chat().invoke(name, {"callbacks": [PromptLayerCallbackHandler(callback, journal=tmp_path / "journal")]})
    assert acknowledge(tmp_path / "journal") == len(callbacks)
    assert done.wait(30)
    assert sorted(delivered) == [(name, name) for name in sorted(callbacks)]


def test_two_copies_of_a_function_without_state_are_identical() -> None:
    def holding(value: str) -> Any:
        return lambda _: value

    made_again = [(lambda _: 1) for _ in range(2)]
    methods = Methods()
    assert sinks.identity(made_again[0]) == sinks.identity(made_again[1])
    assert sinks.identity(methods.on_id) == sinks.identity(methods.on_id)
    one, other = holding("x"), holding("x")
    assert sinks.identity(one) != sinks.identity(other)


def test_the_oldest_of_many_callbacks_of_one_name_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        def on_id(self, request_id: int) -> None:
            """A callback of an object that serves one call."""

    monkeypatch.setattr(in_process, "_MAX_SAME_NAME", 3)
    thread = in_process.CallbackThread(str(tmp_path / "journal"))
    answers = [Answer() for _ in range(5)]
    names = [thread.add(answer.on_id) for answer in answers]
    first = weakref.ref(answers[0])
    assert len(set(names)) == 5
    answers.clear()
    gc.collect()
    assert first() is None


def test_ids_of_a_dead_process_are_delivered_to_the_same_sink(tmp_path: Path) -> None:
    delivered: list[int] = []
    done = threading.Event()

    def collect(request_id: int) -> None:
        delivered.append(request_id)
        if len(delivered) == 2:
            done.set()

    write_calls(tmp_path / "journal", 2, sink=sinks.sink_name(collect))
    assert acknowledge(tmp_path / "journal") == 2
    handler = PromptLayerCallbackHandler(collect, journal=tmp_path / "journal")
    Chat().invoke("hi", {"callbacks": [handler]})
    assert done.wait(30)


def test_the_thread_does_not_keep_a_process_alive(tmp_path: Path) -> None:
    program = """
    import sys, threading
    from langchain_core.language_models import FakeListLLM
    from plsync import PromptLayerCallbackHandler
    handler = PromptLayerCallbackHandler(print, journal=sys.argv[1])
    FakeListLLM(responses=["yes"]).invoke("hi", {"callbacks": [handler]})
    print([thread.name for thread in threading.enumerate()])
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "journal")]
    done = programs.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "plsync-callbacks" in done.stdout
