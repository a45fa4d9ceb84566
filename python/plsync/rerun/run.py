"""Sends the recorded requests to a model, and records its answers."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.language_models import BaseLanguageModel

from plsync._common.logged import reason_of
from plsync.errors import JournalNotFound
from plsync.journal.journal import Journal
from plsync.recorder.handler import PromptLayerCallbackHandler
from plsync.rerun.model import is_one_at_a_time, with_request
from plsync.rerun.originals import Original, Originals
from plsync.rerun.reruns import MODEL, ORIGINAL, sent_ids

__all__ = ["Rerun", "RerunReport"]

_TAG: Final = "rerun"
_POLL: Final = 0.2


@dataclass(slots=True)
class RerunReport:
    """The result of a rerun."""

    sent: int = 0
    """Requests that were sent to the model."""
    answered: int = 0
    """Requests that the model answered."""
    refused: int = 0
    """Requests that the model's class cannot send: it takes no tools, or no response format."""
    sent_before: int = 0
    """Requests that an earlier rerun has sent to this model."""
    unanswered: int = 0
    """Requests among ``sent_before`` without an answer: they failed, or their rerun was killed."""
    skipped: int = 0
    """Calls of the source without a recorded request, or with a file of which only the hash is recorded."""
    left: int = 0
    """Requests that were not sent, because the rerun was stopped."""
    errors: Counter[str] = field(default_factory=Counter)
    """How many requests failed, by the reason. A request that was sent has a record in the target journal, too."""
    unrecorded: int = 0
    """Events that the target journal did not take. The rerun stops at the first one."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return {name: getattr(self, name) for name in self.__slots__} | {"errors": dict(self.errors)}


class Rerun:
    """The requests of a source that were not sent to a model yet.

    A record in the target journal marks a request as sent. The record starts before the request is sent. So a rerun
    that was killed goes on with the next request, and sends none twice.

    Args:
        originals: the source.
        name: the model's name, as ``PROVIDER:MODEL``.
        model: the LangChain model.
        into: the directory of the target journal.
        retry: also send the requests again that have no answer: they failed, or were cut off.
    """

    def __init__(
        self,
        originals: Originals,
        name: str,
        model: BaseLanguageModel[Any],
        *,
        into: str | os.PathLike[str],
        retry: bool = False,
    ) -> None:
        self._originals, self._name, self._model, self._into = originals, name, model, into
        try:
            with Journal.open(into) as target:
                earlier = sent_ids(target, name)
        except JournalNotFound:
            earlier = {}
        self._report = RerunReport()
        self.ids: list[str] = []
        """The ids of the requests to send, oldest first."""
        for original_id in originals.ids():
            is_answered = earlier.get(original_id)
            if is_answered is None or (retry and not is_answered):
                self.ids.append(original_id)
                continue
            self._report.sent_before += 1
            self._report.unanswered += not is_answered
        self._report.skipped = originals.skipped
        self._waiting: Iterator[str] = iter(self.ids)
        self._removed = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Send no further request. ``run`` returns when the model has answered the open ones."""
        self._stopped.set()

    def run(self, at_once: int, progress: Callable[[], None] = lambda: None) -> RerunReport:
        """Send every request.

        Args:
            at_once: how many requests are open at a time. A model in this process gets one after the other.
            progress: called after each request, by several threads.

        Raises:
            JournalError: the target journal cannot be made.
        """
        Journal.open(self._into, create=True).close()
        self._handler = PromptLayerCallbackHandler(journal=self._into, pl_tags=_TAG)
        number = 1 if is_one_at_a_time(self._name) else max(1, min(at_once, len(self.ids)))
        # Daemons: a second Ctrl-C must not wait for the answers of a server.
        threads = [
            threading.Thread(target=self._send_all, args=(progress,), name=f"plsync-rerun-{at}", daemon=True)
            for at in range(number)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_POLL)
        report = self._report
        report.unrecorded = self._handler.failures
        report.left = len(self.ids) - report.sent - report.refused - self._removed
        report.skipped += self._removed
        return report

    def _send_all(self, progress: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            with self._lock:
                original_id = next(self._waiting, None)
            if original_id is None:
                return
            original = self._originals.get(original_id)
            if original is not None:
                self._send(original)
            else:
                # The quota or `plsync forget` has removed its content meanwhile.
                with self._lock:
                    self._removed += 1
            progress()

    def _send(self, original: Original) -> None:
        report = self._report
        try:
            bound = with_request(self._model, original.request)
            content = original.content()
        except Exception as error:
            with self._lock:
                report.refused += 1
                report.errors[reason_of(error)] += 1
            return
        failed = None
        try:
            bound.invoke(
                content,
                config={"callbacks": [self._handler], "metadata": {ORIGINAL: original.id, MODEL: self._name}},
            )
        except Exception as error:
            failed = reason_of(error)
        with self._lock:
            report.sent += 1
            if failed is None:
                report.answered += 1
            else:
                report.errors[failed] += 1
        if self._handler.failures:
            self.stop()
