"""The log and the kept reason of a callback that fails: without a credential, and without a forged line."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync._common.logged import loggable, reason_of
from plsync.journal import Journal
from tests.support.callback_worker import deliver
from tests.support.calls import acknowledge, write_calls
from tests.support.terminal import hidden_characters

SINK = "app:on_id"
SECRETS = [
    "secret-of-mine",
    "pl_0123456789abcdef0123",
    "user-password",
    "query-key",
    "cause-key",
    "bearer-abcdefghijklmnop",
    "sk-abcdefghij0123456789",
]
FOREIGN = (
    "secret-of-mine \x1b[31m\u202e\nplsync: forged\rhttps://db.example/?api_key=query-key pl_0123456789abcdef0123 "
    "https://me:user-password@db.example/x Authorization: Bearer bearer-abcdefghijklmnop sk-abcdefghij0123456789"
)


@pytest.fixture
def acked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """A journal with three acked records of a dead process, whose callbacks wait."""
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "secret-of-mine")
    write_calls(tmp_path / "journal", 3, sink=SINK)
    acknowledge(tmp_path / "journal")
    with Journal.open(tmp_path / "journal") as journal:
        yield journal


def assert_clean(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]
    assert not hidden_characters(text)
    assert not re.search("^plsync: forged", text, re.MULTILINE)


def test_no_credential_and_no_line_of_an_exception_reaches_the_log(
    acked: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    def on_id(request_id: int) -> None:
        raise ValueError(FOREIGN) from KeyError("https://db.example/?api_key=cause-key")

    with caplog.at_level(logging.DEBUG):
        (line, *_) = deliver(acked, {SINK: on_id}).errors
    (waiting,) = acked.callbacks.waiting()
    for text in (caplog.text, line, str(waiting.last_error)):
        assert_clean(text)
        assert "ValueError: [redacted]" in text
    assert "in on_id" in caplog.text
    assert "KeyError" in caplog.text
    # A service that collects errors reads the exception of a log record, and the variables of its frames.
    assert [entry.exc_info[2] for entry in caplog.records if entry.exc_info] == [None]


def test_an_exception_whose_text_cannot_be_read_fails_its_id_alone(acked: Journal) -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def on_id(request_id: int) -> None:
        raise Silent

    assert deliver(acked, {SINK: on_id}).errors[0] == "app:on_id raised Silent: <str failed: RuntimeError>"


def test_the_log_of_a_forgotten_task_is_clean(acked: Journal, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError(FOREIGN)

    async def on_id(request_id: int) -> None:
        tasks = [asyncio.create_task(fail())]
        await asyncio.sleep(0)
        assert len(tasks) == 1

    deliver(acked, {SINK: on_id})
    gc.collect()
    assert_clean(caplog.text)
    assert "ValueError" in caplog.text


def test_a_name_of_an_exception_class_is_foreign_too() -> None:
    error = type("Bad\x1b[31m\nName", (ValueError,), {})("x")
    assert "\n" not in reason_of(error)
    assert not hidden_characters(reason_of(error) + str(loggable(error)))


def test_a_key_is_replaced_before_a_long_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "secret-of-mine")
    for length in range(470, 500):
        assert "secret" not in reason_of(ValueError("x" * length + "secret-of-mine"))
    for length in range(16_300, 16_384, 7):
        text = str(loggable(ValueError("secret-of-mine" + "x" * length)))
        assert "mine" not in text
        assert len(text) < 20_000
