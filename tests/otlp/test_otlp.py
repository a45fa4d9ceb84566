"""``plsync export --otlp``: spans for a collector, or a file of OTLP JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from plsync.errors import ExportError
from plsync.genai.columns import FactsMaker
from plsync.journal import Journal, Record
from plsync.otlp.export import SpansReport, export
from plsync.otlp.json_lines import as_json
from plsync.otlp.spans import request, span
from tests.support.collector import Answer, Collector, attributes
from tests.support.commands import json_lines, run
from tests.support.full_disk import small_disk
from tests.support.generated_records import RECORDS
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000
PARAMS = {"model": "gpt-4o", "temperature": 0.5, "stop": ["END"], "max_tokens": 9, "seed": None}


@pytest.fixture
def journal(path: Path) -> Path:
    """A journal with two calls that succeeded, and one that failed."""
    writer = SpoolWriter(path)
    metadata = {"ls_provider": "google_genai", "thread_id": "t1", "release": "2.1"}
    for number in range(2):
        writer.call(f"How far is planet {number}?", "far", at=T + number, params=PARAMS, metadata=metadata, tags=["a"])
    failed = writer.start({"kind": "llm", "prompts": ["Why?"], "params": {"model": "tiny"}}, at=T + 2)
    writer.end(failed, {"error": {"type": "OSError", "message": "gone"}}, ended="error")
    writer.close()
    return path


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds that an export would have waited."""
    waited: list[float] = []
    monkeypatch.setattr("plsync.otlp.destinations.time.sleep", waited.append)
    yield waited


def send(journal: Path, destination: str | Path, **options: Any) -> SpansReport:
    with Journal.open(journal) as opened:
        return export(opened, str(destination), **options)


def records(journal: Path) -> list[Record]:
    with Journal.open(journal) as opened:
        return list(opened.records(oldest_first=True))


def lines(file: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


def spans_in(file: Path) -> list[dict[str, Any]]:
    return [one for line in lines(file) for one in line["resourceSpans"][0]["scopeSpans"][0]["spans"]]


def test_a_collector_receives_each_call_as_a_span_of_the_conventions(journal: Path) -> None:
    with Collector() as collector:
        report = send(journal, collector.url)
        assert (report.spans, report.rejected, report.running) == (3, 0, 0)
        first, _, failed = collector.spans
        [record, _, other] = records(journal)
        assert (first.trace_id.hex(), first.span_id.hex()) == (record.trace_id, record.span_id)
        assert (first.name, first.kind, failed.name) == ("chat gpt-4o", Span.SPAN_KIND_CLIENT, "text_completion tiny")
        assert first.end_time_unix_nano - first.start_time_unix_nano == record.duration_ns
        found = attributes(first)
        assert orjson.loads(found.pop("gen_ai.input.messages"))[0]["parts"][0]["content"] == "How far is planet 0?"
        assert orjson.loads(found.pop("gen_ai.output.messages"))[0]["finish_reason"] == "stop"
        assert found == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.request.max_tokens": 9,
            "gen_ai.request.stop_sequences": ["END"],
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.conversation.id": "t1",
            "plsync.record_id": record.id,
            "plsync.status": "ok",
            "plsync.tags": ["a"],
            "plsync.metadata.thread_id": "t1",
            "plsync.metadata.release": "2.1",
        }
        assert (failed.status.code, failed.status.message) == (2, "gone")
        assert (attributes(failed)["error.type"], failed.trace_id.hex()) == ("OSError", other.trace_id)
        resource = attributes(collector.messages[0].resource_spans[0].resource)
        with Journal.open(journal) as opened:
            assert resource == {"service.name": "plsync", "service.instance.id": opened.id}
        path, headers = collector.requests[0]
        assert (path, headers["content-type"], headers["content-encoding"]) == (
            "/v1/traces", "application/x-protobuf", "gzip",
        )  # fmt: skip


