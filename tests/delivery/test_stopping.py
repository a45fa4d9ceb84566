"""A run that is told to stop waits for nobody: neither a resolver, nor a silent server, nor a callback."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync.callbacks.dispatcher import Deliveries
from plsync.delivery.policy import Policy
from plsync.delivery.reconciler import Reconciler
from plsync.delivery.runner import Runner
from plsync.delivery.wake import Wake
from plsync.delivery.workers import unless
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Found, Offline, Outcome
from plsync.testing import PromptLayerServer
from tests.support.calls import states, wait_until, write_calls


class SilentClient(PromptLayerClient):
    """Reaches nobody; what it asks is answered when the test is over."""

    def __init__(self) -> None:
        super().__init__("pl_key", "http://127.0.0.1:9")
        self.asked, self.over = threading.Event(), threading.Event()

    def probe(self) -> Outcome:
        return self._wait()

    def search(self, record_ids: Any) -> Outcome:
        return self._wait()

    def look_up(self, trace_id: str) -> Outcome:
        return Found({})

    def _wait(self) -> Outcome:
        self.asked.set()
        self.over.wait(60)
        return Offline("silence")


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


def test_a_look_for_the_network_that_takes_long_is_not_waited_for(path: Path, client: SilentClient) -> None:
    write_calls(path, 1)
    with Journal.open(path) as journal, Wake(path) as wake:
        runner = Runner(journal, client, Policy(), wake)
        with in_a_thread(lambda: list(runner.forever())):
            assert client.asked.wait(30)
            runner.stop()
    assert set(states(path).values()) == {"pending"}


def test_a_search_that_takes_long_is_not_waited_for(path: Path, client: SilentClient) -> None:
    write_calls(path, 1)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.park([1], "in_doubt", "no answer")
        reconciler = Reconciler(journal, client, Policy(settle=0, looks=0), 1, client.asked.is_set)
        with in_a_thread(reconciler.run):
            assert client.asked.wait(30)
    assert set(states(path).values()) == {"in_doubt"}


def test_requests_and_callbacks_have_one_grace_between_them(path: Path) -> None:
    write_calls(path, 1)
    given: list[float] = []

    class Watched(Deliveries):
        def stop(self, timeout: float) -> bool:
            given.append(timeout)
            return super().stop(timeout)

    with PromptLayerServer() as server, PromptLayerClient(server.api_key, server.url) as client:
        server.hang(60, path="/spans-bulk")
        with Journal.open(path) as journal, Wake(path) as wake:
            deliveries = Watched(journal)
            deliveries.start()
            runner = Runner(journal, client, Policy(grace=0.5), wake, deliveries=deliveries)
            with in_a_thread(lambda: list(runner.forever())):
                wait_until(lambda: len(server.request_logs) == 1)
                runner.stop()
    # The request that hung has used all of it up.
    assert given == [0.1]
    assert set(states(path).values()) == {"in_doubt"}


def test_what_was_raised_meanwhile_is_raised() -> None:
    def work() -> None:
        raise KeyError("found")

    with pytest.raises(KeyError, match="found"):
        unless(lambda: False, work, "plsync-test")
