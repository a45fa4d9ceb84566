"""Spans in a real OpenTelemetry Collector, which ``make fleet`` builds from its Go modules. Other runs skip this."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from plsync.journal import Journal
from plsync.otlp.export import export
from tests.support.lakes import RECORDS, machine
from tests.support.root import ROOT

PROGRAM = ROOT / "build" / "fleet" / "collector"
MACHINES = 5

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="`make fleet` builds the collector")

CONFIG = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  file:
    path: {path}
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
"""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a collector, and the file that it writes when it ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    written = tmp_path / "collector.jsonl"
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(port=port, path=written), encoding="utf-8")
    program = subprocess.Popen([str(PROGRAM), "--config", str(config)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline and program.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", written
    finally:
        program.terminate()
        program.communicate(timeout=60)


def spans(file: Path) -> dict[str, Any]:
    """The spans of a file of OTLP JSON lines, by their ids. Attributes are sorted, since their order has no meaning."""
    found = {}
    # The collector may be at work on the last line.
    for line in file.read_bytes().rpartition(b"\n")[0].splitlines():
        for resource in orjson.loads(line)["resourceSpans"]:
            names = {one["key"]: one["value"] for one in resource["resource"]["attributes"]}
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    span["attributes"] = sorted(span["attributes"], key=lambda one: one["key"])
                    # The collector writes empty fields, too.
                    kept = {key: value for key, value in span.items() if value not in ("", {}, [], 0)}
                    found[span["spanId"]] = (names, scope["scope"], kept)
    return found


def test_a_collector_writes_the_spans_that_plsync_writes_to_a_file(collector: tuple[str, Path], tmp_path: Path) -> None:
    url, written = collector
    own = tmp_path / "spans.jsonl"
    for number in range(MACHINES):
        journal = tmp_path / f"journal-{number}"
        machine(journal, tmp_path / "lake", model="gpt-4o", extra_seconds=number, acked=0)
        with Journal.open(journal) as opened:
            assert export(opened, url, since_last=True).spans == RECORDS
            assert export(opened, url, since_last=True).spans == 0
            export(opened, str(own), append=True)
    expected = spans(own)
    deadline = time.monotonic() + 30
    while len(spans(written)) < len(expected) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert spans(written) == expected
    assert len(expected) == RECORDS * MACHINES
