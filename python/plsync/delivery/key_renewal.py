"""Reads the API key again: when a person requests it, and after PromptLayer has refused the key."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from plsync.delivery.reports import KeyReport, Step
from plsync.errors import AuthenticationError, WrongWorkspace
from plsync.promptlayer.outcomes import OtherWorkspace, Outcome, Unauthorized
from plsync.promptlayer.request_threads import call_unless_stopped

if TYPE_CHECKING:
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["KeyRenewal"]


class KeyRenewal:
    """Renews the key of one client.

    Args:
        client: the client.
        stopped: read while a command looks up the key. Once it returns True the command is not waited for.
    """

    def __init__(self, client: PromptLayerClient, stopped: Callable[[], bool]) -> None:
        self._client = client
        self._stopped = stopped
        # No Event: a signal handler may interrupt its own thread inside one, which would then wait for itself.
        self._is_requested = False
        self._error: str | None = None

    @property
    def is_requested(self) -> bool:
        """Whether :meth:`request` was called since the last :meth:`when_requested`."""
        return self._is_requested

    @property
    def poll(self) -> float:
        """Seconds between two reads after a refusal."""
        return self._client.key_source.poll or 1.0

    def request(self) -> None:
        """Let the run read the key again. For any thread, and for signal handlers."""
        self._is_requested = True

    def may_help(self, outcome: Outcome) -> bool:
        """Whether a new key may turn this failure into a success, without a restart."""
        return isinstance(outcome, Unauthorized | OtherWorkspace) and self._client.key_source.poll is not None

    def outcome_of(self, error: Exception) -> Outcome | None:
        """The outcome of an error that a new key may turn into a success; None for any other error."""
        is_by_key = isinstance(error, WrongWorkspace) and error.by_key
        outcome = OtherWorkspace(str(error)) if is_by_key else None
        return outcome if outcome is not None and self.may_help(outcome) else None

    def when_requested(self) -> Generator[Step, None, bool]:
        """Read the key again if that was requested. Returns whether it has changed."""
        if not self._is_requested:
            return False
        self._is_requested = False
        self._error = None
        changed = yield from self.renew()
        if not changed and self._error is None:
            yield KeyReport(self._client.key_source.where)
        return changed

    def renew(self) -> Generator[Step, None, bool]:
        """Read the key again. Returns whether it has changed. Reports a repeated error once."""
        where = self._client.key_source.where
        try:
            # A command may take long.
            changed = bool(call_unless_stopped(self._stopped, self._client.renew_key, "plsync-key"))
        except AuthenticationError as error:
            if self._error != str(error):
                self._error = str(error)
                yield KeyReport(where, error=self._error)
            return False
        self._error = None
        if changed:
            yield KeyReport(where, changed=True)
        return changed
