"""The system's clock is set while a run sends: a wait that begins after it is as long as any other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plsync._common.clock import now_ms
from plsync.delivery.policy import SendPolicy
from plsync.delivery.runner import Runner
from plsync.delivery.wake import Wake
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Outcome
from plsync.testing import PromptLayerServer
from tests.support.calls import states, write_calls


class Losing(PromptLayerClient):
    """A client that gets no response, and whose machine gets its time from a server meanwhile."""

    change_s = 0

    def send(self, spans: Sequence[Any], *, close: bool = True) -> Outcome:
        real_s, real_ns, change_s = time.time, time.time_ns, self.change_s
        time.time = lambda: real_s() + change_s
        time.time_ns = lambda: real_ns() + change_s * 1_000_000_000
        return Ambiguous("lost")


@pytest.mark.parametrize("change_s", [-3600, -30, 30, 3600, 86_400])
def test_a_record_in_doubt_waits_as_long_as_with_a_steady_clock(
    path: Path, server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch, change_s: int
) -> None:
    # Restored at the end of the test, as the client changes both.
    monkeypatch.setattr(time, "time", time.time)
    monkeypatch.setattr(time, "time_ns", time.time_ns)
    monkeypatch.setattr(Losing, "change_s", change_s)
    write_calls(path, 1)
    with Journal.open(path) as journal, Losing(server.api_key, server.url) as client, Wake(path) as wake:
        policy = SendPolicy(settle=60.0)
        next(Runner(journal, client, policy, wake).once())
        assert set(states(path).values()) == {"in_doubt"}
        # The next round notices that the clock was set.
        next(Runner(journal, client, policy, wake).once())
        due = journal.outbox.next_due(now_ms())
    assert due is not None
    assert due - now_ms() == pytest.approx(60_000, abs=10_000)
