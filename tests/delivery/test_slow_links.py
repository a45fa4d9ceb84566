"""Links that are slow: a request brings what they can carry."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from langchain_core.language_models import FakeListChatModel

from plsync import Journal, PromptLayerCallbackHandler
from plsync.delivery.pace import Pace
from plsync.delivery.policy import Policy
from plsync.delivery.sender import Engine, Pass
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Throttled
from plsync.testing import PromptLayerServer
from tests.support.calls import states
from tests.support.raw_server import RawServer, answering
from tests.support.slow_link import SlowLink


def record_pages(path: Path, number: int, metadata: dict[str, str]) -> None:
    """Calls of about 5 KB."""
    model = FakeListChatModel(responses=["an answer"], callbacks=[PromptLayerCallbackHandler(journal=path)])
    for index in range(number):
        model.invoke(f"{index} " + "a page of text " * 300, {"metadata": metadata})


@pytest.mark.parametrize("metadata", [{}, {"thread_id": "one"}], ids=["apart", "a conversation"])
def test_a_slow_link_is_given_no_more_than_it_carries_in_time(path: Path, metadata: dict[str, str]) -> None:
    # In batches of 200 the first answer would come after three seconds.
    record_pages(path, 300, metadata)
    with PromptLayerServer() as server, SlowLink(server.url, 500_000) as link:
        policy = Policy(timeout=2.0)
        with Journal.open(path) as journal, PromptLayerClient(server.api_key, link.url, timeout=2.0) as client:
            sent = Engine(journal, client, policy).run_pass()
    assert sent == Pass(acked=300)
    assert set(states(path).values()) == {"acked"}


def serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_a_body_that_takes_longer_than_the_timeout_is_no_silence(
    tmp_path: Path, secured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    stored = answering("201 Created", b'{"success": true, "request_logs": []}')
    with (
        RawServer(stored, tls=serving(authority) if secured else None) as server,
        SlowLink(server.url, 400_000) as link,
        PromptLayerClient("pl_key", link.url, timeout=1.0) as client,
    ):
        assert client.send([{"image": "x" * MB}]) == Delivered({})


MB = 1 << 20
KB = 1 << 10


def pace_after(*requests: tuple[int, float], of: type[Ambiguous | Throttled] | None = None) -> int:
    """What a request may bring after these, of which (bytes, seconds) are known; the timeout is 30 s."""
    pace = Pace(30.0, 4 * MB)
    outcome = of("so it went") if of else Delivered({})
    for size, seconds in requests:
        pace.note(size, seconds, outcome)
    return pace.most_bytes


def test_a_good_link_is_filled_within_a_few_answers() -> None:
    assert pace_after((30 * KB, 0.1), (500 * KB, 0.4)) == 4 * MB


def test_a_fair_link_is_filled_more_carefully() -> None:
    assert pace_after(*[(30 * KB, 1.0)] * 3) == 128 * KB
    assert pace_after(*[(30 * KB, 1.0)] * 3, *[(120 * KB, 2.0)] * 3) == 512 * KB


def test_one_quick_answer_among_late_ones_says_nothing_of_more() -> None:
    # Six requests share a link, and those that are first leave it to the others.
    assert pace_after(*[(30 * KB, 2.0), (30 * KB, 3.0), (30 * KB, 15.0)] * 4) == pace_after()


def test_what_was_small_or_took_its_time_says_nothing_of_more() -> None:
    assert pace_after((5 * KB, 0.1), (60 * KB, 20.0)) == pace_after()


def test_requests_that_get_no_answer_are_made_smaller_down_to_a_few_records() -> None:
    assert pace_after((60 * KB, 30.0), of=Ambiguous) < pace_after()
    assert pace_after(*[(60 * KB, 30.0)] * 9, of=Ambiguous) == 16 * KB


def test_throttling_says_nothing_of_the_link() -> None:
    assert pace_after((60 * KB, 0.1), of=Throttled) == pace_after()
