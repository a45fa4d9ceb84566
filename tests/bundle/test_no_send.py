"""``plsync run --no-send`` delivers request ids of bundles, and sends nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from plsync.journal.journal import Journal
from tests.support.commands import PLSYNC, environment
from tests.support.gap import Gap

APP = """
def on_id(request_id, record):
    with open({path!r}, "a") as file:
        print(record.id, request_id, file=file)
"""


def test_a_single_run_delivers_the_ids_that_are_due(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(gap.lab)
    received = gap.lab / "received"
    (gap.lab / "app_no_send.py").write_text(APP.format(path=str(received)))
    [record_id] = gap.record(1, sink="app_no_send:on_id")
    gap.writer.close()
    gap.out()
    gap.into_hub()
    gap.deliver()
    gap.back()
    gap.into_lab("--no-callbacks")
    assert not received.exists()

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a socket")

    with monkeypatch.context() as patched:
        patched.setattr("socket.socket.__init__", fail)
        found = gap.at(gap.lab, "run", "--no-send", "--once")
    assert [entry for entry in found if entry["event"] == "delivered"] == [{"event": "delivered", "number": 1}] or found
    [log] = gap.server.request_logs
    assert received.read_text() == f"{record_id} {log['id']}\n"


def test_a_single_run_exits_with_3_while_a_function_is_missing(gap: Gap) -> None:
    gap.record(1, sink="missing_app_no_send:on_id")
    gap.writer.close()
    gap.trip_without_callbacks()
    gap.at(gap.lab, "run", "--no-send", "--once", code=3)
    assert "missing_app_no_send" in gap.errors


def test_a_run_that_goes_on_delivers_the_ids_of_later_bundles(gap: Gap) -> None:
    received = gap.lab / "received"
    (gap.lab / "app_no_send_later.py").write_text(APP.format(path=str(received)))
    gap.record(1, sink="app_no_send_later:on_id")
    gap.writer.close()
    variables = environment(gap.journal, PLSYNC_KEYS=str(gap.lab / "keys"), PYTHONPATH=str(gap.lab))
    with subprocess.Popen(
        [str(PLSYNC), "run", "--no-send"], cwd=gap.lab, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            gap.trip_without_callbacks()
            deadline = time.monotonic() + 30
            while not received.exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
            output = process.communicate(timeout=30)[0].decode()
    assert process.returncode == 0, output
    with Journal.open(gap.journal) as journal:
        assert [sink for sink in journal.callbacks.waiting() if sink.waiting] == []


@pytest.mark.parametrize("option", [["--rebind"], ["--take-back"], ["--no-callbacks"], ["--hub", "hub"]])
def test_options_that_need_a_sender_are_refused(gap: Gap, option: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        gap.at(gap.lab, "run", "--no-send", *option)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_module_of_an_origin_is_imported_at_the_hub(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A module of the callback's name is on the path of the hub, and would leave a mark."""
    mark = tmp_path / "imported"
    (gap.hub / "app_of_origin.py").write_text(f"open({str(mark)!r}, 'w').close()\n\ndef on_id(*_): pass\n")
    gap.record(1, sink="app_of_origin:on_id")
    gap.writer.close()
    gap.out()
    variables = {**os.environ, "PYTHONPATH": str(gap.hub), "PLSYNC_KEYS": str(gap.hub / "keys")}
    variables |= {"PROMPTLAYER_API_KEY": gap.server.api_key, "PROMPTLAYER_BASE_URL": gap.server.url}
    for arguments in (
        ["bundle", "import", str(gap.stick), "--hub", str(gap.journals)],
        ["run", "--hub", str(gap.journals), "--once", "--settle", "0"],
        ["run", "--once", "--journal", str(gap.journals / "berlin-lab")],
        ["bundle", "export", str(gap.stick), "--hub", str(gap.journals)],
    ):
        subprocess.run([str(PLSYNC), *arguments], cwd=gap.hub, env=variables, check=True, capture_output=True)
    assert len(gap.server.request_logs) == 1
    assert not mark.exists()
    monkeypatch.syspath_prepend(gap.hub)
    __import__("app_of_origin")
    assert mark.exists()
