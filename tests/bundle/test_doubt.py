"""A record that another machine may have sent is looked up first, also after any loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from plsync.bundle.hub import Hub
from plsync.bundle.receive import opened
from plsync.errors import JournalError
from plsync.journal.journal import Journal
from tests.support.gap import Gap


def park(path: Path, state: str, reason: str = "no response") -> None:
    with Journal.open(path) as journal:
        for record in journal.records(state="pending"):
            journal.outbox.park([record.seq], state, reason)  # type: ignore[arg-type]


def hub_states(gap: Gap) -> dict[str, str]:
    with Journal.open(gap.journals / "berlin-lab") as journal:
        return {record.id: record.state for record in journal.records(limit=None)}


def test_a_record_that_comes_again_in_doubt_is_looked_up(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    assert hub_states(gap) == {record_id: "pending"}
    with Journal.open(gap.journal) as journal:
        # A run here took it back, sent it, and got no response.
        journal.bundles.take_back()
    gap.out()
    gap.into_hub()
    assert hub_states(gap) == {record_id: "in_doubt"}


def test_the_marks_of_a_killed_import_survive_the_next_import(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    park(gap.journal, "in_doubt")
    gap.out()
    hub, [path] = Hub(gap.journals), list(gap.stick.glob("*.age"))
    with opened(path, gap.hub_keys, hub.inbox) as bundle, monkeypatch.context() as patched:
        # Killed after the records, and before they were in doubt.
        patched.setattr(Hub, "settle", lambda *_: (_ for _ in ()).throw(JournalError("killed")))
        with pytest.raises(JournalError):
            hub.import_records(bundle)
    assert set(hub_states(gap).values()) == {"pending"}
    second = gap.record(1)
    gap.empty_stick()
    gap.out("--new")
    gap.into_hub()
    found = hub_states(gap)
    assert (found.pop(second[0]), set(found.values())) == ("pending", {"in_doubt"})
    assert not list(gap.journals.glob("*.doubt"))
