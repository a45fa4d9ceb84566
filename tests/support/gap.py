"""An origin and a hub with keys, and a stick between them. The commands run in this process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync.bundle.keys import Keys
from plsync.cli import app
from plsync.errors import PlsyncError
from plsync.journal.journal import Journal
from plsync.testing import PromptLayerServer
from tests.support.spooling import SpoolWriter


class Gap:
    """Two machines.

    Args:
        root: an empty directory.
        server: the stand-in that the hub reaches; None if no test sends.
        monkeypatch: sets the variables of the machine whose command runs.
        capsys: captures its output.
    """

    def __init__(
        self,
        root: Path,
        server: PromptLayerServer | None,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.lab, self.hub, self.stick = (root / name for name in ("lab", "hub", "stick"))
        for directory in (self.lab, self.hub, self.stick):
            directory.mkdir()
        self._server = server
        self.journals = self.hub / "journals"
        self.journal = self.lab / "journal"
        self.lab_keys, self.hub_keys = Keys(self.lab / "keys"), Keys(self.hub / "keys")
        lab_card, self.hub_card = self.lab_keys.create("berlin-lab"), self.hub_keys.create("hub-nord")
        self.lab_keys.trust(self.hub_card, "hub")
        self.hub_keys.trust(lab_card, "origin")
        self.writer = SpoolWriter(self.journal)
        self.errors = ""
        """Standard error of the last command, and its error."""
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._recorded = 0
        self._is_online = False

    @property
    def server(self) -> PromptLayerServer:
        """The stand-in."""
        assert self._server is not None
        return self._server

    def record(self, number: int, **start: Any) -> list[str]:
        """Record calls at the origin."""
        numbers = range(self._recorded, self._recorded + number)
        self._recorded += number
        return [self.writer.call(f"question {n}", f"answer {n}", at=n + 1, tags=["lab"], **start) for n in numbers]

    def at(self, side: Path, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """The objects that a command prints on one side with ``--json``. The origin has no key of PromptLayer."""
        with self._monkeypatch.context() as patched:
            patched.chdir(side)
            patched.setenv("PLSYNC_KEYS", str(side / "keys"))
            patched.setenv("PLSYNC_JOURNAL", str(side / "journal"))
            patched.setenv("PLSYNC_PROMPTS", str(side / "prompts"))
            patched.delenv("PROMPTLAYER_API_KEY", raising=False)
            if (side == self.hub or self._is_online) and self._server is not None:
                patched.setenv("PROMPTLAYER_BASE_URL", self._server.url)
                patched.setenv("PROMPTLAYER_API_KEY", self._server.api_key)
            try:
                ended, error = app([*arguments, "--json"], prog_name="plsync", standalone_mode=False) or 0, ""
            except PlsyncError as raised:
                ended, error = 1, str(raised)
        captured = self._capsys.readouterr()
        self.errors = captured.err + error
        assert ended == code, captured.out + self.errors
        return [json.loads(line) for line in captured.out.splitlines()]

    def shown(self, side: Path, *arguments: str) -> str:
        """The text that a command prints on one side."""
        with self._monkeypatch.context() as patched:
            patched.chdir(side)
            patched.setenv("PLSYNC_KEYS", str(side / "keys"))
            patched.setenv("PLSYNC_JOURNAL", str(side / "journal"))
            patched.setenv("PLSYNC_PROMPTS", str(side / "prompts"))
            patched.setenv("COLUMNS", "300")
            app([*arguments], prog_name="plsync", standalone_mode=False)
        captured = self._capsys.readouterr()
        return str(captured.out + captured.err)

    def out(self, *options: str, code: int = 0) -> list[dict[str, Any]]:
        """Export at the origin."""
        return self.at(self.lab, "bundle", "export", str(self.stick), *options, code=code)

    def into_hub(self, code: int = 0) -> list[dict[str, Any]]:
        """Import at the hub."""
        return self.at(self.hub, "bundle", "import", str(self.stick), "--hub", str(self.journals), code=code)

    def deliver(self, code: int = 0) -> None:
        """Send at the hub."""
        self.at(self.hub, "run", "--hub", str(self.journals), "--once", "--settle", "0", code=code)

    def empty_stick_of(self, start: str) -> None:
        """Lose the bundles whose names begin like this."""
        for path in self.stick.glob(f"{start}*"):
            path.unlink()

    @contextlib.contextmanager
    def online(self) -> Iterator[None]:
        """The origin reaches PromptLayer."""
        self._is_online = True
        yield
        self._is_online = False

    def trip(self) -> None:
        """One whole round trip of an empty stick."""
        self.empty_stick()
        self.out()
        self.into_hub()
        self.deliver()
        self.back()
        self.into_lab()

    def trip_without_callbacks(self) -> None:
        """The same, and the import calls no function."""
        self.empty_stick()
        self.out()
        self.into_hub()
        self.deliver()
        self.back()
        self.into_lab("--no-callbacks")

    def states(self) -> dict[str, str]:
        """The state of each record at the origin."""
        with Journal.open(self.journal) as journal:
            return {record.id: record.state for record in journal.records(limit=None)}

    def request_ids(self) -> list[int]:
        """The request ids at the origin."""
        with Journal.open(self.journal) as journal:
            return [record.request_id for record in journal.records(limit=None) if record.request_id is not None]

    def back(self, *options: str, code: int = 0) -> list[dict[str, Any]]:
        """Export at the hub."""
        return self.at(self.hub, "bundle", "export", str(self.stick), "--hub", str(self.journals), *options, code=code)

    def into_lab(self, *options: str, code: int = 0) -> list[dict[str, Any]]:
        """Import at the origin."""
        return self.at(self.lab, "bundle", "import", str(self.stick), *options, code=code)

    def empty_stick(self) -> None:
        """Lose the bundles on the stick."""
        for path in self.stick.iterdir():
            path.unlink()