def test_headers_and_service_come_from_the_environment(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc, x-team = llm")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    with Collector() as collector:
        send(journal, f"{collector.url}/otlp/spans")
        path, headers = collector.requests[0]
        assert (path, headers["authorization"], headers["x-team"]) == ("/otlp/spans", "Basic abc", "llm")
        assert attributes(collector.messages[0].resource_spans[0].resource)["service.name"] == "shop"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "hidden-without-a-name")
        with pytest.raises(ExportError, match="OTEL_EXPORTER_OTLP_TRACES_HEADERS is not a list of headers") as caught:
            send(journal, collector.url)
        assert "hidden" not in str(caught.value)


def test_runs_are_internal_spans_below_their_parents(path: Path) -> None:
    writer = SpoolWriter(path)
    agent: dict[str, Any] = {"input": {"messages": []}, "metadata": {"thread_id": "t1"}, "end": {"output": {"a": 1}}}
    root = writer.run("chain", "traveller", at=T, **agent)
    failed = {"error": {"type": "TimeoutError", "message": "late"}, "output": None}
    given: dict[str, Any] = {"input": {"url": "u"}, "tool_call_id": "c1", "end": failed, "ended": "error"}
    tool = writer.run("tool", "fetch", at=T + 1, root=root, **given)
    writer.run("retriever", "docs", at=T + 2, root=root, parent=tool.replace("-", ""), input="q")
    writer.run("parser", "StrOutputParser", at=T + 3, root=root)
    writer.close()
    with Collector() as collector:
        assert send(path, collector.url, since_last=True).spans == 4
        chain, fetch, docs, parser = collector.spans
        names = ["invoke_agent traveller", "execute_tool fetch", "retrieval docs", "StrOutputParser"]
        assert [one.name for one in collector.spans] == names
        assert {one.kind for one in collector.spans} == {Span.SPAN_KIND_INTERNAL}
        assert {one.trace_id.hex() for one in collector.spans} == {root.replace("-", "")}
        assert chain.parent_span_id == b""
        assert fetch.parent_span_id == parser.parent_span_id == chain.span_id
        assert docs.parent_span_id == fetch.span_id
        found = attributes(fetch)
        assert (found["gen_ai.tool.name"], found["gen_ai.tool.call.id"]) == ("fetch", "c1")
        assert (found["gen_ai.tool.call.arguments"], found["error.type"]) == ('{"url":"u"}', "TimeoutError")
        assert found["gen_ai.conversation.id"] == "t1"
        assert attributes(chain)["gen_ai.agent.name"] == "traveller"
        assert (attributes(chain)["plsync.output"], attributes(docs)["gen_ai.retrieval.query.text"]) == ('{"a":1}', "q")
        assert "gen_ai.operation.name" not in attributes(parser)


def test_a_repeated_export_repeats_the_ids(journal: Path) -> None:
    with Collector() as collector:
        send(journal, collector.url)
        send(journal, collector.url)
        ids = [(one.trace_id, one.span_id) for one in collector.spans]
        assert ids[:3] == ids[3:]


def test_since_last_continues_behind_the_last_span_and_adds_calls_that_have_ended(path: Path) -> None:
    writer = SpoolWriter(path)
    running = writer.start({"kind": "llm", "prompts": ["a"]}, at=T)
    writer.call("b", "c", at=T + 1)
    with Collector() as collector:
        report = send(path, collector.url, since_last=True)
        assert (report.spans, report.running) == (1, 1)
        writer.call("d", "e", at=T + 2)
        assert send(path, collector.url, since_last=True).spans == 1
        writer.end(running, {"generations": []})
        report = send(path, collector.url, since_last=True)
        assert (report.spans, report.running) == (1, 0)
        assert send(path, collector.url, since_last=True).spans == 0
        assert attributes(collector.spans[-1])["plsync.record_id"] == running
        # Other filters are another choice, with its own cursor.
        assert send(path, collector.url, since_last=True, filters={"status": "ok"}).spans == 3
    writer.close()


