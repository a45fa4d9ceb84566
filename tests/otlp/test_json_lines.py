"""A file of OTLP JSON lines: the JSON that OTLP defines, lines that a collector reads, and whole files only."""

from __future__ import annotations

import base64
import math
import os
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from plsync.errors import ExportError
from plsync.genai.columns import FactsMaker
from plsync.journal import Journal, Record
from plsync.otlp.export import SpansReport, export
from plsync.otlp.json_lines import as_json
from plsync.otlp.spans import request, span
from tests.support.generated_records import RECORDS
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000
# JSON has one NaN, and a float has many.
FLOATS = st.floats().map(lambda value: math.nan if math.isnan(value) else value)
IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}
NUMBERS = ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "intValue")
CHANGES = st.fixed_dictionaries(
    {
        "input_tokens": st.none() | st.integers(-(2**63), 2**63 - 1),
        "name": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        "params": st.dictionaries(st.sampled_from(["temperature", "seed", "n"]), FLOATS | st.integers(0, 2**62)),
    }
)


@settings(max_examples=25)
@given(record=RECORDS, changes=CHANGES)
def test_a_line_is_the_json_of_otlp_and_holds_the_whole_message(record: Record, changes: dict[str, Any]) -> None:
    facts = FactsMaker("0" * 32).facts(record)
    assert facts is not None
    message = request([span({**facts, **changes})], "0" * 32, {"service.name": "shop"})
    found = orjson.loads(orjson.dumps(as_json(message)))
    # The package for protobuf reads its own JSON, in which ids are base64.
    read = ParseDict(_as_of_protobuf(found), ExportTraceServiceRequest())
    # By their bytes: NaN is not equal to itself.
    assert read.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


def _as_of_protobuf(value: Any, key: str = "") -> Any:
    """The JSON of protobuf of a value in OTLP's JSON. Checks the rules in which OTLP differs or decides."""
    if isinstance(value, dict):
        assert all(re.fullmatch("[a-z][A-Za-z]*", name) for name in value), value
        return {name: _as_of_protobuf(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_of_protobuf(item, key) for item in value]
    if key in IDS:
        assert re.fullmatch(f"[0-9a-f]{{{IDS[key]}}}", value)
        return base64.b64encode(bytes.fromhex(value)).decode()
    if key in NUMBERS:
        assert re.fullmatch("-?[0-9]+", value)
    if key in ("kind", "code"):
        assert type(value) is int
    return value


@pytest.fixture
def journal(path: Path) -> Path:
    writer = SpoolWriter(path)
    for number in range(6):
        writer.call("how far? " * 30_000, f"{number} km", at=T + number)
    writer.close()
    return path


def send(journal: Path, file: Path, **options: Any) -> SpansReport:
    with Journal.open(journal) as opened:
        return export(opened, str(file), **options)


def spans_by_line(file: Path) -> list[int]:
    found = map(orjson.loads, file.read_bytes().splitlines())
    return [len(line["resourceSpans"][0]["scopeSpans"][0]["spans"]) for line in found]


def test_a_line_has_the_length_that_a_collector_reads(journal: Path, tmp_path: Path) -> None:
    writer = SpoolWriter(journal)
    writer.call("long" * 500_000, "far", at=T + 9)
    writer.close()
    assert send(journal, tmp_path / "spans.jsonl").spans == 7
    counts = spans_by_line(tmp_path / "spans.jsonl")
    lengths = [len(line) for line in (tmp_path / "spans.jsonl").read_bytes().splitlines(keepends=True)]
    assert sum(counts) == 7
    # Nothing can divide a span.
    assert [count for count, length in zip(counts, lengths, strict=True) if length >= 1 << 20] == [1]


def fails_at(number: int, error: BaseException) -> Any:
    """A hook that raises for the record with this number."""
    left = [number]

    def hook(facts: dict[str, Any]) -> dict[str, Any]:
        left[0] -= 1
        if not left[0]:
            raise error
        return facts

    return hook


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()], ids=repr)
def test_a_new_file_is_there_as_a_whole_or_not_at_all(journal: Path, tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "new" / "spans.jsonl"
    file.parent.mkdir()
    with pytest.raises((ExportError, KeyboardInterrupt)):
        send(journal, file, redact=fails_at(5, error))
    assert list(file.parent.iterdir()) == []
    assert send(journal, file).spans == 6
    assert [path.name for path in file.parent.iterdir()] == ["spans.jsonl"]


def test_a_file_that_another_program_makes_meanwhile_is_unchanged(journal: Path, tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"

    def hook(facts: dict[str, Any]) -> dict[str, Any]:
        file.write_text("notes")
        return facts

    with pytest.raises(ExportError, match="exists and was not changed"):
        send(journal, file, redact=hook)
    assert file.read_text() == "notes"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".spans")]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()], ids=repr)
def test_an_export_that_failed_continues_behind_the_last_line(
    journal: Path, tmp_path: Path, error: BaseException
) -> None:
    file = tmp_path / "spans.jsonl"
    with pytest.raises((ExportError, KeyboardInterrupt)):
        send(journal, file, since_last=True, redact=fails_at(5, error), redact_name="hook")
    before = sum(spans_by_line(file))
    assert 0 < before < 6
    assert send(journal, file, since_last=True, redact=lambda facts: facts, redact_name="hook").spans == 6 - before
    assert sum(spans_by_line(file)) == 6


def test_a_killed_export_repeats_few_lines(journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plsync.otlp.json_lines._SYNCED", 1)
    # As after kill -9: nothing is cut off, and no cursor is saved.
    monkeypatch.setattr("plsync.otlp.json_lines.JsonLines.abandon", lambda self: self._file.close())
    file = tmp_path / "spans.jsonl"
    with pytest.raises(KeyboardInterrupt):
        send(journal, file, since_last=True, redact=fails_at(5, KeyboardInterrupt()), redact_name="hook")
    before = sum(spans_by_line(file))
    assert before >= 2
    assert send(journal, file, since_last=True, redact=lambda facts: facts, redact_name="hook").spans == 6 - before
    assert sum(spans_by_line(file)) == 6


@pytest.mark.parametrize("append", [False, True])
def test_a_file_of_another_kind_is_an_error(journal: Path, tmp_path: Path, append: bool) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ExportError, match="is no regular file" if append else "exists and was not changed"):
        send(journal, tmp_path / "fifo", append=append)


@pytest.mark.parametrize("destination", ["", "localhost:4318", "grpc://localhost:4317", "[::1]:4318/v1/traces"])
def test_an_address_that_is_no_url_is_an_error_and_no_file(
    journal: Path, tmp_path: Path, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal.open(journal) as opened, pytest.raises(ExportError, match="is neither a URL nor a file"):
        export(opened, destination)
    assert os.listdir(tmp_path) == ["journal"]
