"""Spans in a real OpenTelemetry Collector, which ``make fleet`` builds from its Go modules. Other runs skip this."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from plsync.journal import Journal
from plsync.otlp.export import export
from tests.support.lakes import RECORDS, START, machine
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter

PROGRAM = ROOT / "build" / "fleet" / "collector"
MACHINES = 5
LONG = 4

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="`make fleet` builds the collector")

# The receiver of files has its default settings, but for the lines of the past.
CONFIG = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
  otlpjsonfile:
    include: [{own}]
    start_at: beginning
exporters:
  file:
    path: {received}
  file/read:
    path: {read}
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
    traces/read:
      receivers: [otlpjsonfile]
      exporters: [file/read]
"""


@dataclass(frozen=True)
class Running:
    """A collector, and the files of OTLP JSON lines around it."""

    url: str
    own: Path
    """The collector reads this file, which plsync writes."""
    received: Path
    """The collector writes the spans that it received here."""
    read: Path
    """The collector writes the spans that it read here."""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Running]:
    """A collector that receives spans, and reads a file of spans."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    own, received, read = (tmp_path / f"{name}.jsonl" for name in ("own", "received", "read"))
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(port=port, own=own, received=received, read=read), encoding="utf-8")
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
        yield Running(f"http://127.0.0.1:{port}", own, received, read)
    finally:
        program.terminate()
        program.communicate(timeout=60)


def spans(file: Path) -> dict[str, Any]:
    """The spans of a file of OTLP JSON lines, by their ids. Attributes are sorted, since their order has no meaning."""
    found = {}
    # The collector may be at work on the last line.
    lines = file.read_bytes().rpartition(b"\n")[0].splitlines() if file.exists() else []
    for line in lines:
        for resource in orjson.loads(line)["resourceSpans"]:
            names = {one["key"]: one["value"] for one in resource["resource"]["attributes"]}
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    span["attributes"] = sorted(span["attributes"], key=lambda one: one["key"])
                    # The collector writes empty fields, too.
                    kept = {key: value for key, value in span.items() if value not in ("", {}, [], 0)}
                    found[span["spanId"]] = (names, scope["scope"], kept)
    return found


def test_a_collector_receives_and_reads_the_spans_that_plsync_writes_to_a_file(
    collector: Running, tmp_path: Path
) -> None:
    for number in range(MACHINES):
        journal = tmp_path / f"journal-{number}"
        machine(journal, tmp_path / "lake", model="gpt-4o", extra_seconds=number, acked=0)
        if number == 0:
            # Texts with more bytes than a line may have, and every kind of character.
            writer = SpoolWriter(journal)
            for at in range(LONG):
                writer.call(f'{at} é 漢 \u2028 \x00 " \\ 🦜 ' * 20_000, "far", at=START + 9 + at)
            writer.close()
        with Journal.open(journal) as opened:
            expected = RECORDS + (LONG if number == 0 else 0)
            assert export(opened, collector.url, since_last=True).spans == expected
            assert export(opened, collector.url, since_last=True).spans == 0
            export(opened, str(collector.own), append=True)
    own = spans(collector.own)
    assert len(own) == RECORDS * MACHINES + LONG
    for file in (collector.received, collector.read):
        deadline = time.monotonic() + 30
        while len(spans(file)) < len(own) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert spans(file) == own
