"""Sends records from the program that records them: ``PromptLayerCallbackHandler(sync="thread")``.

A thread runs the sender of ``plsync run``. One process at a time sends the records of a journal. While another process
sends, this thread waits for its turn.
"""

from __future__ import annotations

import logging
import time
import warnings
from typing import TYPE_CHECKING, Final

from plsync._common.background import JournalThread
from plsync._common.logged import loggable
from plsync.errors import AuthenticationError, JournalFormatError, JournalLocked, PlsyncWarning, SyncError

if TYPE_CHECKING:
    from plsync.delivery.runner import Runner

__all__ = ["DeliveryThread"]

# Seconds between two attempts of a thread that waits for its turn, or for a journal that it cannot read.
_RETRY: Final = 5.0
# When the program ends, the thread sends for this long. Then the requests under way have as long again.
_LAST_SECONDS: Final = 2.0


class DeliveryThread(JournalThread):
    """Sends the records of one journal while this process lives."""

    _name = "plsync-delivery"
    _purpose = "sends records"
    _log = logging.getLogger("plsync.delivery")

    workspace: str | None = None
    """The workspace whose key is used; None for the key of the environment."""

    def _reset(self) -> None:
        self._runner: Runner | None = None
        self._logged: str | None = None
        self._key_can_change = False

    def stop(self, seconds: float) -> None:
        """Send the rest for at most ``seconds``, then stop."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        if (runner := self._runner) is not None:
            runner.finish()
        self._join(deadline - time.monotonic())
        if (runner := self._runner) is not None:
            runner.stop()
        self._join(_LAST_SECONDS)

    def at_exit(self, since: float) -> None:
        """Send the rest for at most two seconds, then stop."""
        self.stop(_LAST_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._send()
            except JournalLocked:
                self._log.debug("another process is sending from %s", self.path)
            except (SyncError, JournalFormatError) as error:
                if isinstance(error, AuthenticationError) and self._key_can_change:
                    self._log_once(error)  # such as a secret that is not mounted yet
                else:
                    self._give_up(str(error))
            except Exception as error:  # such as a full disk, which may pass: the journal keeps the records
                self._log_once(error)
            self._stopping.wait(_RETRY)

    def _send(self) -> None:
        # An HTTP client is slow to import, and only this thread needs it.
        from plsync.delivery.last_run import reported_run, store  # noqa: PLC0415
        from plsync.delivery.lock import sole_sender  # noqa: PLC0415
        from plsync.delivery.policy import RULES, Action, SendPolicy  # noqa: PLC0415
        from plsync.delivery.runner import Runner  # noqa: PLC0415
        from plsync.delivery.wake import Wake  # noqa: PLC0415
        from plsync.journal.journal import Journal  # noqa: PLC0415
        from plsync.promptlayer.client import PromptLayerClient, halt_error  # noqa: PLC0415
        from plsync.promptlayer.settings import settings_of  # noqa: PLC0415

        policy, settings = SendPolicy(), settings_of(self.workspace)
        self._key_can_change = settings.key.poll is not None
        with (
            Journal.open(self.path, create=True) as journal,
            sole_sender(journal.path) as lock,
            reported_run(journal) as report,
            PromptLayerClient.connect(settings, policy.timeout) as client,
            Wake(journal.path) as wake,
        ):
            report.url = client.url
            store(journal, report)
            self._runner = runner = Runner(journal, client, policy, wake, on_turn=lock.beat)
            if self._stopping.is_set():
                runner.finish()
            try:
                for _ in runner.forever():
                    lock.report("sending" if runner.halt is None else f"waiting: {runner.halt.reason}")
            finally:
                self._runner = None
                report.fail(runner.halt, client)
            halt = None if self._stopping.is_set() else runner.halt
            if halt is not None and RULES[type(halt)].action is Action.STOP:
                raise halt_error(halt, client.address, client.key_source, client.url_setting)

    def _log_once(self, error: Exception) -> None:
        """Log a repeated error the first time only."""
        if str(error) != self._logged:
            self._logged = str(error)
            self._log.warning("plsync cannot send from %s, and tries again", self.path, exc_info=loggable(error))

    def _give_up(self, reason: str) -> None:
        """Warn once, and stop for good in this process. The journal keeps the records."""
        self._stopping.set()
        warnings.warn(f"records are kept, and not sent by this program: {reason}", PlsyncWarning, stacklevel=2)
