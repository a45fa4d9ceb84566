"""``plsync export --otlp`` to a collector with TLS, whose certificate a private authority has signed."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from plsync.errors import ExportError
from plsync.journal import Journal
from plsync.otlp.export import export
from tests.support.collector import Collector
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000
AUTHORITY = trustme.CA()


@pytest.fixture
def journal(path: Path) -> Path:
    """A journal with one call."""
    writer = SpoolWriter(path)
    writer.call("a", "b", at=T)
    writer.close()
    return path


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that an export would have waited for another attempt."""
    waited: list[float] = []
    monkeypatch.setattr("plsync.otlp.destinations.time.sleep", waited.append)
    return waited


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the authority, which the environment names."""
    file = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(file)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(file))
    return file


def serving(name: str = "127.0.0.1", *, clients: bool = False) -> ssl.SSLContext:
    """The TLS of a server, which may require a certificate of its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        AUTHORITY.configure_trust(context)
        # In TLS 1.3 the refusal arrives after the handshake, and the end of the connection may overtake it.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def send(journal: Path, destination: str) -> int:
    with Journal.open(journal) as opened:
        return export(opened, destination, since_last=True).spans


def test_the_authority_of_the_environment_is_trusted(journal: Path, trusted: Path) -> None:
    with Collector(tls=serving()) as collector:
        assert collector.url.startswith("https://")
        assert send(journal, collector.url) == 1
        assert len(collector.spans) == 1


def test_another_authority_is_an_error_at_once_and_moves_no_cursor(
    journal: Path, trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", str(tmp_path / "other.pem"))
    with Collector(tls=serving()) as collector:
        with pytest.raises(ExportError, match="local issuer certificate; the authorities in the file of OTEL"):
            send(journal, collector.url)
        assert not collector.requests and not waits
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
        assert send(journal, collector.url) == 1


def test_an_unknown_authority_is_an_error_with_the_remedy(journal: Path, waits: list[float]) -> None:
    with Collector(tls=serving()) as collector, pytest.raises(ExportError) as caught:
        send(journal, collector.url)
    assert "set OTEL_EXPORTER_OTLP_CERTIFICATE to the file of its certificate authority" in str(caught.value)
    assert not waits


def test_a_certificate_of_another_host_is_an_error(journal: Path, trusted: Path, waits: list[float]) -> None:
    with Collector(tls=serving("collector.example")) as collector, pytest.raises(ExportError) as caught:
        send(journal, collector.url)
    assert "IP address mismatch" in str(caught.value) and "or the host of the URL" in str(caught.value)
    assert not waits


def test_a_collector_without_tls_is_an_error(journal: Path, waits: list[float]) -> None:
    with Collector() as collector, pytest.raises(ExportError, match="a collector without TLS has a URL with http://"):
        send(journal, collector.url.replace("http://", "https://"))
    assert not waits


def test_the_client_has_the_certificate_of_the_environment(
    journal: Path, trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    issued = AUTHORITY.issue_cert("laboratory", common_name="laboratory")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    issued.private_key_pem.write_to_path(tmp_path / "client.key")
    with Collector(tls=serving(clients=True)) as collector:
        with pytest.raises(ExportError, match="OTEL_EXPORTER_OTLP_CLIENT_KEY name the certificate of this client"):
            send(journal, collector.url)
        assert not waits
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(tmp_path / "client.pem"))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(tmp_path / "client.key"))
        assert send(journal, collector.url) == 1
        assert dict(pair for [pair] in collector.clients[0]["subject"])["commonName"] == "laboratory"


def test_a_key_that_cannot_be_used_is_an_error_without_a_prompt(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    issued = AUTHORITY.issue_cert("laboratory")
    issued.cert_chain_pems[0].write_to_path(certificate)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(key))
    with pytest.raises(ExportError, match="CLIENT_KEY is set without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"):
        send(journal, "https://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(certificate))
    with pytest.raises(ExportError, match=r"OTEL_EXPORTER_OTLP_CLIENT_KEY cannot be used \(No such file"):
        send(journal, "https://127.0.0.1:1")
    AUTHORITY.issue_cert("another").private_key_pem.write_to_path(key)
    with pytest.raises(ExportError, match="key values mismatch"):
        send(journal, "https://127.0.0.1:1")
    read = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(read.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    with pytest.raises(ExportError, match="the key is encrypted with a password: write it without one"):
        send(journal, "https://127.0.0.1:1")
