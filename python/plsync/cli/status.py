"""``plsync status``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Final

from rich.text import Text

from plsync.callbacks.sinks import sink_kind
from plsync.cli import humanize, options
from plsync.cli.console import fact, json_line, out, safe
from plsync.delivery.lock import current_sender
from plsync.journal.journal import Journal
from plsync.journal.reports import SinkBacklog, Stats

__all__ = ["status"]

# A program that makes a function for each request leaves one sink for each.
_MOST_SINKS: Final = 10

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
        if json:
            sender = current_sender(opened.path)
            json_line({"journal": str(opened.path), **stats.as_dict(), "sender": sender and asdict(sender)})
            return
        console = out()
        for line in (*_facts(opened, stats), Text(), *_advice(stats)):
            console.print(line, soft_wrap=True)


def _facts(journal: Journal, stats: Stats) -> Iterator[Text]:
    disk = humanize.size(stats.lmdb_bytes + stats.spool.bytes)
    yield fact("journal", safe(f"{journal.path}  ({disk} on disk)"))
    running = f", of which {stats.open:,} still running" if stats.open else ""
    yield fact("records", safe(f"{stats.records:,}{running}"))
    for name, meaning in _MEANINGS.items():
        if number := stats.states.get(name, 0):
            oldest = stats.oldest_unsent if name == "pending" else None
            since = f", the oldest for {humanize.age(oldest)}" if oldest else ""
            yield fact(f"  {name.replace('_', ' ')}", safe(f"{number:,}  ({meaning}{since})"))
    if stats.pruned:
        yield fact("pruned", safe(f"{stats.pruned:,}  (sent; their content went to the quota)"))
    if stats.dropped:
        yield fact("dropped", safe(f"{stats.dropped:,}  (never sent; their content went to the quota)", "red"))
    if stats.callbacks:
        yield fact("callbacks", safe(f"{stats.callbacks:,} to be delivered"))
        yield from _sinks([sink for sink in stats.sinks if sink.waiting], _waiting)
    if stats.callbacks_dead:
        yield fact("given up", safe(humanize.count(stats.callbacks_dead, "callback"), "red"))
        yield from _sinks([sink for sink in stats.sinks if sink.dead], _given_up)
    if stats.followups:
        stranded = f", {stats.followups_stranded:,} of them for a record that was refused or is held"
        waiting = f"{stats.followups:,} to be sent{stranded if stats.followups_stranded else ''}"
        yield fact("follow-ups", safe(f"{waiting}  (scores, metadata, prompt links, groups)"))
    if stats.followups_dead:
        yield fact("refused", _last(humanize.count(stats.followups_dead, "follow-up"), stats.followup_error))
    live = [
        f"process {writer.pid} ({humanize.count(writer.events, 'event')})" for writer in stats.writers if writer.alive
    ]
    yield fact("writers", safe(", ".join(live) or "none running"))
    sender = current_sender(journal.path)
    yield fact("sender", safe("none running" if sender is None else f"process {sender.pid}, {sender.doing}"))
    if stats.failures:
        yield fact("not recorded", _last(humanize.count(stats.failures, "event"), stats.last_failure))
    if stats.damaged:
        yield fact("damaged", safe(f"{humanize.count(stats.damaged, 'part')} of the spool", "red"))
        yield from (safe(f"  {where}") for where in stats.damage)


def _sinks(sinks: list[SinkBacklog], line: Callable[[SinkBacklog], str]) -> Iterator[Text]:
    for sink in sinks[:_MOST_SINKS]:
        yield safe(f"  {line(sink)}")
    if len(sinks) > _MOST_SINKS:
        yield safe(f"  and {humanize.count(len(sinks) - _MOST_SINKS, 'function')} more; --json lists them")


def _waiting(sink: SinkBacklog) -> str:
    """How many ids wait for a sink, and who or what brings them there."""
    if sink.owned == sink.waiting:
        pids = ", ".join(map(str, sink.pids))
        return f"{sink.waiting:,} for {sink.sink}: its program is running, and calls it (process {pids})"
    function = sink.sink.rpartition(":")[2]
    how = {
        "function": "`plsync run` calls it",
        "script": f"run the script again, or `plsync run --callbacks module:{function}`",
        "object": f"run its program again, or `plsync run --callbacks '{sink.sink}=module:function'`",
        "command": "`plsync run --exec COMMAND` runs it",
    }[sink_kind(sink.sink)]
    running = f", its running program {sink.owned:,} of them" if sink.owned else ""
    failed = f"; it {sink.last_error}" if sink.last_error and not sink.dead else ""
    return f"{sink.waiting:,} for {sink.sink}: {how}{running}{failed}"


def _given_up(sink: SinkBacklog) -> str:
    return f"{sink.dead:,} for {sink.sink}: it {sink.last_error or 'failed'}"


def _last(what: str, reason: str | None) -> Text:
    return safe(f"{what}; the last time: {reason}" if reason else what, "red")


def _advice(stats: Stats) -> list[Text]:
    lines = []
    left = stats.left
    if stats.failures:
        lines.append("Some events were not recorded; the reason is above, most often a full disk or missing rights.")
    if stats.damaged:
        lines.append("Parts of the spool were damaged and could not be taken in; everything else was.")
    if stats.over_quota:
        lines.append("The journal is over its quota, and the policy lets nothing more go; see `plsync quota`.")
    if left.keys() & {"pending", "leased", "in_doubt"}:
        lines.append("Next: `plsync run` sends what waits, once this machine can reach PromptLayer.")
    elif "callbacks" in left:
        lines.append("Next: what is said above delivers the callbacks.")
    if "followups" in left and not left.keys() & {"pending", "leased", "in_doubt"}:
        lines.append("Next: `plsync run` sends the follow-ups whose record is at PromptLayer.")
    if "followups_dead" in left:
        lines.append("`plsync show ID` shows the follow-ups of a record, and why PromptLayer refused one.")
    if stats.callbacks_dead:
        lines.append("`plsync retry --callbacks` has the callbacks that were given up tried again.")
    if "dead" in left:
        lines.append("`plsync list --state dead` shows what was refused, `plsync show ID` why.")
    if "held" in left:
        lines.append("`plsync list --state held` shows what is held back, `plsync show ID` why.")
    if not stats.records:
        lines.append("Nothing is recorded yet: attach PromptLayerCallbackHandler to a model and call it.")
    elif not left:
        running = f"; {humanize.count(stats.open, 'call')} still running" if stats.open else ""
        lines.append(
            f"Nothing left: every record is at PromptLayer, with what followed it, every callback delivered{running}."
        )
    return [safe(line) for line in lines]
