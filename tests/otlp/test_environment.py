"""``plsync export --otlp`` with the variables of OpenTelemetry's exporters."""

from __future__ import annotations

from pathlib import Path

import pytest

from plsync.errors import ExportError
from plsync.journal import Journal
from plsync.otlp import environment
from plsync.otlp.export import SpansReport, export
from tests.support.collector import Collector, attributes
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000


@pytest.fixture
def journal(path: Path) -> Path:
    """A journal with one call."""
    writer = SpoolWriter(path)
    writer.call("a", "b", at=T)
    writer.close()
    return path


def send(journal: Path, destination: str = "env") -> SpansReport:
    with Journal.open(journal) as opened:
        return export(opened, destination)


def test_the_endpoint_of_the_environment_is_a_base_and_the_one_for_traces_is_whole(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{collector.url}/base/")
        report = send(journal)
        assert report.destination == f"{collector.url}/base/v1/traces"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/spans")
        send(journal)
        assert [path for path, _ in collector.requests] == ["/base/v1/traces", "/spans"]
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    assert environment.endpoint() == "http://localhost:4318/v1/traces"


def test_another_protocol_of_the_environment_is_an_error(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    with pytest.raises(ExportError, match="OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and plsync sends http/protobuf"):
        send(journal)
    with Collector() as collector:
        assert send(journal, collector.url).spans == 1


def test_messages_are_not_compressed_on_demand(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with Collector() as collector:
        assert send(journal, collector.url).spans == 1
        assert "content-encoding" not in collector.requests[0][1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip")
        send(journal, collector.url)
        assert collector.requests[1][1]["content-encoding"] == "gzip"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd")
        with pytest.raises(ExportError, match="OTEL_EXPORTER_OTLP_TRACES_COMPRESSION is neither gzip nor none"):
            send(journal, collector.url)


def test_the_timeout_is_in_milliseconds(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plsync.otlp.destinations._ATTEMPTS", 1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "50")
    # A server that accepts connections, and sends nothing.
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ExportError, match=r"cannot be reached \(ReadTimeout"):
            send(journal, url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2s")
    with pytest.raises(ExportError, match="OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is no number of milliseconds"):
        send(journal, url)


def test_the_attributes_of_the_resource_are_sent(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=shop,a=b%2Cc")
    with Collector() as collector:
        send(journal, collector.url)
        found = attributes(collector.messages[0].resource_spans[0].resource)
        found.pop("service.instance.id")
        assert found == {"service.name": "shop", "deployment.environment.name": "test", "a": "b,c"}
        monkeypatch.setenv("OTEL_SERVICE_NAME", "till")
        send(journal, collector.url)
        assert attributes(collector.messages[1].resource_spans[0].resource)["service.name"] == "till"


def test_a_missing_certificate_is_an_error(journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "ca.pem"))
    with pytest.raises(ExportError, match=r"the file of OTEL_EXPORTER_OTLP_CERTIFICATE cannot be used \(No such file"):
        send(journal, "https://127.0.0.1:1")
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ExportError, match="the file of OTEL_EXPORTER_OTLP_CERTIFICATE cannot be used"):
        send(journal, "https://127.0.0.1:1")
