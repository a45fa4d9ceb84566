"""A run that is stopped does not wait for a resolver, a silent server or a callback."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync.callbacks.dispatcher import CallbackDispatcher
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reconciler import Reconciler
from plsync.delivery.runner import Runner
from plsync.delivery.wake import Wake
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Found, Outcome, Unreachable
from plsync.promptlayer.request_threads import call_unless_stopped
from plsync.testing import PromptLayerServer
from tests.support.calls import states, wait_until, write_calls


class SilentClient(PromptLayerClient):
    """A client whose requests return at the end of the test."""

    def __init__(self) -> None:
        super().__init__("pl_key", "http://127.0.0.1:9")
        self.requested, self.over = threading.Event(), threading.Event()

    def probe(self) -> Outcome:
        return self._wait()

    def search(self, record_ids: Any) -> Outcome:
        return self._wait()

    def look_up(self, trace_id: str) -> Outcome:
        return Found({})

    def _wait(self) -> Outcome:
        self.requested.set()
        self.over.wait(60)
        return Unreachable("silence")


@pytest.fixture
def client() -> Iterator[SilentClient]:
    with SilentClient() as client:
        yield client
        client.over.set()


@contextlib.contextmanager
def in_a_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield thread
    thread.join(30)
    assert not thread.is_alive()


def test_a_stop_does_not_wait_for_a_probe_of_the_network(path: Path, client: SilentClient) -> None:
    write_calls(path, 1)
    with Journal.open(path) as journal, Wake(path) as wake:
        runner = Runner(journal, client, SendPolicy(), wake)
        with in_a_thread(lambda: list(runner.forever())):
            assert client.requested.wait(30)
            runner.stop()
    assert set(states(path).values()) == {"pending"}


def test_a_stop_does_not_wait_for_a_search(path: Path, client: SilentClient) -> None:
    write_calls(path, 1)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.park([1], "in_doubt", "no response")
        reconciler = Reconciler(journal, client, SendPolicy(settle=0, lookups=0), 1, client.requested.is_set)
        with in_a_thread(reconciler.run):
            assert client.requested.wait(30)
    assert set(states(path).values()) == {"in_doubt"}


def test_requests_and_callbacks_share_one_grace(path: Path) -> None:
    write_calls(path, 1)
    timeouts: list[float] = []

    class NotedDispatcher(CallbackDispatcher):
        def stop(self, timeout: float) -> bool:
            timeouts.append(timeout)
            return super().stop(timeout)

    with PromptLayerServer() as server, PromptLayerClient(server.api_key, server.url) as client:
        server.hang(60, path="/spans-bulk")
        with Journal.open(path) as journal, Wake(path) as wake:
            dispatcher = NotedDispatcher(journal)
            dispatcher.start()
            runner = Runner(journal, client, SendPolicy(grace=0.5), wake, dispatcher=dispatcher)
            with in_a_thread(lambda: list(runner.forever())):
                wait_until(lambda: len(server.request_logs) == 1)
                runner.stop()
    # The request that hung has used up the grace, so callbacks get the minimum.
    assert timeouts == [0.1]
    assert set(states(path).values()) == {"in_doubt"}


def test_an_exception_of_the_called_function_is_raised() -> None:
    def work() -> None:
        raise KeyError("found")

    with pytest.raises(KeyError, match="found"):
        call_unless_stopped(lambda: False, work, "plsync-test")
