"""The words for people: how a call went (RESULT), and where its record is on the way to PromptLayer (DELIVERY).

``--json``, ``Record.status`` and ``Record.state`` keep the stored names. Every text for people uses this module.

| result | of | delivery | of |
| --- | --- | --- | --- |
| running | pending | waiting | pending |
| ok | ok | sending | leased |
| error | error | unclear | in_doubt |
| cancelled | cancelled | sent | acked |
| cut short | partial, abandoned | refused | dead |
| interrupted | interrupted | | |
| | | held | held |
| | | dropped | dead or held, without content: the quota or `plsync forget` removed it |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal, get_args

from plsync._common.native import ENDS, STATES
from plsync.journal.call import STATUSES, CallEnd

if TYPE_CHECKING:
    from plsync.journal.record import Record, State

__all__ = [
    "DELIVERIES",
    "DELIVERY_OF_STATE",
    "RESULTS",
    "Delivery",
    "Result",
    "delivery",
    "delivery_word",
    "ends_of",
    "result",
    "result_of_end",
    "states_of",
]

Result = Literal["ok", "error", "cancelled", "cut short", "interrupted", "running"]
Delivery = Literal["waiting", "sending", "sent", "unclear", "refused", "held", "dropped", "carried", "received"]

RESULTS: Final[tuple[Result, ...]] = get_args(Result)
DELIVERIES: Final[tuple[Delivery, ...]] = get_args(Delivery)

_RESULT_OF_END: Final[dict[CallEnd, Result]] = {
    "none": "running",
    "ok": "ok",
    "error": "error",
    "cancelled": "cancelled",
    "partial": "cut short",
    "abandoned": "cut short",
    "interrupted": "interrupted",
}
DELIVERY_OF_STATE: Final[dict[State, Delivery]] = {
    "pending": "waiting",
    "leased": "sending",
    "in_doubt": "unclear",
    "acked": "sent",
    "dead": "refused",
    "held": "held",
    "carried": "carried",
    "received": "received",
}
# Records in these states lose their content to the quota. A waiting record becomes dead with the loss.
_DROPPABLE: Final = ("dead", "held")


def result_of_end(number: int) -> Result:
    """The result of a call with this number of its end."""
    return _RESULT_OF_END[ENDS[number]]


def result(record: Record) -> Result:
    """How the call of a record went."""
    return _RESULT_OF_END[record.stored_end()]


def delivery(record: Record) -> Delivery:
    """Where a record is on its way to PromptLayer."""
    is_empty = record.pruned or record.forgotten
    return "dropped" if record.state in _DROPPABLE and is_empty else DELIVERY_OF_STATE[record.state]


def delivery_word(record: Record) -> str:
    """The delivery, with PromptLayer's request id if there is one: ``sent #1003``."""
    return delivery(record) + ("" if record.request_id is None else f" #{record.request_id}")


def ends_of(words: Iterable[str]) -> tuple[int, ...] | None:
    """The numbers of the ends with these results; None without a word. A word may also be a status.

    Raises:
        ValueError: a word is neither.
    """
    found: set[int] = set()
    for word in words:
        folded = _folded(word)
        ends = {number for number, end in enumerate(ENDS) if _RESULT_OF_END[end] == folded}
        ends = ends or {number for number, status in enumerate(STATUSES) if status == folded}
        if not ends:
            raise ValueError(f"{word!r} is not a result: use {', '.join(RESULTS)}")
        found |= ends
    return tuple(sorted(found)) or None


def states_of(words: Iterable[str]) -> set[tuple[State, bool | None]] | None:
    """The states with these deliveries; None without a word. A word may also be a state.

    Each comes with whether the quota must have removed the content (True), must have kept it (False), or either (None).

    Raises:
        ValueError: a word is neither.
    """
    found: set[tuple[State, bool | None]] = set()
    for word in words:
        folded = _folded(word)
        if folded == "dropped":
            found |= {(state, True) for state in _DROPPABLE}
            continue
        state = next((state for state in STATES if folded in (DELIVERY_OF_STATE[state], state.replace("_", " "))), None)
        if state is None:
            raise ValueError(f"{word!r} is not a delivery: use {', '.join(DELIVERIES)}")
        # `dead` includes dropped records, as in the store; `refused` does not.
        found.add((state, False if folded == DELIVERY_OF_STATE[state] and state in _DROPPABLE else None))
    return found or None


def _folded(word: str) -> str:
    return " ".join(word.replace("_", " ").replace("-", " ").lower().split())