def test_two_tokens_in_the_path_are_two_destinations(path: Path) -> None:
    writer = SpoolWriter(path)
    writer.call("a", "b", at=T)
    writer.close()
    with Collector() as collector:
        assert send(path, f"{collector.url}/token-of-ann-0123456789abcdef/v1/traces", since_last=True).spans > 0
        assert send(path, f"{collector.url}/token-of-bob-0123456789abcdef/v1/traces", since_last=True).spans > 0
    cursors = list((path / "exports").glob("*.json"))
    assert len(cursors) == 2
    assert not any(b"token-of" in cursor.read_bytes() for cursor in cursors)


def test_a_busy_collector_receives_the_message_again(journal: Path, waits: list[float]) -> None:
    with Collector(Answer(503), Answer(429, {"retry-after": "7"}), Answer(502)) as collector:
        assert send(journal, collector.url).spans == 3
        assert len(collector.spans) == 3
    assert len(waits) == 3 and 0.5 <= waits[0] <= 1 and waits[1] == 7


def test_a_refusal_keeps_the_cursor(journal: Path, waits: list[float]) -> None:
    with Collector(Answer(401, {}, b"who are you?")) as collector:
        with pytest.raises(ExportError, match=r"127.0.0.1:\d+/v1/traces sent 401: who are you\?"):
            send(journal, collector.url, since_last=True)
        assert send(journal, collector.url, since_last=True).spans == 3
    assert not waits


def test_a_collector_that_cannot_be_reached_is_an_error(journal: Path, waits: list[float]) -> None:
    with Collector() as collector:
        pass
    with pytest.raises(ExportError, match=r"cannot be reached \(ConnectError"):
        send(journal, collector.url)
    assert len(waits) == 8


def test_spans_that_a_collector_rejects_are_counted_and_never_sent_again(journal: Path) -> None:
    with Collector(Answer.rejecting(2, "too old")) as collector:
        done = run(journal, "export", "--otlp", collector.url, "--since-last", "--json")
        assert done.returncode == 1
        assert orjson.loads(done.stdout) == {
            "destination": f"{collector.url}/v1/traces", "spans": 1, "rejected": 2, "reason": "too old",
            "warning": None, "running": 0, "left_out": 0,
        }  # fmt: skip
        assert done.stderr == "2 spans rejected: too old\n"
        assert send(journal, collector.url, since_last=True).spans == 0


def test_a_warning_of_a_collector_is_shown(journal: Path) -> None:
    with Collector(Answer.rejecting(0, "this endpoint moves")) as collector:
        done = run(journal, "export", "--otlp", collector.url)
    assert (done.returncode, done.stderr) == (0, "the collector took the spans, with a warning: this endpoint moves\n")
    assert done.stdout.startswith("3 spans exported to ")


def test_a_message_that_is_too_large_is_split(journal: Path) -> None:
    with Collector(largest=1) as collector:
        assert send(journal, collector.url).spans == 3
        assert [len(message.resource_spans) for message in collector.messages] == [1, 1, 1]
    with Collector(largest=0) as collector:
        report = send(journal, collector.url)
        assert (report.spans, report.rejected, report.reason) == (0, 3, "the span is larger than the collector takes")


def test_another_machine_needs_https(journal: Path) -> None:
    with pytest.raises(ExportError, match=r"--otlp is a URL of http://collector\.example"):
        send(journal, "http://collector.example:4318")


