"""A hub serves its journals in turns, so no origin waits for all work of another."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from plsync.bundle.hub import Hub, Origin
from plsync.cli import run_hub, served_journal
from plsync.delivery.policy import SendPolicy
from plsync.journal.journal import Journal
from tests.support.gap import Gap
from tests.support.spooling import SpoolWriter


def add(gap: Gap, name: str, records: int) -> Path:
    """A journal of an origin at the hub, as an import leaves it."""
    gap.journals.mkdir(mode=0o700, exist_ok=True)
    path = gap.journals / name
    writer = SpoolWriter(path)
    for number in range(records):
        writer.call(f"{name} {number}", "answer", at=number + 1)
    writer.close()
    with Journal.open(path) as journal:
        origin = Origin(name, name, "0" * 16, journal.id)
    Hub(gap.journals)._write(f"{name}.origin.json", json.dumps(origin.__dict__))
    return path


def texts(log: dict[str, Any]) -> str:
    """The text of the request in a log."""
    found: str = re.findall(r"'text': '([^']*)'", str(log["input"]))[0]
    return found


def test_a_journal_with_much_work_is_cut_and_goes_on_after_the_small_ones(
    gap: Gap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_hub, "_TURN", 0.2)
    monkeypatch.setattr(run_hub, "_LEAST_TURN", 0.2)
    add(gap, "a-large", 400)
    add(gap, "b-small", 3)
    gap.at(gap.hub, "run", "--hub", str(gap.journals), "--once", "--settle", "0", "--batch", "1", "--in-flight", "1")
    sent = [texts(log).split()[0] for log in gap.server.request_logs]
    assert (sent.count("a-large"), sent.count("b-small")) == (400, 3)
    # The small journal is done before the large one, in the first round.
    assert sent[-1] == "a-large"


def test_the_journal_whose_turn_is_the_longest_ago_is_first(gap: Gap) -> None:
    for name in ("a", "b", "c"):
        add(gap, name, 1)
        gap.deliver()
    for name in ("c", "b", "a"):
        writer = SpoolWriter(gap.journals / name)
        writer.call(f"{name} again", "answer", at=9)
        writer.close()
    gap.deliver()
    again = [texts(log) for log in gap.server.request_logs[3:]]
    assert again == ["c again", "b again", "a again"]


def test_each_origin_has_the_key_of_its_workspace_and_the_hub_stores_none(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(gap.server.api_key)
    key.chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(f'[workspaces.keyed]\nkey = {{ file = "{key}" }}\nbase_url = "{gap.server.url}"\n')
    config.chmod(0o600)
    monkeypatch.setenv("PLSYNC_CONFIG", str(config))
    add(gap, "keyed", 2)
    add(gap, "other", 2)
    # The environment of the hub has no key and no URL.
    server, gap._server = gap.server, None
    gap.deliver(code=1)
    gap._server = server
    assert len(server.request_logs) == 2
    assert "other" in gap.errors
    stored = b"".join(path.read_bytes() for path in gap.hub.rglob("*") if path.is_file())
    assert gap.server.api_key.encode() not in stored


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hub_has_the_files_of_few_journals_open(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        add(gap, f"origin-{number}", 2)
    opened: list[set[str]] = []
    version = run_hub.HubRun._version

    def after_turn(run: run_hub.HubRun, origin: Origin) -> object:
        targets = [Path(os.path.realpath(found)) for found in Path("/proc/self/fd").iterdir()]
        inside = [target.relative_to(gap.journals) for target in targets if target.is_relative_to(gap.journals)]
        opened.append({target.parts[0] for target in inside})
        return version(run, origin)

    monkeypatch.setattr(run_hub.HubRun, "_version", after_turn)
    gc.disable()
    try:
        gap.deliver()
    finally:
        gc.enable()
    assert len(gap.server.request_logs) == 12
    # A thread of the last turn may be about to end.
    assert len(opened) == 6
    assert max(map(len, opened)) <= 2


def test_a_turn_that_is_cut_waits_for_its_responses(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_hub, "_TURN", 0.05)
    monkeypatch.setattr(run_hub, "_LEAST_TURN", 0.05)
    monkeypatch.setattr(served_journal, "SendPolicy", partial(SendPolicy, grace=0.01))
    gap.server.latency = 0.15
    add(gap, "a", 6)
    add(gap, "b", 2)
    options = ("--batch", "2", "--in-flight", "1")
    events = gap.at(gap.hub, "run", "--hub", str(gap.journals), "--once", *options)
    ends = [event for event in events if event["event"] == "end"]
    assert sum(end["acked"] for end in ends) == 8
    assert len(ends) > 2, "no turn was cut"
    assert not any(end["in_doubt"] for end in ends)
