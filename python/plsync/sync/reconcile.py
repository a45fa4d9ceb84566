"""Records in doubt: sent, and no clear answer. Each is looked up before anything is sent again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from plsync.sync.outcomes import Found, Missing, Outcome, Rejected
from plsync.sync.policy import Policy

if TYPE_CHECKING:
    from plsync.journal import Journal
    from plsync.record import Record
    from plsync.sync.transport import PromptLayerClient

__all__ = ["Reconciled", "reconcile"]

_AT_ONCE: Final = 1000


@dataclass
class Reconciled:
    """What looking up brought to light."""

    acked: int = 0
    """Records that PromptLayer had all along."""
    missing: int = 0
    """Records it never stored: pending again, with the same ids."""
    halt: Outcome | None = None
    """Why looking up ended early."""


def reconcile(
    journal: Journal, client: PromptLayerClient, policy: Policy, now_ms: int, stopped: Callable[[], bool]
) -> Reconciled:
    """Look up every record in doubt that has settled, until ``stopped``. One that cannot be decided stays in doubt."""
    result = Reconciled()
    for record in journal.in_doubt(_AT_ONCE, now_ms):
        if stopped():
            break
        outcome = client.look_up(record.trace_id)
        if isinstance(outcome, Found):
            result.acked += _adopt(journal, record, outcome, policy, now_ms)
        elif isinstance(outcome, Missing):
            journal.release([record.seq], 0, "PromptLayer does not have it: it will be sent again")
            result.missing += 1
        elif isinstance(outcome, Rejected):
            _keep(journal, record, f"PromptLayer would not look it up: {outcome.reason}", policy, now_ms)
        else:
            result.halt = outcome
            break
    return result


def _adopt(journal: Journal, record: Record, found: Found, policy: Policy, now_ms: int) -> int:
    request_id = found.request_ids.get(record.span_id)
    if request_id is None:
        _keep(journal, record, "PromptLayer has its span, but no request log yet", policy, now_ms)
        return 0
    return journal.ack([(record.seq, request_id)])


def _keep(journal: Journal, record: Record, reason: str, policy: Policy, now_ms: int) -> None:
    journal.park([record.seq], "in_doubt", reason, now_ms + int(policy.settle * 1000))