def test_a_file_has_otlp_json_lines(journal: Path, tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    assert send(journal, file).spans == 3
    with Collector() as collector:
        send(journal, collector.url)
        for written, sent in zip(spans_in(file), collector.spans, strict=True):
            assert (written["traceId"], written["spanId"]) == (sent.trace_id.hex(), sent.span_id.hex())
            assert written["startTimeUnixNano"] == str(sent.start_time_unix_nano)
            assert (written["kind"], written["name"]) == (3, sent.name)
            assert {one["key"] for one in written["attributes"]} == attributes(sent).keys()
    assert spans_in(file)[2]["status"] == {"message": "gone", "code": 2}


def test_a_file_is_only_added_to_on_demand_and_a_cut_line_is_removed(journal: Path, tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    send(journal, file, since_last=True)
    with pytest.raises(ExportError, match="exists and was not changed"):
        send(journal, file)
    with file.open("ab") as opened:
        opened.write(b'{"resourceSpans":[{"cut')
    writer = SpoolWriter(journal)
    writer.call("late", "far", at=T + 9)
    writer.close()
    assert send(journal, file, since_last=True).spans == 1
    assert len(spans_in(file)) == 4
    assert send(journal, file, append=True).spans == 4
    assert len(lines(file)) == 3


@pytest.mark.parametrize("text", [b"notes", b"notes\n", b'{"resourceSpans":[]}\nnotes', b"{}"])
def test_a_file_of_another_kind_is_left_unchanged(journal: Path, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(text)
    with pytest.raises(ExportError, match="is no file of OTLP JSON lines, and was not changed"):
        send(journal, tmp_path / "notes.txt", append=True)
    assert (tmp_path / "notes.txt").read_bytes() == text


def test_a_full_disk_leaves_whole_lines(journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plsync.otlp.export._BATCH_SPANS", 1)
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "ballast").write_bytes(bytes(56 << 10))
        writer = SpoolWriter(journal)
        writer.call("x" * 9000, "far", at=T + 9)
        writer.close()
        with pytest.raises(ExportError, match=r"cannot be written \(No space left on device\); it has whole lines"):
            send(journal, disk / "spans.jsonl", since_last=True)
        assert len(spans_in(disk / "spans.jsonl")) == 3
        (disk / "ballast").unlink()
        assert send(journal, disk / "spans.jsonl", since_last=True).spans == 1
        assert len(spans_in(disk / "spans.jsonl")) == 4


def test_content_and_hook_hold_for_spans(journal: Path, tmp_path: Path) -> None:
    send(journal, tmp_path / "bare.jsonl", content=False)
    assert b"planet" not in (tmp_path / "bare.jsonl").read_bytes()

    def hook(facts: dict[str, Any]) -> dict[str, Any] | None:
        return None if facts["status"] == "error" else {**facts, "metadata": {}, "tags": []}

    report = send(journal, tmp_path / "redacted.jsonl", redact=hook)
    assert (report.spans, report.left_out) == (2, 1)
    assert b"plsync.tags" not in (tmp_path / "redacted.jsonl").read_bytes()


def test_records_without_a_call_have_no_span(journal: Path, tmp_path: Path) -> None:
    with Journal.open(journal) as opened:
        opened.append({"kind": 7})
        opened.forget(next(opened.records(oldest_first=True)).id)
    report = send(journal, tmp_path / "spans.jsonl")
    assert (report.spans, report.left_out) == (2, 2)


def test_a_read_only_journal_needs_an_export_without_cursor(journal: Path, tmp_path: Path) -> None:
    (journal / "exports").write_text("in the way")
    with pytest.raises(ExportError, match="or export without --since-last"):
        send(journal, tmp_path / "spans.jsonl", since_last=True)
    assert send(journal, tmp_path / "other.jsonl").spans == 3


def test_the_command_exports_spans(journal: Path, tmp_path: Path) -> None:
    [printed] = json_lines(journal, "export", "--otlp", str(tmp_path / "spans.jsonl"), "--result", "ok")
    assert (printed["spans"], printed["destination"]) == (2, os.path.abspath(tmp_path / "spans.jsonl"))


def test_without_the_package_the_error_names_the_extra(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.trace.v1.trace_service_pb2", None)
    with pytest.raises(ExportError, match=r"pip install 'plsync\[otlp\]'"):
        send(journal, "spans.jsonl")
    assert not Path("spans.jsonl").exists()


@settings(max_examples=25)
@given(record=RECORDS)
def test_every_odd_record_has_a_span(record: Record) -> None:
    facts = FactsMaker("0" * 32).facts(record)
    assert facts is not None
    made = span(facts)
    message = as_json(request([made], "0" * 32, {}))
    [one] = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert one["traceId"] == record.trace_id
