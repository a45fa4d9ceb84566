"""A world of origins, hubs and media, in which everything goes wrong: the model of the protocol of bundles."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from unittest import mock

import pytest

from plsync.bundle import medium
from plsync.bundle.medium import bundles_in
from plsync.errors import BundleError
from plsync.journal.bundles import Bundles, Choice
from tests.support.gap_machines import HUBS, LABS, HubMachine, Lab, Machines, PromptLayer

__all__ = ["World"]


class World:
    """Origins with their calls, two hubs, the media between them, and copies of all.

    Args:
        machines: the keys.
        root: an empty directory.
        labs: the number of origins.
    """

    def __init__(self, machines: Machines, root: Path, labs: int) -> None:
        self._root = root
        self._media = 0
        self._labs = {name: Lab(machines, name, root / name) for name in LABS[:labs]}
        self._hubs = {name: HubMachine(machines, name, root / name) for name in HUBS}
        self._out: list[tuple[str, Path]] = []
        self._back: list[tuple[str, Path]] = []
        self._recorded: dict[str, set[str]] = {name: set() for name in self._labs}
        self.promptlayer = PromptLayer()

    def step(self, random: Random) -> None:
        """One event."""
        events: list[tuple[int, Callable[[Random], object]]] = [
            (5, self._record),
            (2, self._score),
            (4, self._export),
            (5, self._import),
            (4, self._run),
            (3, self._report),
            (5, self._read),
            (2, self._lose),
            (1, self._copy),
            (1, self._put_back),
            (1, self._tamper),
            (1, self._deliver_wrongly),
            (1, self._retry),
            (1, self._arrive_late),
            (1, self._connect),
            (2, self._fetch),
            (1, self._lose_templates),
        ]
        event = random.choices([event for _, event in events], [weight for weight, _ in events])[0]
        event(random)

    def settle(self, rounds: int = 5) -> None:
        """Whole round trips without a loss, after which everything must be done."""
        random = Random(0)  # noqa: S311 - no secret
        for record_id in self.promptlayer.late:
            self.promptlayer.send(record_id)
        self.promptlayer.late.clear()
        for _ in range(rounds):
            waiting = [lab for lab in self._labs.values() if not lab.is_done or self._lacks_templates(lab)]
            if not waiting:
                break
            for hub in self._hubs.values():
                for lab in waiting:
                    lab.retry()
                    self._carry_out(lab, hub)
                for _ in range(3):
                    hub.serve(self.promptlayer, random, perfect=True)
                for name, path in hub.report(self._medium):
                    self._labs[name].read(path)
        # Each origin states the templates that it keeps.
        for hub in self._hubs.values():
            for lab in self._labs.values():
                self._carry_out(lab, hub)

    def _carry_out(self, lab: Lab, hub: HubMachine) -> None:
        for path in lab.export(hub.name, "unreceived", self._medium()):
            hub.read(path)

    def _lacks_templates(self, lab: Lab) -> bool:
        """Whether an origin lacks the templates of a hub that got its bundles."""
        hubs = [hub for hub in self._hubs.values() if lab.name in hub.origins()]
        return any(lab.templates(hub.name) != hub.templates() for hub in hubs)

    def faults(self) -> dict[str, object]:
        """The broken promises; empty in a good world."""
        found: dict[str, object] = {}
        for lab in self._labs.values():
            found |= lab.faults(self.promptlayer)
            if self._lacks_templates(lab):
                found[f"templates at {lab.name}"] = [lab.templates(name) for name in HUBS]
            if older := [each for each in lab.replaced if not self._hubs[each[0]].is_put_back]:
                found[f"older templates at {lab.name}"] = older
        for hub in self._hubs.values():
            found |= hub.faults(self._recorded)
        return found

    # --- the usual events ---

    def _lab(self, random: Random) -> Lab:
        return self._labs[random.choice(sorted(self._labs))]

    def _hub(self, random: Random) -> HubMachine:
        return self._hubs[random.choice(HUBS)]

    def _record(self, random: Random) -> None:
        lab = self._lab(random)
        lab.record(random)
        self._recorded[lab.name] |= lab.records

    def _score(self, random: Random) -> None:
        self._lab(random).score(random)

    def _retry(self, random: Random) -> None:
        machine = random.choice((self._lab(random), self._hub(random)))
        machine.retry()

    def _export(self, random: Random) -> None:
        lab, name = self._lab(random), random.choice((*HUBS[:1] * 3, HUBS[1]))
        choice: Choice = random.choices(("unreceived", "new", "again"), (12, 1, 1))[0]
        with contextlib.ExitStack() as stack:
            chance = random.random()
            if chance < 0.1:
                # Killed behind the file.
                stack.enter_context(mock.patch.object(Bundles, "written", lambda *_: None))
            elif chance < 0.2:
                # Killed before the file, or the medium is full.
                if chance < 0.15:
                    stack.enter_context(mock.patch.object(Bundles, "failed", lambda *_: None))
                stack.enter_context(mock.patch.object(medium, "write", side_effect=BundleError("no space")))
                stack.enter_context(contextlib.suppress(BundleError))
            self._out += [(name, path) for path in lab.export(name, choice, self._medium())]

    def _import(self, random: Random) -> None:
        if self._out:
            name, path = random.choice(self._out)
            if random.random() < 0.15:
                self._hubs[name].read_until_killed(path, random)
            else:
                self._hubs[name].read(path)

    def _run(self, random: Random) -> None:
        self._hub(random).serve(self.promptlayer, random, perfect=False)

    def _report(self, random: Random) -> None:
        self._back += self._hub(random).report(self._medium)

    def _read(self, random: Random) -> None:
        if self._back:
            name, path = random.choice(self._back)
            self._labs[name].read(path, is_killed=random.random() < 0.1)

    def _fetch(self, random: Random) -> None:
        self._hub(random).fetch(random)

    def _connect(self, random: Random) -> None:
        self._lab(random).serve(self.promptlayer, random)

    # --- disasters ---

    def _lose(self, random: Random) -> None:
        if self._out:
            self._out.pop(random.randrange(len(self._out)))
        if self._back and random.random() < 0.5:
            self._back.pop(random.randrange(len(self._back)))

    def _lose_templates(self, random: Random) -> None:
        self._lab(random).lose_templates()

    def _copy(self, random: Random) -> None:
        random.choice((self._lab(random), self._hub(random))).copy(self._medium())

    def _put_back(self, random: Random) -> None:
        random.choice((self._lab(random), self._hub(random))).put_back(random)

    def _tamper(self, random: Random) -> None:
        """Change a bit of a bundle or of its signature, cut it, or exchange its signature."""
        media = [(self._hubs[name].read, path) for name, path in self._out]
        media += [(self._labs[name].read, path) for name, path in self._back]
        if not media:
            return
        read, path = random.choice(media)
        directory = self._medium()
        shutil.copytree(path.parent, directory, dirs_exist_ok=True)
        [changed] = bundles_in([directory])
        signature = changed.with_name(f"{changed.name}.minisig")
        other = random.choice(media)[1]
        kind = random.randrange(4)
        if kind == 3 and other != path:
            shutil.copy(other.with_name(f"{other.name}.minisig"), signature)
        elif kind == 2:
            changed.write_bytes(changed.read_bytes()[: -random.randint(1, 512)])
        else:
            file = (changed, signature)[kind % 2]
            content = bytearray(file.read_bytes())
            # The untrusted comment has no meaning, and the last line may lack its line feed.
            first = content.index(b"\n") + 1 if file == signature else 0
            content[random.randrange(first, len(content) - 1)] ^= 1 << random.randrange(8)
            file.write_bytes(content)
        with pytest.raises(BundleError):
            read(changed)

    def _deliver_wrongly(self, random: Random) -> None:
        """A bundle reaches another machine, which refuses it."""
        wrong: list[tuple[Callable[[Path], None], Path]] = []
        for name, path in self._out:
            wrong += [(hub.read, path) for hub in self._hubs.values() if hub.name != name]
            wrong += [(lab.read, path) for lab in self._labs.values()]
        for name, path in self._back:
            wrong += [(hub.read, path) for hub in self._hubs.values()]
            wrong += [(lab.read, path) for lab in self._labs.values() if lab.name != name]
        if wrong:
            read, path = random.choice(wrong)
            with pytest.raises(BundleError):
                read(path)

    def _arrive_late(self, random: Random) -> None:
        if self.promptlayer.late:
            late = self.promptlayer.late
            self.promptlayer.send(late.pop(random.randrange(len(late))))

    def _medium(self) -> Path:
        self._media += 1
        directory = self._root / f"medium-{self._media}"
        directory.mkdir()
        return directory
