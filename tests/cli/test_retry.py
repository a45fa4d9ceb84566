"""``plsync retry``: dead and held records, refused follow-ups, failed callbacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from plsync.journal import Journal
from plsync.journal.followups import FailedFollowUp
from tests.support.calls import states, write_calls
from tests.support.commands import json_lines, printed, run


@pytest.fixture
def refused(tmp_path: Path) -> tuple[Path, list[str]]:
    """A journal with a dead, a held and a pending record; their ids."""
    path = tmp_path / "journal"
    path.mkdir(mode=0o700)
    ids = write_calls(path, 3)
    with Journal.open(path) as journal:
        dead, held, _ = (journal.get(record_id) for record_id in ids)
        journal.outbox.park([dead.seq], "dead", "refused")
        journal.outbox.park([held.seq], "held", "decide")
    return path, ids


def test_a_named_record_becomes_pending(refused: tuple[Path, list[str]]) -> None:
    path, (dead, held, _) = refused
    assert "1 record to retry in the next `plsync run`." in printed(path, "retry", dead)
    assert (states(path)[dead], states(path)[held]) == ("pending", "held")


def test_all_records_of_a_state_become_pending(refused: tuple[Path, list[str]]) -> None:
    path, (dead, held, _) = refused
    assert json_lines(path, "retry", "--state", "held") == [{"records": 1, "followups": 0, "callbacks": 0}]
    assert (states(path)[dead], states(path)[held]) == ("dead", "pending")


def test_a_pending_record_needs_no_retry(refused: tuple[Path, list[str]]) -> None:
    path, (*_, pending) = refused
    assert "Nothing to retry" in printed(path, "retry", pending)


def test_the_refused_follow_ups_of_a_named_record_are_retried(refused: tuple[Path, list[str]]) -> None:
    path, (record_id, *_) = refused
    with Journal.open(path) as journal:
        journal.outbox.requeue([journal.get(record_id).seq])
        journal.track.score(record_id, 90)
        journal.outbox.ack([(journal.get(record_id).seq, 7)])
        (followup,) = journal.followups.claim(1, 1000, 0)
        journal.followups.failed([FailedFollowUp(followup.key, "no", 0, dead=True)])
    assert json_lines(path, "retry", record_id) == [{"records": 0, "followups": 1, "callbacks": 0}]


@pytest.mark.parametrize("arguments", [[], ["--state", "acked"]])
def test_wrong_arguments_exit_with_2(refused: tuple[Path, list[str]], arguments: list[str]) -> None:
    assert run(refused[0], "retry", *arguments).returncode == 2


def test_an_unknown_record_is_an_error(refused: tuple[Path, list[str]]) -> None:
    assert run(refused[0], "retry", "00000000").returncode == 1
