"""``plsync.track`` queues the calls of PromptLayer's SDK until they can be sent."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from promptlayer.track import TrackManager

import plsync
from plsync import Journal, track
from plsync.errors import InvalidFollowUp, PlsyncError, RecordNotFound
from tests.support import programs
from tests.support.calls import AT, acknowledge
from tests.support.spooling import SpoolWriter

RUN = "0f5d3a52-6f0b-4d8e-9a59-0d6f4f6f4a11"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default journal of the process, with one call of a known run."""
    path = tmp_path / "journal"
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    writer = SpoolWriter(path)
    writer.call("question", "answer", at=AT, run_id=RUN)
    writer.close()
    return path


def queued(path: Path, about: int | str) -> list[tuple[str, dict[str, Any]]]:
    with Journal.open(path) as journal:
        return [(one.op, one.payload) for one in journal.followups.of(about)]


def test_each_call_is_queued_with_the_payload_of_promptlayers_api(path: Path) -> None:
    assert track.score(RUN, 100) is True
    assert track.score(RUN, 0, "style") is True
    assert track.metadata(RUN, {"foo": "bar"}) is True
    assert track.prompt(RUN, "example", {"product": "toasters"}, 1) is True
    assert track.prompt(RUN, "example", {}, label="prod") is True
    assert track.group(RUN, 3) is True
    assert queued(path, RUN) == [
        ("score", {"score": 100}),
        ("score", {"score": 0, "name": "style"}),
        ("metadata", {"metadata": {"foo": "bar"}}),
        ("prompt", {"prompt_name": "example", "prompt_input_variables": {"product": "toasters"}, "version": 1}),
        ("prompt", {"prompt_name": "example", "prompt_input_variables": {}, "label": "prod"}),
        ("group", {"group_id": 3}),
    ]


@pytest.mark.parametrize("name", ["score", "metadata", "prompt", "group"])
def test_the_arguments_have_the_names_and_order_of_the_sdk(name: str) -> None:
    theirs = list(inspect.signature(getattr(TrackManager, name)).parameters.values())[1:]
    for ours in (getattr(track, name), getattr(track.Tracker(None), name)):  # type: ignore[arg-type]
        parameters = [
            one for one in inspect.signature(ours).parameters.values() if one.name not in {"journal", "workspace"}
        ]
        assert [(one.name, one.default) for one in parameters] == [(one.name, one.default) for one in theirs]


def test_a_journal_has_the_same_functions(path: Path) -> None:
    with Journal.open(path) as journal:
        (record,) = journal.records()
        assert journal.track.score(record.id, 90)
        assert journal.track.metadata(record.id, {"a": "b"})
        assert journal.track.prompt(record.id, "example", {})
        assert journal.track.group(record.id, 1)
    assert [op for op, _ in queued(path, RUN)] == ["score", "metadata", "prompt", "group"]


def test_a_request_id_creates_a_missing_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLSYNC_JOURNAL", str(tmp_path / "new"))
    assert track.score(request_id=4711, score=50)
    assert queued(tmp_path / "new", 4711) == [("score", {"score": 50})]


def test_a_journal_can_be_named(path: Path, tmp_path: Path) -> None:
    track.score(4711, 50, journal=tmp_path / "other")
    with Journal.open(path) as journal:
        track.score(4712, 60, journal=journal)
    assert queued(tmp_path / "other", 4711) == [("score", {"score": 50})]
    assert (queued(path, 4711), queued(path, 4712)) == ([], [("score", {"score": 60})])


def test_only_calls_inside_using_go_to_its_journal(path: Path, tmp_path: Path) -> None:
    with track.using(tmp_path / "callback's"):
        track.score(1, 1)
        track.score(2, 2, journal=path)
        thread = threading.Thread(target=track.score, args=(3, 3))
        thread.start()
        thread.join()
    track.score(4, 4)
    assert [bool(queued(tmp_path / "callback's", request)) for request in (1, 2, 3, 4)] == [True, False, False, False]
    assert [bool(queued(path, request)) for request in (1, 2, 3, 4)] == [False, True, True, True]


Call = Callable[[], bool]

