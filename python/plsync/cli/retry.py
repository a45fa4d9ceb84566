"""``plsync retry``."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from plsync.cli import completion, humanize, options
from plsync.cli.output import print_json, print_line
from plsync.cli.usage_errors import bad_value
from plsync.cli.withdrawal import withdraw
from plsync.journal import words
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["retry"]

_PAGE = 1000
_NOUNS = {"records": "record", "runs": "run", "followups": "follow-up", "callbacks": "callback"}

# The reason for which a record with this delivery needs no retry.
_WITHOUT_RETRY: dict[words.Delivery, str] = {
    "waiting": "`plsync run` sends it",
    "sending": "a sender is sending it now",
    "sent": "PromptLayer has it",
    "unclear": "the next `plsync run` looks it up before it resends it",
    "carried": "it is in a bundle for a hub; `plsync run --take-back` sends it from here",
    "received": "a hub delivers it; `plsync run --take-back` sends it from here",
    "dropped": "the quota removed its content, so it cannot be sent",
}

_IDS = typer.Argument(
    metavar="ID",
    autocompletion=completion.ids,
    help="Records; ids as for `plsync show`.",
    show_default=False,
)
_FOLLOW_UPS = typer.Option("--follow-ups", help="All follow-ups that PromptLayer refused.")
_SENT_TO = typer.Option(
    "--sent-to",
    metavar="URL",
    help="All records that this server has, or may have; also stand-in, unknown, or a key of status. Repeatable.",
)
_CALLBACKS = typer.Option("--callbacks", help="All callbacks that plsync gave up.")


def parse_state(value: str) -> str:
    """``dead`` or ``held``, the states that plsync never leaves without a retry. Takes ``refused`` for ``dead``.

    Raises:
        BadParameter: the value is another state or no state.
    """
    state = {"refused": "dead"}.get(value, value)
    if state not in {"dead", "held"}:
        raise bad_value(value, "choose refused or held; other records need no retry")
    return state


_DELIVERY = typer.Option(
    "--delivery",
    metavar="DELIVERY",
    autocompletion=completion.one_of(("refused", "held")),
    parser=parse_state,
    help="All records with this delivery: refused or held.",
)
_STATE = typer.Option(
    "--state",
    metavar="STATE",
    autocompletion=completion.one_of(("dead", "held")),
    parser=parse_state,
    help="As --delivery, by stored name: dead or held.",
)


def retry(
    ids: Annotated[list[str] | None, _IDS] = None,
    *,
    delivery: Annotated[list[str] | None, _DELIVERY] = None,
    state: Annotated[list[str] | None, _STATE] = None,
    sent_to: Annotated[list[str] | None, _SENT_TO] = None,
    follow_ups: Annotated[bool, _FOLLOW_UPS] = False,
    callbacks: Annotated[bool, _CALLBACKS] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Send refused and held records, refused follow-ups and failed callbacks again, in the next `plsync run`.

    A record id also retries the record's refused follow-ups. Waiting records need no retry. The chains and
    tools of trees are counted as runs.

    Examples:
        plsync retry --delivery refused
        plsync retry 01a22867
        plsync retry --follow-ups --callbacks
        plsync retry --sent-to http://127.0.0.1:18090
    """
    state = [*(delivery or []), *(state or [])]
    if not (ids or state or sent_to or follow_ups or callbacks):
        raise typer.BadParameter("nothing to retry: pass ids, --delivery, --sent-to, --follow-ups or --callbacks")
    with Journal.open(journal) as opened:
        named = [opened.get(record_id) for record_id in ids or []]
        records, runs = _records(opened, named, cast("list[Literal['dead', 'held']]", state))
        moved = {
            "records": records,
            **({"runs": runs} if runs else {}),
            "followups": _follow_ups(opened, named, everything=follow_ups),
            "callbacks": opened.callbacks.requeue() if callbacks else 0,
        }
        if sent_to:
            moved["records"] += withdraw(opened, sent_to)
    if json:
        print_json(moved)
        return
    counts = ", ".join(humanize.count(number, _NOUNS[name]) for name, number in moved.items() if number)
    if counts:
        print_line(f"{counts} to retry in the next `plsync run`.")
    elif not named:
        print_line("Nothing to retry: no refused record or follow-up and no failed callback matches.")
    for record in named:
        reason = _WITHOUT_RETRY.get(words.delivery(record))
        if reason is None and not records + runs:
            reason = "it has a program's own bytes, which are not sent"
        # The follow-ups of a record that PromptLayer has may have been the reason for the command.
        if reason is not None and not (moved["followups"] and record.state == "acked"):
            print_line(f"Nothing to retry: {record.id} is {words.delivery_word(record)}; {reason}.")


def _records(journal: Journal, named: list[Record], states: list[Literal["dead", "held"]]) -> tuple[int, int]:
    """The numbers of calls, and of other runs, that are pending again."""
    chosen = list(named)
    for state in states:
        chosen += journal.records(state=state, runs=True)
    moved = []
    for is_run in (False, True):
        seqs = [record.seq for record in chosen if record.is_run == is_run]
        moved.append(sum(journal.outbox.requeue(seqs[at : at + _PAGE]) for at in range(0, len(seqs), _PAGE)))
    return moved[0], moved[1]


def _follow_ups(journal: Journal, named: list[Record], *, everything: bool) -> int:
    if everything:
        return journal.followups.requeue()
    return sum(journal.followups.requeue(record.id) for record in named)
