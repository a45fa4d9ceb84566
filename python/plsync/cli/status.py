"""``plsync status``."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from plsync.cli import options, words
from plsync.cli.console import json_line, out, safe
from plsync.journal import Journal
from plsync.reports import Stats

__all__ = ["status"]

_WORK = ("pending", "leased", "in_doubt", "held", "dead")
_MEANINGS = {
    "pending": "waiting to be sent",
    "leased": "being sent",
    "in_doubt": "sent, no clear answer; looked up before anything is sent again",
    "held": "held back until somebody lets them go",
    "dead": "refused by PromptLayer; kept here",
    "acked": "PromptLayer has them",
}


def status(json: options.Json = False, journal: options.Journal = None) -> None:
    """Say what is recorded, what waits, what failed, and what to do next."""
    with Journal.open(journal) as opened:
        stats = opened.stats()
        left = sum(stats.states.get(name, 0) for name in _WORK) + stats.callbacks
        if json:
            json_line({"journal": str(opened.path), "left": left, **stats.as_dict()})
            return
        console = out()
        console.print(_table(opened, stats))
        console.print()
        for line in _advice(stats, left):
            console.print(line)


def _table(journal: Journal, stats: Stats) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    disk = words.size(stats.lmdb_bytes + stats.spool.bytes)
    table.add_row("journal", safe(f"{journal.path}  ({disk} on disk)"))
    table.add_row("records", f"{stats.records:,}" + (f", of which {stats.open:,} still running" if stats.open else ""))
    for name, meaning in _MEANINGS.items():
        if number := stats.states.get(name, 0):
            oldest = stats.oldest_unsent if name == "pending" else None
            since = f", the oldest for {words.age(oldest)}" if oldest else ""
            table.add_row(f"  {name.replace('_', ' ')}", f"{number:,}  ({meaning}{since})")
    if stats.callbacks:
        table.add_row("callbacks", f"{stats.callbacks:,} to be delivered")
    if stats.callbacks_dead:
        reason = f"; the last time: {stats.callback_error}" if stats.callback_error else ""
        given_up = words.count(stats.callbacks_dead, "callback") + reason
        table.add_row(Text("given up", "red"), safe(given_up))
    live = [f"process {writer.pid} ({words.count(writer.events, 'event')})" for writer in stats.writers if writer.alive]
    table.add_row("writers", ", ".join(live) or "none running")
    if stats.failures:
        table.add_row(Text("not recorded", "red"), _failures(stats))
    if stats.damaged:
        where = "".join(f"\n{item}" for item in stats.damage)
        table.add_row(Text("damaged", "red"), safe(f"{words.count(stats.damaged, 'part')} of the spool{where}"))
    return table


def _failures(stats: Stats) -> Text:
    last = f"; the last time: {stats.last_failure}" if stats.last_failure else ""
    return safe(words.count(stats.failures, "event") + last)


def _advice(stats: Stats, left: int) -> list[Text]:
    lines = []
    states = stats.states
    if stats.failures:
        lines.append("Some events were not recorded; the reason is above, most often a full disk or missing rights.")
    if stats.damaged:
        lines.append("Parts of the spool were damaged and could not be taken in; everything else was.")
    if states.get("pending", 0) > stats.open or states.get("in_doubt"):
        lines.append("Next: `plsync run` sends what waits, once this machine can reach PromptLayer.")
    elif stats.callbacks:
        lines.append("Next: `plsync run`, or the program they belong to, delivers the callbacks.")
    if states.get("dead"):
        lines.append("`plsync list --state dead` shows what was refused, `plsync show ID` why.")
    if states.get("held"):
        lines.append("`plsync list --state held` shows what is held back, `plsync show ID` why.")
    if not stats.records:
        lines.append("Nothing is recorded yet: attach PromptLayerCallbackHandler to a model and call it.")
    elif not left:
        lines.append("Nothing left: every record is at PromptLayer, every callback delivered.")
    return [safe(line) for line in lines]