INVALID: list[tuple[Call, str]] = [
    (lambda: track.score(1, 101), "from 0 to 100, not 101"),
    (lambda: track.score(1, -1), "from 0 to 100, not -1"),
    (lambda: track.score(1, True), "not True"),
    (lambda: track.score(1, 99.5), "not 99.5"),  # type: ignore[arg-type]
    (lambda: track.score(1, "5"), "not '5'"),  # type: ignore[arg-type]
    (lambda: track.score(1, 5, ""), "a score's name is a text"),
    (lambda: track.score(1, 5, 5), "a score's name is a text"),  # type: ignore[arg-type]
    (lambda: track.metadata(1, {"a": 1}), "use str()"),  # type: ignore[dict-item]
    (lambda: track.metadata(1, {1: "a"}), "use str()"),  # type: ignore[dict-item]
    (lambda: track.metadata(1, {"a": None}), "use str()"),  # type: ignore[dict-item]
    (lambda: track.metadata(1, ["a"]), "not a list"),  # type: ignore[arg-type]
    (lambda: track.metadata(1, {"k" * 1025: "v"}), "at most 1,024 characters"),
    (lambda: track.prompt(1, "", {}), "a prompt's name"),
    (lambda: track.prompt(1, "n" * 513, {}), "at most 512"),
    (lambda: track.prompt(1, "p", ["a"]), "a dict by name"),  # type: ignore[arg-type]
    (lambda: track.prompt(1, "p", {1: "a"}), "a dict by name"),  # type: ignore[dict-item]
    (lambda: track.prompt(1, "p", {"a": object()}), "not JSON"),
    (lambda: track.prompt(1, "p", {}, 0), "version"),
    (lambda: track.prompt(1, "p", {}, True), "version"),
    (lambda: track.prompt(1, "p", {}, label=""), "label"),
    (lambda: track.group(1, 0), "group id"),
    (lambda: track.group(1, True), "group id"),
    (lambda: track.score(None, 5), "None is not a request id"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "reason"), INVALID, ids=[f"{number}" for number in range(len(INVALID))])
def test_an_invalid_follow_up_is_refused_and_not_queued(path: Path, call: Call, reason: str) -> None:
    with pytest.raises(InvalidFollowUp) as raised:
        call()
    assert reason in str(raised.value)
    assert "nothing was queued" in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, PlsyncError)
    with Journal.open(path) as journal:
        assert journal.stats().followups == 0


def test_an_unknown_record_is_an_error_at_once(path: Path) -> None:
    with pytest.raises(RecordNotFound, match="nothing was queued"):
        track.score("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b", 5)
    with Journal.open(path) as journal:
        assert journal.stats().followups == 0


def test_a_follow_up_queued_before_the_ack_is_found_by_request_id_afterwards(path: Path) -> None:
    track.score(RUN, 40)
    acknowledge(path)
    track.score(1001, 41)
    assert [payload["score"] for _, payload in queued(path, 1001)] == [40, 41]


def test_a_queued_follow_up_survives_the_process(path: Path) -> None:
    program = "import os\nfrom plsync import track\ntrack.score(4711, 7)\nos.kill(os.getpid(), 9)"
    done = programs.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    assert queued(path, 4711) == [("score", {"score": 7})]


def test_processes_queue_at_the_same_time_without_a_loss(path: Path) -> None:
    program = "import sys\nfrom plsync import track\nfor number in range(20): track.score(int(sys.argv[1]), number)"
    running = [programs.Popen([sys.executable, "-c", program, str(request)]) for request in (1, 1, 2)]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    scores = [payload["score"] for _, payload in queued(path, 1)]
    assert sorted(scores) == sorted([*range(20), *range(20)])
    assert [payload["score"] for _, payload in queued(path, 2)] == list(range(20))


def test_tracking_imports_neither_langchain_nor_the_sdk_nor_an_http_client() -> None:
    program = (
        "import sys, plsync\n"
        "plsync.track.score\n"
        "print([name for name in sys.modules if name.split('.')[0] in "
        "{'langchain_core', 'promptlayer', 'httpx', 'requests'}])"
    )
    done = programs.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_exports_track() -> None:
    assert plsync.track is track
    assert "track" in dir(plsync)
