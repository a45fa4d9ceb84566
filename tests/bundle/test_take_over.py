"""A machine that has lost its keys, or is replaced by another one, keeps its journals."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plsync.bundle.hub import Hub
from plsync.bundle.keys import Card, Keys
from plsync.errors import BundleError
from tests.support.gap import Gap


def new_keys(gap: Gap, side: Path, name: str, role: str) -> Card:
    """The machine of a side has lost its keys, and makes others."""
    trusted = Keys(side / "keys").trusted()
    shutil.rmtree(side / "keys")
    keys = Keys(side / "keys")
    card = keys.create(name)
    for found in trusted:
        keys.trust(found.card, found.role)
    (gap.stick / f"{name}.card").write_text(card.text)
    assert role in ("origin", "hub")
    return card


def trust(gap: Gap, side: Path, card: Card, role: str, *more: str, code: int = 0) -> None:
    arguments = ["keys", "trust", str(gap.stick / f"{card.name}.card"), "--role", role]
    gap.at(side, *arguments, "--fingerprint", card.fingerprint, *more, code=code)


@pytest.mark.parametrize("name", ["berlin-lab", "lab2"])
def test_an_origin_with_other_keys_keeps_its_journal_at_the_hub(gap: Gap, name: str) -> None:
    gap.record(1)
    gap.out()
    gap.into_hub()
    gap.empty_stick()
    card = new_keys(gap, gap.lab, name, "origin")
    if name == "berlin-lab":
        trust(gap, gap.hub, card, "origin", code=1)
        assert "is trusted already, and its key" in gap.errors
        assert "use --takes-over berlin-lab" in gap.errors
        Keys(gap.hub / "keys").distrust(name)
    trust(gap, gap.hub, card, "origin")
    gap.record(1)
    gap.out()
    gap.into_hub(code=1)
    assert "belongs to berlin-lab, and " in gap.errors
    assert "--takes-over berlin-lab" in gap.errors
    if name == "berlin-lab":
        # A machine that is trusted no longer cannot be taken over: a person has removed it.
        trust(gap, gap.hub, card, "origin", "--takes-over", "nobody", code=1)
        assert "nobody is not trusted here as an origin" in gap.errors
        return
    trust(gap, gap.hub, card, "origin", "--takes-over", "berlin-lab")
    assert [found.card.name for found in Keys(gap.hub / "keys").trusted()] == ["lab2"]
    assert gap.into_hub()[0]["new"] == 1
    [origin] = Hub(gap.journals).origins()
    assert (origin.directory, origin.name, origin.key_id) == ("berlin-lab", "lab2", card.key_id)
    gap.deliver()
    assert len(gap.server.request_logs) == 2
    gap.back()
    assert gap.into_lab()[0]["new"] == 2


def test_an_origin_of_the_same_name_takes_over(gap: Gap) -> None:
    gap.record(1)
    gap.out()
    gap.into_hub()
    gap.empty_stick()
    card = new_keys(gap, gap.lab, "berlin-lab", "origin")
    trust(gap, gap.hub, card, "origin", "--takes-over", "berlin-lab")
    gap.record(1)
    gap.out()
    assert gap.into_hub()[0]["new"] == 1


def test_two_rotations_between_two_sticks_are_one_machine(gap: Gap) -> None:
    gap.record(1)
    gap.out()
    gap.into_hub()
    for _ in range(2):
        gap.lab_keys.trust(gap.hub_keys.rotate(), "hub")
        gap.hub_keys.trust(gap.lab_keys.rotate(), "origin")
    gap.empty_stick()
    gap.record(1)
    # The hub keeps its number: nothing is looked up as if another hub had it.
    [report] = gap.out()
    assert (report["records"], report["doubtful"]) == (2, 0)
    assert gap.into_hub()[0]["new"] == 1
    gap.deliver()
    gap.back()
    assert gap.into_lab()[0]["new"] == 2
    assert len(Hub(gap.journals).origins()) == 1


def test_a_hub_with_other_keys_is_the_same_hub(gap: Gap) -> None:
    gap.record(1)
    gap.out()
    gap.into_hub()
    gap.empty_stick()
    card = new_keys(gap, gap.hub, "hub-sued", "hub")
    trust(gap, gap.lab, card, "hub", "--takes-over", "hub-nord")
    [report] = gap.out()
    assert (report["records"], report["doubtful"], report["to"]) == (1, 0, "hub-sued")
    gap.into_hub()
    gap.deliver()
    gap.back()
    assert gap.into_lab()[0]["new"] == 1


def test_earlier_keys_are_forgotten_with_their_machine(tmp_path: Path) -> None:
    keys, theirs = Keys(tmp_path / "keys"), Keys(tmp_path / "theirs")
    first = theirs.create("hub-nord")
    keys.trust(first, "hub")
    second = theirs.rotate()
    assert keys.trust(second, "hub").earlier == (first.key_id,)
    # The same card again forgets nothing.
    assert keys.trust(second, "hub").earlier == (first.key_id,)
    assert keys.earlier(second.key_id, "hub") == (first.key_id,)
    keys.distrust("hub-nord")
    assert not [path for path in keys.path.iterdir() if "hub-nord" in path.name]
    with pytest.raises(BundleError, match="is not trusted here as a hub"):
        keys.trust(second, "hub", takes_over="hub-nord")
