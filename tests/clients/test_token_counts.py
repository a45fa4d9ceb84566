"""Clients that count tokens at a server: the counts are recorded, and served without the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from plsync.errors import NoRecording
from plsync.replay import record_all
from tests.support.replaying import lines
from tests.support.wire.clients import CLIENTS
from tests.support.wire.server import WireServer

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]
COUNTING = ("ChatAnthropic", "ChatGoogleGenerativeAI", "GoogleGenerativeAI")


@tool
def find(name: str) -> str:
    """Finds a city."""
    return name


def count(model: Any) -> list[int]:
    messages = [HumanMessage("Where is Paris?")]
    if type(model).__name__ == "ChatAnthropic":
        counts = [model.get_num_tokens_from_messages(messages), model.get_num_tokens_from_messages(messages, [find])]
        return [*counts, model.get_num_tokens_from_messages(messages)]
    return [model.get_num_tokens("Where is Paris?"), model.get_num_tokens("Where is Paris?")]


@pytest.mark.parametrize("client", [one for one in CLIENTS if one.name in COUNTING], ids=lambda client: client.name)
def test_counts_are_recorded_and_served(client: Any, tmp_path: Path) -> None:
    if not client.installed:
        pytest.skip(f"{client.module} is not installed")
    path = tmp_path / "counts.jsonl"
    with WireServer(client.answer) as server:
        model = client.model(server.url)
        with record_all(path, mode="once"):
            live = count(model)
    assert {line["kind"] for line in lines(path)} == {"tokens"}
    assert len(lines(path)) == len(live) - 1
    with record_all(path) as recording:
        assert count(model) == live
        assert recording.unused() == []
        with pytest.raises(NoRecording, match="Where is Rome"):
            if client.name == "ChatAnthropic":
                model.get_num_tokens_from_messages([HumanMessage("Where is Rome?")])
            else:
                model.get_num_tokens("Where is Rome?")
