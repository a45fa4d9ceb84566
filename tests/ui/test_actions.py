"""The writes of the page: scores, metadata and retries; and a page that writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plsync import Journal
from tests.support.calls import write_calls
from tests.support.page import page_of
from tests.support.page_journal import PageJournal
from tests.support.spooling import SpoolWriter

REASON = "PromptLayer refused it: 422 prompt too long"


@pytest.fixture
def ids(path: Path) -> list[str]:
    """Records: two refused for one reason, one for another, one held, one that waits."""
    ids = write_calls(path, 5)
    with Journal.open(path) as journal:
        seqs = [journal.get(one).seq for one in ids]
        journal.outbox.park(seqs[:1], "dead", f"{REASON} (request 11aa22bb)")
        journal.outbox.park(seqs[1:2], "dead", f"{REASON} (request 33cc44dd)")
        journal.outbox.park(seqs[2:3], "dead", "PromptLayer refused it: 400 prompt too long")
        journal.outbox.park(seqs[3:4], "held", "left out by plsync run --no-trees")
    return ids


@pytest.fixture
def page(path: Path, ids: list[str]) -> Iterator[TestClient]:
    with page_of(path) as client:
        yield client


def states(path: Path, ids: list[str]) -> list[str]:
    with Journal.open(path) as journal:
        return [journal.get(one).state for one in ids]


def test_a_score_is_queued(page: TestClient, path: Path, ids: list[str]) -> None:
    found = page.post(f"/api/calls/{ids[0]}/score", json={"score": 90, "name": "helpful"})
    assert found.status_code == 201
    assert found.json()["followup"]["payload"] == {"score": 90, "name": "helpful"}
    with Journal.open(path) as journal:
        (queued,) = journal.followups.of(ids[0])
    assert (queued.op, queued.payload, queued.state) == ("score", {"score": 90, "name": "helpful"}, "pending")


def test_metadata_are_queued(page: TestClient, ids: list[str]) -> None:
    found = page.post(f"/api/calls/{ids[0]}/metadata", json={"metadata": {"checked": "yes"}})
    assert found.json()["followup"]["payload"] == {"metadata": {"checked": "yes"}}


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("calls/{id}/score", {"score": 101}),
        ("calls/{id}/score", {"score": "90"}),
        ("calls/{id}/score", {}),
        ("calls/{id}/score", {"score": 90, "name": 1}),
        ("calls/{id}/score", {"score": 90, "label": "x"}),
        ("calls/{id}/metadata", {"metadata": {"a": 1}}),
        ("calls/{id}/metadata", {"metadata": []}),
        ("retry", {}),
        ("retry", {"delivery": "waiting"}),
        ("retry", {"reason": "x"}),
        ("retry", {"ids": []}),
        ("retry", {"ids": "x"}),
        ("retry", {"everything": True}),
        ("score", {"ids": [1], "score": 1}),
    ],
)
def test_a_wrong_body_writes_nothing(
    page: TestClient, path: Path, ids: list[str], address: str, body: dict[str, Any]
) -> None:
    before = states(path, ids)
    found = page.post(f"/api/{address.format(id=ids[0])}", json=body)
    assert found.status_code == 400, found.text
    assert states(path, ids) == before
    with Journal.open(path) as journal:
        assert journal.stats().followups == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"x"', b"[" * 100_000, b'{"a":1e999}'])
def test_a_body_that_is_no_object_is_an_error(page: TestClient, body: bytes) -> None:
    found = page.post("/api/retry", content=body, headers={"content-type": "application/json"})
    assert found.status_code == 400
    assert found.json()["error"]["code"] == "bad_request"


def test_a_body_of_gigabytes_is_refused(page: TestClient) -> None:
    parts = (b" " * (1 << 20) for _ in range(9))
    found = page.post("/api/retry", content=parts, headers={"content-type": "application/json"})
    assert found.status_code == 413


def test_scores_of_many_calls(page: TestClient, path: Path, ids: list[str]) -> None:
    unknown = ids[0][:-1] + ("0" if ids[0][-1] != "0" else "1")
    found = page.post("/api/score", json={"ids": [*ids[:3], unknown], "score": 70}).json()
    assert found["queued"] == 3
    assert [failed["id"] for failed in found["failed"]] == [unknown]
    with Journal.open(path) as journal:
        assert journal.stats().followups == 3


def test_a_refused_record_is_retried(page: TestClient, path: Path, ids: list[str]) -> None:
    assert page.post("/api/retry", json={"ids": ids[:1]}).json() == {"records": 1, "followups": 0, "callbacks": 0}
    assert states(path, ids) == ["pending", "dead", "dead", "held", "pending"]


def test_refused_records_are_retried_by_their_reason(page: TestClient, path: Path, ids: list[str]) -> None:
    groups = page.get("/api/delivery").json()
    assert groups["exact"]
    assert [(group["count"], group["ids"]) for group in groups["refused"]] == [
        (2, [ids[1], ids[0]]),
        (1, [ids[2]]),
    ]
    assert [group["reason"] for group in groups["held"]] == ["left out by plsync run --no-trees"]
    assert {word: number for word, number in groups["counts"].items() if number} == {
        "waiting": 1,
        "refused": 3,
        "held": 1,
    }
    reason = groups["refused"][0]["reason"]
    assert page.post("/api/retry", json={"reason": reason, "delivery": "refused"}).json()["records"] == 2
    assert states(path, ids) == ["pending", "pending", "dead", "held", "pending"]
    assert page.post("/api/retry", json={"delivery": ["refused", "held"]}).json()["records"] == 2
    assert states(path, ids) == ["pending"] * 5


def test_a_read_only_page_has_no_route_that_writes(path: Path, ids: list[str]) -> None:
    with page_of(path, read_only=True) as page:
        assert page.get("/api/journal").json()["read_only"]
        addresses = (f"calls/{ids[0]}/score", f"calls/{ids[0]}/metadata", "score", "retry")
        for address in addresses:
            found = page.post(f"/api/{address}", json={"score": 1})
            assert found.status_code in (404, 405)
            assert found.json()["error"]["message"]
    assert states(path, ids) == ["dead", "dead", "dead", "held", "pending"]


def test_hidden_content_stays_on_the_server(shown: PageJournal, path: Path) -> None:
    shutil.copytree(shown.path, path)
    texts = ("My invoice", "line 7", "2026-118", "red pixel", "tracker", "FAIL429", "once is right", "Sunny", "poem")
    with page_of(path, hide_content=True) as page:
        addresses = ["calls", "facets", "delivery", "prompts", "conversations", "conversation?thread=t1"]
        for record in shown.ids.values():
            addresses += [f"calls/{record}", f"calls/{record}/tree"]
        addresses.append(f"compare?a={shown.ids['plain']}&b={shown.ids['tools']}")
        for address in addresses:
            found = page.get(f"/api/{address}")
            assert found.status_code == 200
            assert not [text for text in texts if text in found.text], address
        record = shown.ids["picture"]
        for address in (
            f"calls/{record}/raw",
            f"calls/{record}/field?path=messages/0/parts/0",
            f"media/{record}/0",
            "calls?q=invoice",
            "search?q=invoice",
            "count?q=invoice",
        ):
            found = page.get(f"/api/{address}")
            assert (found.status_code, found.json()["error"]["code"]) == (403, "content_hidden")
        row = page.get("/api/calls?name=plain").json()["calls"][0]
        assert (row["hidden"], row["input"], row["model"], row["tokens"]["input"]) == (True, None, "gpt-4o-mini", 21)
        (reason,) = page.get("/api/delivery").json()["refused"]
        assert reason["reason"] == "PromptLayer refused it: 422"
        assert "too long" not in page.get(f"/api/calls/{shown.ids['refused']}").text
        retried = page.post("/api/retry", json={"reason": reason["reason"], "delivery": "refused"})
        assert retried.json()["records"] == 1


def test_a_hidden_text_that_looks_like_an_id_is_not_searched(path: Path, writer: SpoolWriter) -> None:
    writer.call("the secret is deadbeefcafe", "a", at=1_760_000_000_000)
    with page_of(path) as page:
        assert page.get("/api/count?q=deadbeefcafe").json()["count"] == 1
    with page_of(path, hide_content=True) as page:
        for address in ("calls", "count", "search", "facets", "histogram", "usage"):
            found = page.get(f"/api/{address}?q=deadbeefcafe")
            assert found.status_code == 200
            assert '"id"' not in found.text
        assert page.get("/api/count?q=deadbeefcafe").json()["count"] == 0
