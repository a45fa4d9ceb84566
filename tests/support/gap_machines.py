"""The machines of a world: origins, hubs and PromptLayer. The commands' own functions run in this process."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from plsync._common.clock import now_ms
from plsync.bundle.export import export_log, export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Card, Keys
from plsync.bundle.receive import BundleFields, apply_log, opened, sender_of
from plsync.cli.bundle_templates import TemplatesOfHub, keep_templates, kept_templates, note_stated_templates
from plsync.journal.bundles import Choice
from plsync.journal.followups import FailedFollowUp
from plsync.journal.journal import Journal
from plsync.journal.record import Record
from plsync.promptlayer.settings import DEFAULT_BASE_URL
from plsync.prompts.cache import TemplateCache
from plsync.prompts.template_key import TemplateKey
from tests.support.spooling import SpoolWriter

__all__ = ["HUBS", "LABS", "HubMachine", "Killed", "Lab", "Machines", "PromptLayer"]

LABS = ("berlin-lab", "oslo-lab", "ulm-lab")
HUBS = ("hub-nord", "hub-sued")
_SINK = "app:on_id"
_KEY = "pl_world"
# The template whose version is the number of changes of a set.
_EDITION = TemplateKey("edition")


@contextlib.contextmanager
def _templates_in(directory: Path, **variables: str) -> Iterator[None]:
    with mock.patch.dict(os.environ, {"PLSYNC_PROMPTS": str(directory), **variables}):
        yield


def _contents(cache: TemplateCache) -> dict[TemplateKey, dict[str, Any]]:
    return {entry.key: entry.response for entry in cache.entries()}


class Killed(BaseException):
    """The process was killed here."""


class PromptLayer:
    """The traces that PromptLayer has. It refuses a second log of a trace, as the real one does."""

    def __init__(self) -> None:
        self.traces: dict[str, int] = {}
        self.scores: set[tuple[int, str]] = set()
        self.late: list[str] = []

    def send(self, record_id: str) -> int | None:
        """Store a log. Returns its request id, or None if the trace is closed."""
        if record_id in self.traces:
            return None
        self.traces[record_id] = len(self.traces) + 1001
        return self.traces[record_id]

    def serve(self, journal: Journal, random: Random, *, perfect: bool) -> None:
        """Send the records and follow-ups of a journal, as `plsync run` does. Only a perfect link loses nothing."""
        now = now_ms()
        for record in journal.outbox.in_doubt(1000, now):
            if (found := self.traces.get(record.id)) is not None:
                journal.outbox.ack([(record.seq, found)])
            else:
                journal.outbox.release([record.seq], 0, "not found")
        for record in journal.outbox.lease(1000, 60_000, now):
            self._receive(journal, record, 1.0 if perfect else random.random())
        while followups := journal.followups.claim(100, 60_000, now):
            for followup in followups:
                assert followup.request_id is not None
                if perfect or random.random() < 0.7:
                    self.scores.add((followup.request_id, str(followup.payload["name"])))
                    journal.followups.done([followup])
                else:
                    journal.followups.failed([FailedFollowUp(followup.key, "400", 0, dead=True)])

    def _receive(self, journal: Journal, record: Record, chance: float) -> None:
        if chance < 0.25:
            journal.outbox.release([record.seq], 0, "not sent")
        elif chance < 0.4:
            self.late.append(record.id)
            journal.outbox.park([record.seq], "in_doubt", "no response")
        elif chance < 0.5:
            journal.outbox.park([record.seq], "dead" if chance < 0.45 else "held", "422")
        elif (request_id := self.send(record.id)) is None or chance < 0.65:
            journal.outbox.park([record.seq], "in_doubt", "no response")
        else:
            journal.outbox.ack([(record.seq, request_id)])


@dataclass
class Machines:
    """The keys of the origins and the hubs, which all worlds share.

    Args:
        root: an empty directory.
    """

    root: Path
    labs: dict[str, Keys] = field(default_factory=dict)
    hubs: dict[str, Keys] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for names, group in ((LABS, self.labs), (HUBS, self.hubs)):
            for name in names:
                group[name] = Keys(self.root / name)
                self.cards[name] = group[name].create(name)
        for lab, keys in self.labs.items():
            for hub, hub_keys in self.hubs.items():
                keys.trust(self.cards[hub], "hub")
                hub_keys.trust(self.cards[lab], "origin")


class Lab:
    """An origin: its journal, and all that a user did with it.

    Args:
        machines: the keys.
        name: its name.
        path: the journal, which is made.
    """

    def __init__(self, machines: Machines, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._machines = machines
        self._keys = machines.labs[name]
        self._prompts = path.with_name(f"{name}-prompts")
        self._copies: list[tuple[Path, set[str], dict[str, str]]] = []
        self.replaced: list[tuple[str, int, int]] = []
        """The hubs, and the editions, of templates that an older set has replaced."""
        self.records: set[str] = set()
        self.scores: dict[str, str] = {}
        """The record of each score, by the name of the score."""
        Journal.open(path, create=True).close()

    def record(self, random: Random) -> None:
        """Record calls."""
        writer = SpoolWriter(self.path)
        for number in range(random.randint(1, 3)):
            self.records.add(writer.call("question", f"answer {number}", at=number + 1, sink=_SINK))
        writer.close()

    def score(self, random: Random) -> None:
        """Queue a score."""
        if self.records:
            record_id, name = random.choice(sorted(self.records)), f"s{random.random()}"
            with Journal.open(self.path) as journal:
                journal.track.score(record_id, random.randint(0, 100), name)
            self.scores[name] = record_id

    def retry(self) -> None:
        """Send refused and held records and refused scores again."""
        with Journal.open(self.path) as journal:
            journal.outbox.requeue([record.seq for record in journal.records(state=("dead", "held"), limit=None)])
            journal.followups.requeue()

    def export(self, hub: str, choice: Choice, medium: Path) -> list[Path]:
        """Write bundles for a hub."""
        keys, card = self._keys, self._machines.cards[hub]
        with Journal.open(self.path) as journal, _templates_in(self._prompts):
            templates = kept_templates(journal, hub)
            report = export_records(journal, keys, card, medium, encrypt=False, choice=choice, templates=templates)
            if report.files:
                note_stated_templates(journal, hub, templates)
        return [file.path for file in report.files]

    def read(self, path: Path, *, is_killed: bool = False) -> None:
        """Read a log and templates. The process may be killed between both."""
        keys = self._keys
        with Journal.open(self.path) as journal, opened(path, keys, keys.path / "inbox") as bundle:
            fields = BundleFields.of(bundle)
            hub, before = sender_of(bundle, journal, keys), self._edition(fields.signer)
            with _templates_in(self._prompts):
                keep_templates(bundle, fields, journal, hub)
            if (now := self._edition(fields.signer)) < before:
                self.replaced.append((fields.signer, before, now))
            if not is_killed:
                apply_log(bundle, journal, keys)

    def templates(self, hub: str) -> dict[TemplateKey, dict[str, Any]]:
        """The responses that the origin keeps from a hub."""
        return _contents(self._cache(hub))

    def lose_templates(self) -> None:
        """The directory of the templates is lost."""
        shutil.rmtree(self._prompts, ignore_errors=True)

    def _cache(self, hub: str) -> TemplateCache:
        return TemplateCache.of_hub(self._prompts, DEFAULT_BASE_URL, hub, None)

    def _edition(self, hub: str) -> int:
        found = self._cache(hub).get(_EDITION)
        return 0 if found is None else int(found.response["version"])

    def serve(self, promptlayer: PromptLayer, random: Random) -> None:
        """The origin has a network for a while."""
        with Journal.open(self.path) as journal:
            if random.random() < 0.5:
                journal.bundles.take_back()
            promptlayer.serve(journal, random, perfect=False)

    def copy(self, directory: Path) -> None:
        """Copy the journal and the templates."""
        shutil.copytree(self.path, directory / "journal")
        if self._prompts.exists():
            shutil.copytree(self._prompts, directory / "prompts")
        self._copies.append((directory / "journal", set(self.records), dict(self.scores)))

    def put_back(self, random: Random) -> None:
        """Put a copy in the place of the journal, and at times of the templates. Later records are lost."""
        if self._copies:
            copy, records, scores = random.choice(self._copies[-3:])
            shutil.rmtree(self.path)
            shutil.copytree(copy, self.path)
            self.records, self.scores = set(records), dict(scores)
            if random.random() < 0.5:
                self.lose_templates()
                if (templates := copy.with_name("prompts")).exists():
                    shutil.copytree(templates, self._prompts)

    @property
    def is_done(self) -> bool:
        """Whether every record has its request id, and every score was sent."""
        with Journal.open(self.path) as journal:
            stats = journal.stats()
        return stats.states["acked"] == stats.records and not stats.followups + stats.followups_dead

    def faults(self, promptlayer: PromptLayer) -> dict[str, object]:
        """The broken promises."""
        found: dict[str, object] = {}
        with Journal.open(self.path) as journal:
            records = {record.id: record for record in journal.records(limit=None)}
            waiting = sum(sink.waiting for sink in journal.callbacks.waiting())
            stats, problems = journal.stats(), journal.check().problems
        if set(records) != self.records:
            found["records"] = self.records ^ set(records)
        for record_id, record in records.items():
            expected = promptlayer.traces.get(record_id)
            if record.request_id is None or record.request_id != expected:
                found[record_id] = (record.state, record.request_id, expected, record.last_error)
        if waiting != len(records):
            found["callbacks"] = (waiting, len(records))
        if stats.followups or stats.followups_dead:
            found["follow-ups"] = (stats.followups, stats.followups_dead)
        expected_scores = {(promptlayer.traces.get(record_id), name) for name, record_id in self.scores.items()}
        if missing := expected_scores - promptlayer.scores:
            found["scores"] = missing
        if problems:
            found["check"] = problems
        return found


class HubMachine:
    """A hub.

    Args:
        machines: the keys.
        name: its name.
        path: its directory, which may be missing.
    """

    def __init__(self, machines: Machines, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._machines = machines
        self._keys = machines.hubs[name]
        self._prompts = path.with_name(f"{name}-prompts")
        self._copies: list[Path] = []
        self._editions = 0
        self.is_put_back = False
        """Whether the whole machine was put back: the numbers of its exports repeat."""

    def read(self, path: Path) -> None:
        """Read a bundle."""
        hub = Hub(self.path)
        with opened(path, self._keys, hub.inbox, is_kept=True) as bundle:
            hub.prepare(hub.origin_of(BundleFields.of(bundle)))
            hub.import_records(bundle)

    def read_until_killed(self, path: Path, random: Random) -> None:
        """Read a bundle in a process that is killed on the way. Its private copy may stay."""
        inbox, kept = self.path / "inbox", self.path.with_name(f"{self.path.name}-kept")

        def kill(*_: object) -> None:
            shutil.copytree(inbox, kept)
            raise Killed

        at = random.choice(("settle", "raise_rounds", "missing_in"))
        owner = {"settle": "plsync.bundle.hub.Hub", "raise_rounds": "plsync.journal.bundles.Bundles"}
        target = f"{owner.get(at, 'plsync.bundle.hub')}.{at}"
        with mock.patch(target, kill), contextlib.suppress(Killed):
            self.read(path)
        if kept.exists():
            if random.random() < 0.5:
                shutil.copytree(kept, inbox, dirs_exist_ok=True)
            shutil.rmtree(kept)

    def serve(self, promptlayer: PromptLayer, random: Random, *, perfect: bool) -> None:
        """A turn of `plsync run --hub` for each journal."""
        hub = Hub(self.path)
        hub.resume(self._keys, lambda _: contextlib.nullcontext())
        for origin in hub.origins():
            if not hub.is_settled(origin):
                hub.prepare(origin)
                hub.settle(origin)
            with Journal.open(hub.journal(origin), create=True) as journal:
                promptlayer.serve(journal, random, perfect=perfect)

    def retry(self) -> None:
        """A person sends the refused records again here."""
        for journal in self._journals():
            with journal:
                journal.outbox.requeue([record.seq for record in journal.records(state=("dead", "held"), limit=None)])
                journal.followups.requeue()

    def report(self, medium: Callable[[], Path]) -> list[tuple[str, Path]]:
        """Write the log and the templates for each origin."""
        hub, written = Hub(self.path), []
        with self._with_key():
            templates = TemplatesOfHub(hub)
            for origin in hub.origins():
                found = templates.waiting(origin, again=False)
                with Journal.open(hub.journal(origin), create=True) as journal:
                    card = self._machines.cards[origin.name]
                    report = export_log(journal, origin.journal_id, self._keys, card, medium(), templates=found)
                    written += [(origin.name, file.path) for file in report.files]
        return written

    def fetch(self, random: Random) -> None:
        """Fetch templates, of which some are new, changed or gone."""
        cache = TemplateCache.for_account(self._prompts, DEFAULT_BASE_URL, _KEY)
        self._editions += 1
        chosen = [_EDITION, *(TemplateKey(name) for name in ("greeting", "farewell") if random.random() < 0.7)]
        for key in chosen:
            cache.put(key, {"prompt_name": key.name, "version": self._editions, "prompt_template": {}})
        cache.keep_only(chosen)

    def templates(self) -> dict[TemplateKey, dict[str, Any]]:
        """The responses of the templates that the hub has fetched."""
        return _contents(TemplateCache.for_account(self._prompts, DEFAULT_BASE_URL, _KEY))

    def origins(self) -> list[str]:
        """The names of the origins whose bundles have arrived."""
        return [origin.name for origin in Hub(self.path).origins()]

    def _with_key(self) -> contextlib.AbstractContextManager[None]:
        return _templates_in(self._prompts, PROMPTLAYER_API_KEY=_KEY)

    def copy(self, directory: Path) -> None:
        """Copy the directory of the hub, and the number of its last export."""
        if self.path.exists():
            shutil.copytree(self.path, directory / self.name)
            if (serial := self._keys.path / "serial").exists():
                shutil.copy(serial, directory)
            self._copies.append(directory / self.name)

    def put_back(self, random: Random) -> None:
        """Put a copy in the place of the hub's directory, or begin anew. At times the whole machine is put back."""
        if self._copies:
            shutil.rmtree(self.path, ignore_errors=True)
            if random.random() < 0.8:
                shutil.copytree(copy := random.choice(self._copies[-3:]), self.path)
                if random.random() < 0.3 and (serial := copy.with_name("serial")).exists():
                    shutil.copy(serial, self._keys.path)
                    self.is_put_back = True

    def faults(self, recorded: dict[str, set[str]]) -> dict[str, object]:
        """The broken promises. ``recorded`` has all records that each origin ever recorded."""
        found: dict[str, object] = {}
        hub = Hub(self.path)
        for origin in hub.origins():
            with Journal.open(hub.journal(origin), create=True) as journal:
                foreign = {record.id for record in journal.records(limit=None)} - recorded[origin.name]
                problems = journal.check().problems
            if foreign or problems:
                found[origin.name] = (foreign, problems)
        with self._with_key():
            templates = TemplatesOfHub(hub)
            unstated = [origin.name for origin in hub.origins() if templates.waiting(origin, again=False) is not None]
        return found | ({f"templates of {self.name}": unstated} if unstated else {})

    def _journals(self) -> Iterator[Journal]:
        hub = Hub(self.path)
        for origin in hub.origins():
            yield Journal.open(hub.journal(origin), create=True)
