"""Senders of several journals share a connection, one after another."""

from __future__ import annotations

import pytest

from plsync.config.keys import VariableKey
from plsync.delivery.link import Links
from plsync.errors import AuthenticationError
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Delivered
from plsync.promptlayer.settings import Settings
from plsync.testing import PromptLayerServer


def settings(server: PromptLayerServer, name: str = "PROMPTLAYER_API_KEY") -> Settings:
    return Settings(VariableKey(name), server.url)


def test_the_same_settings_have_one_connection_and_its_size_of_requests(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", server.api_key)
    with Links() as links:
        with links.connected(settings(server), 30.0) as first:
            first.client.probe()
            first.sizer.observe(30_000, 0.01, Delivered({}))
        with links.connected(settings(server), 30.0) as second:
            second.client.probe()
            assert (second.client, second.sizer) == (first.client, first.sizer)
            assert second.sizer.max_bytes > 32 << 10
        assert server.counts["connections"] == 1


def test_a_changed_key_is_read_by_the_next_journal(server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Links() as links:
        for key in ("pl_wrong", server.api_key):
            monkeypatch.setenv("PROMPTLAYER_API_KEY", key)
            with links.connected(settings(server), 30.0) as found:
                outcome = found.client.probe()
            assert (type(outcome).__name__ == "Unauthorized") == (key == "pl_wrong")
        monkeypatch.delenv("PROMPTLAYER_API_KEY")
        with pytest.raises(AuthenticationError), links.connected(settings(server), 30.0):
            pass


def test_few_connections_are_kept(server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(PromptLayerClient, "__exit__", lambda client, *_: closed.append(client.key_source.where))
    with Links() as links:
        for number in (1, 2, 3, 4, 1, 5):
            monkeypatch.setenv(f"KEY_{number}", server.api_key)
            with links.connected(settings(server, f"KEY_{number}"), 30.0):
                pass
        # The one whose last use is the longest ago.
        assert closed == ["KEY_2"]
    assert len(closed) == 5
