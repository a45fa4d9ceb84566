"""Calls of a callback: plain or async, in an empty context, with any exception."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync._common.paths import current_journal, default_journal
from plsync.callbacks.worker import CallbackReport
from plsync.journal import Journal
from tests.support.callback_worker import deliver
from tests.support.calls import acknowledge, write_calls

SINK = "app:on_id"


@pytest.fixture
def acked(tmp_path: Path) -> Iterator[Journal]:
    """A journal with three acked records of a dead process, whose callbacks wait."""
    write_calls(tmp_path / "journal", 3, sink=SINK)
    acknowledge(tmp_path / "journal")
    with Journal.open(tmp_path / "journal") as journal:
        yield journal


def test_a_coroutine_function_is_run_to_its_end(acked: Journal) -> None:
    received: list[int] = []

    async def on_id(request_id: int) -> None:
        await asyncio.sleep(0)
        received.append(request_id)

    assert deliver(acked, {SINK: on_id}) == CallbackReport(delivered=3)
    assert len(received) == 3


def test_an_async_callback_can_take_the_record_too(acked: Journal) -> None:
    received: list[str] = []

    async def on_id(request_id: int, record: Any) -> None:
        await asyncio.sleep(0)
        received.append(record.output[0]["text"])

    deliver(acked, {SINK: on_id})
    assert sorted(received) == ["answer 0", "answer 1", "answer 2"]


class AsyncCallable:
    """An object whose call and method are async."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    async def __call__(self, request_id: int) -> None:
        self.sent.append(("call", request_id))

    async def method(self, kind: str, request_id: int) -> None:
        self.sent.append((kind, request_id))


def test_an_object_with_an_async_call_is_awaited(acked: Journal) -> None:
    callback = AsyncCallable()
    deliver(acked, {SINK: callback})
    assert len(callback.sent) == 3


def test_a_partial_of_an_async_method_is_awaited(acked: Journal) -> None:
    callback = AsyncCallable()
    deliver(acked, {SINK: functools.partial(callback.method, "partial")})
    assert [kind for kind, _ in callback.sent] == ["partial"] * 3


def test_async_calls_share_a_loop_that_is_not_the_programs(acked: Journal) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def on_id(request_id: int) -> None:
        loops.append(asyncio.get_running_loop())

    async def program() -> asyncio.AbstractEventLoop:
        await asyncio.to_thread(deliver, acked, {SINK: on_id})
        return asyncio.get_running_loop()

    own = asyncio.run(program())
    assert len(set(loops)) == 1
    assert own not in loops
    assert loops[0].is_closed()


def test_tasks_that_an_async_callback_leaves_are_cancelled_at_the_end(acked: Journal) -> None:
    left: list[asyncio.Task[None]] = []

    async def on_id(request_id: int) -> None:
        left.append(asyncio.ensure_future(asyncio.sleep(3600)))

    assert deliver(acked, {SINK: on_id}).delivered == 3
    assert all(task.cancelled() for task in left)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError(), GeneratorExit()])
def test_any_exception_is_a_failure_of_the_callback_alone(acked: Journal, error: BaseException) -> None:
    def plain(request_id: int) -> None:
        raise error

    async def in_a_coroutine(request_id: int) -> None:
        raise error

    assert deliver(acked, {SINK: plain}).failed == 3
    acked.callbacks.settle(SINK, released=[1, 2, 3])
    if not isinstance(error, GeneratorExit):
        assert deliver(acked, {SINK: in_a_coroutine}).failed == 3


def test_a_generator_function_counts_as_failed(acked: Journal) -> None:
    def on_id(request_id: int) -> Iterator[int]:
        yield request_id

    report = deliver(acked, {SINK: on_id})
    assert (report.delivered, report.failed) == (0, 3)
    assert "generator" in report.errors[0]


def test_the_default_journal_of_a_call_is_its_ids_journal(acked: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLSYNC_JOURNAL", "/nowhere")
    received: list[Path] = []

    deliver(acked, {SINK: lambda _: received.append(default_journal())})
    assert received == [acked.path] * 3
    assert (current_journal.get(), str(default_journal())) == (None, "/nowhere")


def test_the_default_journal_of_an_async_call_is_its_ids_journal(acked: Journal) -> None:
    received: list[Path] = []

    async def on_id(request_id: int) -> None:
        await asyncio.sleep(0)
        received.append(default_journal())

    deliver(acked, {SINK: on_id})
    assert received == [acked.path] * 3


def test_a_call_has_an_empty_context(acked: Journal) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("the program's")
    received: list[str] = []

    def on_id(request_id: int) -> None:
        received.append(variable.get())
        variable.set("another call's")

    deliver(acked, {SINK: on_id})
    assert received == ["unset"] * 3


def test_the_stored_error_holds_no_key_and_no_password(acked: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "secret-of-mine")

    def on_id(request_id: int) -> None:
        raise ValueError("secret-of-mine pl_0123456789abcdef0123 https://me:word@db.example/x")

    (first, *_) = deliver(acked, {SINK: on_id}).errors
    assert first == "app:on_id raised ValueError: [redacted] [redacted] https://[redacted]db.example/x"
    (waiting,) = acked.callbacks.waiting()
    assert waiting.last_error == first.removeprefix("app:on_id ")


def test_the_traceback_of_repeated_failures_is_logged_once(acked: Journal, caplog: pytest.LogCaptureFixture) -> None:
    def on_id(request_id: int) -> None:
        raise ValueError("no room")

    with caplog.at_level(logging.WARNING):
        deliver(acked, {SINK: on_id})
    (entry,) = caplog.records
    assert entry.getMessage().startswith("app:on_id raised")
    assert entry.exc_info


def test_a_call_is_made_in_the_delivering_thread(acked: Journal) -> None:
    received: set[int] = set()
    deliver(acked, {SINK: lambda _: received.add(threading.get_ident())})
    assert received == {threading.get_ident()}
