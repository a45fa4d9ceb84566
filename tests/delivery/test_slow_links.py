"""Slow links: the size of requests adapts to them, and a slow upload is not a timeout."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from langchain_core.language_models import FakeListChatModel

from plsync import Journal, PromptLayerCallbackHandler
from plsync.delivery.batching import BatchSizer
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import PassReport
from plsync.delivery.sender import Sender
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Throttled
from plsync.testing import PromptLayerServer
from tests.support.calls import states
from tests.support.raw_server import RawServer, responding
from tests.support.slow_link import SlowLink


def record_pages(path: Path, number: int, metadata: dict[str, str]) -> None:
    """Record calls of about 5 KB each."""
    model = FakeListChatModel(responses=["an answer"], callbacks=[PromptLayerCallbackHandler(journal=path)])
    for index in range(number):
        model.invoke(f"{index} " + "a page of text " * 300, {"metadata": metadata})


@pytest.mark.parametrize("metadata", [{}, {"thread_id": "one"}], ids=["apart", "a conversation"])
def test_requests_over_a_slow_link_are_answered_in_time(path: Path, metadata: dict[str, str]) -> None:
    # The first response to a batch of 200 would come after three seconds.
    record_pages(path, 300, metadata)
    with PromptLayerServer() as server, SlowLink(server.url, 500_000) as link:
        policy = SendPolicy(timeout=2.0)
        with Journal.open(path) as journal, PromptLayerClient(server.api_key, link.url, timeout=2.0) as client:
            sent = Sender(journal, client, policy).run_pass()
    assert sent == PassReport(acked=300)
    assert set(states(path).values()) == {"acked"}


def serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_an_upload_may_take_longer_than_the_timeout(
    tmp_path: Path, secured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    stored = responding("201 Created", b'{"success": true, "request_logs": []}')
    with (
        RawServer(stored, tls=serving(authority) if secured else None) as server,
        SlowLink(server.url, 400_000) as link,
        PromptLayerClient("pl_key", link.url, timeout=1.0) as client,
    ):
        assert client.send([{"image": "x" * MB}]) == Delivered({})


MB = 1 << 20
KB = 1 << 10


def max_bytes_after(*requests: tuple[int, float], of: type[Ambiguous | Throttled] | None = None) -> int:
    """The limit of the next request after requests of (bytes, seconds), with a timeout of 30 s."""
    sizer = BatchSizer(30.0, 4 * MB)
    outcome = of("no details") if of else Delivered({})
    for size, seconds in requests:
        sizer.observe(size, seconds, outcome)
    return sizer.max_bytes


def test_requests_over_a_fast_link_grow_to_the_limit_within_two_responses() -> None:
    assert max_bytes_after((30 * KB, 0.1), (500 * KB, 0.4)) == 4 * MB


def test_requests_over_a_moderate_link_grow_after_three_quick_responses() -> None:
    assert max_bytes_after(*[(30 * KB, 1.0)] * 3) == 128 * KB
    assert max_bytes_after(*[(30 * KB, 1.0)] * 3, *[(120 * KB, 2.0)] * 3) == 512 * KB


def test_one_quick_response_among_late_ones_changes_nothing() -> None:
    # Six requests share a link, and the first to end leaves its share to the rest.
    assert max_bytes_after(*[(30 * KB, 2.0), (30 * KB, 3.0), (30 * KB, 15.0)] * 4) == max_bytes_after()


def test_small_requests_and_slow_responses_change_nothing() -> None:
    assert max_bytes_after((5 * KB, 0.1), (60 * KB, 20.0)) == max_bytes_after()


def test_requests_shrink_after_timeouts_down_to_16_kilobytes() -> None:
    assert max_bytes_after((60 * KB, 30.0), of=Ambiguous) < max_bytes_after()
    assert max_bytes_after(*[(60 * KB, 30.0)] * 9, of=Ambiguous) == 16 * KB


def test_throttling_does_not_change_the_size_of_requests() -> None:
    assert max_bytes_after((60 * KB, 0.1), of=Throttled) == max_bytes_after()
