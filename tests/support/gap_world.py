"""A world of origins, hubs and media, in which everything that can go wrong does: the model of the bundles' protocol.

The commands' own functions run in this process. PromptLayer is a dict, because each world sends hundreds of requests.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from plsync._common.clock import now_ms
from plsync.bundle.export import export_log, export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Card, Keys
from plsync.bundle.medium import bundles_in
from plsync.bundle.receive import BundleFields, apply_log, opened
from plsync.errors import BundleError
from plsync.journal.bundles import Bundles, Choice
from plsync.journal.journal import Journal
from tests.support.spooling import SpoolWriter

__all__ = ["Machines", "World"]

HUBS = ("hub-nord", "hub-sued")
_SINK = "app:on_id"


class Killed(BaseException):
    """The process was killed here."""


class PromptLayer:
    """The traces that PromptLayer has. It refuses a second log of a trace, as the real one does."""

    def __init__(self) -> None:
        self.traces: dict[str, int] = {}
        self.logs: Counter[str] = Counter()
        self.scores: Counter[tuple[int, str]] = Counter()
        self.late: list[str] = []
        self.refused: set[str] = set()

    def send(self, record_id: str) -> int | None:
        """Store a log. Returns its request id, or None if the trace is closed."""
        if record_id in self.traces:
            return None
        self.traces[record_id] = len(self.traces) + 1001
        self.logs[record_id] += 1
        return self.traces[record_id]


class Machines:
    """The keys of one origin and two hubs, which all worlds share.

    Args:
        root: an empty directory.
    """

    def __init__(self, root: Path) -> None:
        self.origin = Keys(root / "origin")
        self.hubs = {name: Keys(root / name) for name in HUBS}
        self.card = self.origin.create("berlin-lab")
        self.cards: dict[str, Card] = {}
        for name, keys in self.hubs.items():
            self.cards[name] = keys.create(name)
            self.origin.trust(self.cards[name], "hub")
            keys.trust(self.card, "origin")


class World:
    """One origin with its calls, two hubs, the media between them, and copies of all.

    Args:
        machines: the keys.
        root: an empty directory.
    """

    def __init__(self, machines: Machines, root: Path) -> None:
        self._machines = machines
        self._root = root
        self._origin = root / "journal"
        self._hubs = {name: root / name for name in HUBS}
        self._media = 0
        self._out: list[tuple[str, Path]] = []
        self._back: list[Path] = []
        self._copies: dict[str, list[Path]] = {}
        self._lane = 0
        self.promptlayer = PromptLayer()
        self.recorded = 0
        Journal.open(self._origin, create=True).close()

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
            (1, self._retry),
            (1, self._arrive_late),
        ]
        event = random.choices([event for _, event in events], [weight for weight, _ in events])[0]
        event(random)

    def settle(self, rounds: int = 4) -> None:
        """Whole round trips without a loss, after which everything must be done."""
        random = Random(0)  # noqa: S311 - no secret
        self.promptlayer.refused.clear()
        for record_id in self.promptlayer.late:
            self.promptlayer.send(record_id)
        self.promptlayer.late.clear()
        for _ in range(rounds):
            self._retry(random)
            for name in HUBS:
                for path in self._write_out(name, "unreceived"):
                    self._import_whole(name, path)
                for _ in range(3):
                    self._send(name, random, perfect=True)
                for path in self._write_back(name):
                    self._read_back(path)
            if not self._left():
                return

    def faults(self) -> dict[str, Any]:
        """The broken promises; empty in a good world."""
        found: dict[str, Any] = {}
        with Journal.open(self._origin) as journal:
            records = {record.id: record for record in journal.records(limit=None)}
            waiting = sum(sink.waiting for sink in journal.callbacks.waiting())
            stats, problems = journal.stats(), journal.check().problems
        for record_id, record in records.items():
            expected = self.promptlayer.traces.get(record_id)
            if record.request_id is None or record.request_id != expected:
                found[record_id] = (record.state, record.request_id, expected, record.last_error)
        if doubled := [record_id for record_id, number in self.promptlayer.logs.items() if number > 1]:
            found["doubled"] = doubled
        if waiting != len(records):
            found["callbacks"] = (waiting, len(records))
        if stats.followups or stats.followups_dead:
            found["follow-ups"] = (stats.followups, stats.followups_dead)
        if problems:
            found["check"] = problems
        return found

    # --- the origin ---

    def _record(self, random: Random) -> None:
        writer = SpoolWriter(self._origin)
        for _ in range(random.randint(1, 3)):
            self.recorded += 1
            writer.call("question", f"answer {self.recorded}", at=self.recorded, sink=_SINK)
        writer.close()

    def _score(self, random: Random) -> None:
        with Journal.open(self._origin) as journal:
            records = list(journal.records(limit=None))
            if records:
                journal.track.score(random.choice(records).id, random.randint(0, 100), f"s{random.random()}")

    def _retry(self, _: Random) -> None:
        with Journal.open(self._origin) as journal:
            journal.outbox.requeue([record.seq for record in journal.records(state=("dead", "held"), limit=None)])
            journal.followups.requeue()

    def _export(self, random: Random) -> None:
        name = random.choice((*HUBS[:1] * 3, HUBS[1]))
        choice: Choice = random.choices(("unreceived", "new", "again"), (12, 1, 1))[0]
        killed = random.random() < 0.1
        patch = mock.patch.object(Bundles, "written", lambda *_: None) if killed else contextlib.nullcontext()
        with patch:
            self._out += [(name, path) for path in self._write_out(name, choice)]

    def _write_out(self, name: str, choice: Choice) -> list[Path]:
        with Journal.open(self._origin) as journal:
            card, medium = self._machines.cards[name], self._medium()
            report = export_records(journal, self._machines.origin, card, medium, encrypt=False, choice=choice)
        return [file.path for file in report.files]

    def _read(self, random: Random) -> None:
        if self._back:
            self._read_back(random.choice(self._back))

    def _read_back(self, path: Path) -> None:
        keys = self._machines.origin
        with Journal.open(self._origin) as journal, opened(path, keys, self._root / "inbox") as bundle:
            apply_log(bundle, journal, keys)

    # --- the hubs ---

    def _import(self, random: Random) -> None:
        if not self._out:
            return
        name, path = random.choice(self._out)
        if random.random() < 0.15:
            with mock.patch.object(Bundles, "raise_rounds", side_effect=Killed), contextlib.suppress(Killed):
                self._import_whole(name, path)
        else:
            self._import_whole(name, path)

    def _import_whole(self, name: str, path: Path) -> None:
        hub = Hub(self._hubs[name])
        with opened(path, self._machines.hubs[name], self._root / "inbox") as bundle:
            hub.prepare(hub.origin_of(BundleFields.of(bundle)))
            hub.import_records(bundle)

    def _run(self, random: Random) -> None:
        self._send(random.choice(HUBS), random, perfect=False)

    def _send(self, name: str, random: Random, *, perfect: bool) -> None:
        for journal in self._journals(name):
            with journal:
                self._send_from(journal, random, perfect=perfect)

    def _send_from(self, journal: Journal, random: Random, *, perfect: bool) -> None:
        promptlayer, now = self.promptlayer, now_ms()
        for record in journal.outbox.in_doubt(1000, now):
            if (found := promptlayer.traces.get(record.id)) is not None:
                journal.outbox.ack([(record.seq, found)])
            else:
                journal.outbox.release([record.seq], 0, "not found")
        for record in journal.outbox.lease(1000, 60_000, now):
            chance = 1.0 if perfect else random.random()
            if chance < 0.3:
                journal.outbox.release([record.seq], 0, "not sent")
            elif chance < 0.4:
                promptlayer.late.append(record.id)
                journal.outbox.park([record.seq], "in_doubt", "no response")
            elif chance < 0.5:
                promptlayer.refused.add(record.id)
                journal.outbox.park([record.seq], "dead", "422")
            elif (request_id := promptlayer.send(record.id)) is None or chance < 0.65:
                journal.outbox.park([record.seq], "in_doubt", "no response")
            else:
                journal.outbox.ack([(record.seq, request_id)])
        while followups := journal.followups.claim(100, 60_000, now):
            for followup in followups:
                assert followup.request_id is not None
                promptlayer.scores[followup.request_id, str(followup.payload)] += 1
            journal.followups.done(followups)

    def _report(self, random: Random) -> None:
        self._back += self._write_back(random.choice(HUBS))

    def _write_back(self, name: str) -> list[Path]:
        hub, paths = Hub(self._hubs[name]), []
        for origin in hub.origins():
            with Journal.open(hub.journal(origin), create=True) as journal:
                keys = self._machines.hubs[name]
                report = export_log(journal, origin.journal_id, keys, self._machines.card, self._medium())
                paths += [file.path for file in report.files]
        return paths

    def _journals(self, name: str) -> Iterator[Journal]:
        hub = Hub(self._hubs[name])
        for origin in hub.origins():
            yield Journal.open(hub.journal(origin), create=True)

    # --- disasters ---

    def _lose(self, random: Random) -> None:
        if self._out:
            self._out.pop(random.randrange(len(self._out)))
        if self._back and random.random() < 0.5:
            self._back.pop(random.randrange(len(self._back)))

    def _copy(self, random: Random) -> None:
        name = random.choice(("journal", *HUBS))
        if self._place(name).exists():
            copy = self._medium() / name
            shutil.copytree(self._place(name), copy)
            self._copies.setdefault(name, []).append(copy)

    def _put_back(self, random: Random) -> None:
        if not self._copies:
            return
        name = random.choice(sorted(self._copies))
        # A new path: this process has written to the old one, and each command would be a new process.
        place = self._medium() / name
        shutil.copytree(random.choice(self._copies[name][-3:]), place)
        if name == "journal":
            self._origin = place
        else:
            self._hubs[name] = place

    def _place(self, name: str) -> Path:
        return self._origin if name == "journal" else self._hubs[name]

    def _tamper(self, random: Random) -> None:
        if not self._out:
            return
        name, path = random.choice(self._out)
        directory = self._medium()
        shutil.copytree(path.parent, directory, dirs_exist_ok=True)
        [changed] = bundles_in([directory])
        content = bytearray(changed.read_bytes())
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        changed.write_bytes(content)
        try:
            self._import_whole(name, changed)
        except BundleError:
            return
        raise AssertionError("a changed bundle was accepted")

    def _arrive_late(self, random: Random) -> None:
        if self.promptlayer.late:
            late = self.promptlayer.late
            self.promptlayer.send(late.pop(random.randrange(len(late))))

    # --- helpers ---

    def _medium(self) -> Path:
        self._media += 1
        directory = self._root / f"medium-{self._media}"
        directory.mkdir()
        return directory

    def _left(self) -> bool:
        with Journal.open(self._origin) as journal:
            stats = journal.stats()
        return stats.states["acked"] < stats.records or bool(stats.followups)
