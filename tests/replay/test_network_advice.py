"""The error of a blocked connection advises the step that helps its caller."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel

from plsync.errors import NetworkBlocked
from plsync.replay import record_all
from plsync.replay.network_block import block_network

HOST = "203.0.113.1"


def connect() -> None:
    socket.create_connection((HOST, 80), timeout=1)


class Remote(FakeListChatModel):
    def _call(self, *args: Any, **kwargs: Any) -> str:
        connect()
        return ""


def advice(call: Any) -> str:
    with block_network(), pytest.raises(NetworkBlocked) as blocked:
        call()
    assert f"--plsync-allowed-hosts={HOST}" in str(blocked.value)
    return str(blocked.value)


def test_without_a_recording_the_marker_is_advised() -> None:
    assert "the marker plsync_recording records models and embeddings" in advice(connect)


def test_another_call_of_a_test_with_a_recording_needs_another_tool(tmp_path: Path) -> None:
    with record_all(tmp_path / "calls.jsonl"):
        found = advice(connect)
    assert "the recording of this test holds models and embeddings of LangChain, and this call is neither" in found
    assert "with_recording" in found
    assert "vcrpy" in found


def test_a_live_call_of_a_recorded_model_needs_the_network(tmp_path: Path) -> None:
    with record_all(tmp_path / "calls.jsonl", mode="once"):
        found = advice(lambda: Remote(responses=[]).invoke("hi"))
    assert "record without --plsync-block-network" in found
    assert not (tmp_path / "calls.jsonl").exists()
