"""The steps of a run, as reports of passes, look-ups, follow-ups and pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plsync.callbacks.worker import CallbackReport

if TYPE_CHECKING:
    from plsync.journal.record import Record
    from plsync.promptlayer.outcomes import Outcome

__all__ = ["FollowUpReport", "KeyReport", "PassReport", "Pause", "ReconcileReport", "Step"]


@dataclass
class PassReport:
    """The result of one pass over the outbox, in calls."""

    acked: int = 0
    """Records that PromptLayer has, with their request ids."""
    runs: int = 0
    """Chains, tools and retrievers whose state has changed. All other numbers count calls alone."""
    found: int = 0
    """Of ``acked``: records in doubt that a look-up found."""
    resent: int = 0
    """Records in doubt that PromptLayer does not have: pending again."""
    in_doubt: int = 0
    """Records sent without a clear response."""
    dead: int = 0
    """Records whose payload PromptLayer refused."""
    held: int = 0
    """Records that PromptLayer makes no log of. A person decides about them."""
    halt: Outcome | None = None
    """The outcome that ended the pass early; None after a whole pass."""

    def count(self, records: Sequence[Record]) -> int:
        """The number of calls among records whose state changes. Adds all others to :attr:`runs`."""
        calls = sum(not record.is_run for record in records)
        self.runs += len(records) - calls
        return calls

    @property
    def changed_state(self) -> bool:
        """Whether a record changed its state, so that another pass may find more to do."""
        return bool(self.acked or self.runs or self.resent or self.in_doubt or self.dead or self.held)


@dataclass
class ReconcileReport:
    """The result of the look-ups of one pass, in calls."""

    acked: int = 0
    """Records that PromptLayer has."""
    runs: int = 0
    """Chains, tools and retrievers whose state has changed."""
    missing: int = 0
    """Records that PromptLayer never stored: pending again, with the same ids."""
    renewed: int = 0
    """Records whose trace PromptLayer has without a log: pending again, with new ids."""
    held: int = 0
    """Records that got no log under new ids either. A person decides about them."""
    halt: Outcome | None = None
    """The outcome that ended the look-ups early."""


@dataclass
class FollowUpReport:
    """The result of sending follow-ups."""

    sent: int = 0
    """Follow-ups that PromptLayer has."""
    dead: int = 0
    """Follow-ups that PromptLayer refused. The journal keeps them with the reason."""
    unclear: int = 0
    """Follow-ups without a clear response, to be sent again later."""
    halt: Outcome | None = None
    """The outcome that ended it early; None when no more follow-ups were due."""
    errors: list[str] = field(default_factory=list)
    """One line for each refused follow-up, for the first 20."""

    @property
    def changed_state(self) -> bool:
        """Whether a follow-up changed its state."""
        return bool(self.sent or self.dead or self.unclear)


@dataclass(frozen=True)
class Pause:
    """A pause before the next round: after a failure, or until records in doubt have settled."""

    seconds: float
    outcome: Outcome | None = None
    """The failure; None while records settle."""


@dataclass(frozen=True)
class KeyReport:
    """The result of reading the API key again."""

    where: str
    """The place of the key."""
    changed: bool = False
    """Whether the key has changed."""
    error: str | None = None
    """The reason that the key could not be read. The present key stays in use."""


Step = PassReport | FollowUpReport | CallbackReport | Pause | KeyReport
"""One step of a run, as :class:`~plsync.delivery.runner.Runner` yields it."""
