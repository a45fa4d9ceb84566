"""What must not keep what waiting: a long request the next ones, a bad record its neighbours, a failure the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from calls import states, write_calls
from plsync.journal import Journal
from plsync.sync.outcomes import Ambiguous, Outcome
from plsync.sync.policy import Policy
from plsync.sync.runner import Runner
from plsync.sync.transport import PromptLayerClient
from plsync.sync.wake import Wake
from plsync.testing import PromptLayerServer

IMPATIENT = Policy(settle=0.0, shortest_pause=0.01, longest_pause=0.02)


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer() as server:
        yield server


@pytest.fixture
def client(server: PromptLayerServer) -> Iterator[PromptLayerClient]:
    with PromptLayerClient(server.api_key, server.url) as client:
        yield client


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.mkdir(mode=0o700)
    return path


class Unsteady(PromptLayerClient):
    """Over which every other batch is lost."""

    sends = 0

    def send(self, spans: Sequence[Any]) -> Outcome:
        self.sends += 1
        return super().send(spans) if self.sends % 2 else Ambiguous("lost")


def test_a_run_goes_on_as_long_as_something_is_delivered_between_failures(
    path: Path, server: PromptLayerServer
) -> None:
    write_calls(path, 12)
    with Journal.open(path) as journal, Unsteady(server.api_key, server.url) as client, Wake(path) as wake:
        list(Runner(journal, client, IMPATIENT, wake, batch=1, in_flight=1).once())
    assert set(states(path).values()) == {"acked"}
