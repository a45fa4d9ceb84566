"""``plsync status``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from plsync.callbacks.sinks import way_to_call
from plsync.cli import completion, humanize, options
from plsync.cli.deliveries import deliveries
from plsync.cli.delivery_status import destinations, last_run, sent_to
from plsync.cli.disk import disk_note
from plsync.cli.followup_table import short_name
from plsync.cli.health import sender_line
from plsync.cli.output import escaped, labelled, print_json, print_lines, stdout_console
from plsync.cli.status_advice import advice, is_gapped
from plsync.cli.status_check import (
    MaxFailures,
    MaxRefused,
    MaxSilence,
    MaxUnsent,
    MinFree,
    check_health,
    parse_format,
    print_metrics,
    thresholds,
)
from plsync.cli.usage_errors import wrong_usage
from plsync.config.file import read_config
from plsync.delivery.lock import SenderProcess, current_sender
from plsync.journal.journal import Journal
from plsync.journal.record import State
from plsync.journal.reports import SinkBacklog, Stats
from plsync.journal.sharing import group_text
from plsync.journal.words import DELIVERY_OF_STATE

__all__ = ["failed_line", "status", "waiting_line"]

# A program that creates a function for each request creates a sink for each.
_MOST_SINKS: Final = 10
_MOST_SKIPPED: Final = 10
_MOST_REFUSED: Final = 5

_MEANINGS: Final[dict[State, str]] = {
    "pending": "for `plsync run`",
    "leased": "now, by a sender",
    "in_doubt": "sent without a clear response; looked up before a resend",
    "carried": "in bundles for a hub, which has not confirmed them",
    "received": "at a hub, which delivers them",
    "held": "until `plsync retry`",
    "dead": "kept here; `plsync show ID` has the reason",
    "acked": "PromptLayer has them",
}


_CHECK = typer.Option("--check", help="Print one line, and exit with 4 if a limit is crossed.")
_HUB = typer.Option(
    "--hub", metavar="DIR", help="Show the origins of this hub, and which of their bundles are missing."
)
_FORMAT = typer.Option(
    "--format",
    metavar="FORMAT",
    autocompletion=completion.one_of(("text", "json", "prometheus")),
    parser=parse_format,
    help="text, json, or prometheus.",
)
_OUTPUT = typer.Option("--output", metavar="FILE", help="Write the metrics to this file in one step.")


def status(
    *,
    check: Annotated[bool, _CHECK] = False,
    max_unsent: MaxUnsent = None,
    max_silence: MaxSilence = None,
    max_failures: MaxFailures = 0,
    max_refused: MaxRefused = 0,
    min_free: MinFree = None,
    form: Annotated[str, _FORMAT] = "text",
    output: Annotated[Path | None, _OUTPUT] = None,
    hub: Annotated[Path | None, _HUB] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show the numbers of records, the waiting work, the failures, and the next step.

    With a configuration file: one line for each workspace; --workspace NAME shows
    one of them in full. With --check: the limits of the options, and exit codes
    for programs. An age or a size of none switches a limit off.

    Examples:
        plsync status
        plsync status --json
        plsync status --check --max-unsent 30m
        plsync status --hub /srv/hub
        plsync status --format prometheus --output /var/lib/node_exporter/plsync.prom
    """
    json = json or form == "json"
    if output is not None and form != "prometheus":
        raise wrong_usage("--output", "it writes metrics; add --format prometheus")
    if check and form == "prometheus":
        raise wrong_usage("--check", "--check and --format prometheus exclude each other")
    if hub is not None:
        if check or form == "prometheus" or journal is not None:
            raise wrong_usage("--hub", "a hub has other journals: use it without --check, --journal and --format")
        from plsync.cli.hub_status import print_hub  # noqa: PLC0415 - most journals have no hub

        print_hub(hub, json=json)
        return
    if check:
        limits = thresholds(max_unsent, max_silence, min_free, max_failures=max_failures, max_refused=max_refused)
        check_health(journal, limits, json=json)
    if form == "prometheus":
        print_metrics(journal, output)
        return
    if journal is None and (config := read_config()) is not None and config.workspaces:
        # The imports of this module cost time, and few machines have a configuration file.
        from plsync.cli.workspace_status import print_workspaces  # noqa: PLC0415

        print_workspaces(config, json=json)
        return
    with Journal.open(journal) as opened:
        stats = opened.stats()
        if json:
            sender = current_sender(opened.path)
            found = {"journal": str(opened.path), **stats.as_dict(), "sender": sender and asdict(sender)}
            print_json(found | {"hubs": _hubs(opened)})
            return
        exposed = [escaped(stats.exposed, "yellow")] if stats.exposed else []
        short = disk_note(opened.path)
        disk = [escaped(short, "yellow")] if short else []
        sender = current_sender(opened.path)
        facts, steps = _facts(opened, stats, sender), advice(opened, stats, sender)
        print_lines(stdout_console(), (*facts, Text(), *steps, *disk, *exposed))


def _hubs(journal: Journal) -> list[dict[str, Any]]:
    if not journal.bundles.hubs():
        return []
    from plsync.cli.hub_status import hubs_of  # noqa: PLC0415 - most journals have no hub

    return hubs_of(journal)


def _logs(journal: Journal) -> Iterator[Text]:
    if journal.bundles.hubs():
        from plsync.cli.hub_status import log_lines  # noqa: PLC0415 - most journals have no hub

        yield from log_lines(journal)


def _facts(journal: Journal, stats: Stats, sender: SenderProcess | None) -> Iterator[Text]:
    disk = humanize.size(stats.lmdb_bytes + stats.spool.bytes)
    yield labelled("journal", escaped(f"{journal.path}  ({disk} on disk)"))
    if stats.group is not None:
        yield labelled("shared", escaped(f"with group {group_text(stats.group)}"))
    running = f", of which {stats.open:,} still running" if stats.open else ""
    yield labelled("records", escaped(f"{stats.records:,}{running}"))
    counted = deliveries(journal, stats)
    yield from _states(stats, counted, _meanings(journal, stats))
    yield from _logs(journal)
    yield from _without_content(stats)
    if stats.callbacks:
        yield labelled("callbacks", escaped(f"{stats.callbacks:,} to deliver"))
        line = partial(waiting_line, is_gapped=is_gapped(journal, stats))
        yield from _sinks([sink for sink in stats.sinks if sink.waiting], line)
    if stats.callbacks_dead:
        yield labelled("given up", escaped(humanize.count(stats.callbacks_dead, "callback"), "red"))
        yield from _sinks([sink for sink in stats.sinks if sink.dead], failed_line)
    yield from _follow_ups(journal, stats)
    live = [
        f"process {writer.pid} ({humanize.count(writer.events, 'event')})" for writer in stats.writers if writer.alive
    ]
    yield labelled("writers", escaped(", ".join(live) or "none running"))
    yield labelled("sender", escaped("none running" if sender is None else sender_line(sender)))
    if run := last_run(stats, sender):
        yield labelled("last run", escaped(run))
    if stats.failures:
        yield labelled("not recorded", _with_reason(humanize.count(stats.failures, "event"), stats.last_failure))
    if stats.damaged:
        yield labelled("damaged", escaped(f"{humanize.count(stats.damaged, 'part')} of the spool", "red"))
        yield from (escaped(f"  {where}") for where in stats.damage)
    if stats.skipped:
        yield labelled("not used", escaped(f"{humanize.count(len(stats.skipped), 'file')} of the spool", "red"))
        shown = stats.skipped[:_MOST_SKIPPED]
        yield from (escaped(f"  {file.name}: it {file.reason}") for file in shown)
        if len(stats.skipped) > len(shown):
            yield escaped(f"  and {humanize.count(len(stats.skipped) - len(shown), 'file')} more; --json lists them")
        yield escaped("  All other files are used.")


def _follow_ups(journal: Journal, stats: Stats) -> Iterator[Text]:
    if stats.followups:
        stranded = f", {stats.followups_stranded:,} of them for a refused or held record"
        waiting = f"{stats.followups:,} to send{stranded if stats.followups_stranded else ''}"
        yield labelled("follow-ups", escaped(f"{waiting}  (scores, metadata, prompt links, groups)"))
    if stats.followups_dead:
        yield labelled("refused", _with_reason(humanize.count(stats.followups_dead, "follow-up"), stats.followup_error))
        for refused in journal.followups.by_state("dead", limit=_MOST_REFUSED):
            yield escaped(f"  {short_name(refused)}")
        if stats.followups_dead > _MOST_REFUSED:
            yield escaped(f"  and {humanize.count(stats.followups_dead - _MOST_REFUSED, 'follow-up')} more")


def _without_content(stats: Stats) -> Iterator[Text]:
    if stats.read_only:
        waiting = humanize.count(stats.waiting_events, "event")
        yield labelled(
            "read-only", escaped(f"for this user; {waiting} not ingested yet, and not counted here", "yellow")
        )
    if stats.pruned:
        yield labelled("pruned", escaped(f"{stats.pruned:,}  (sent; the quota removed their content)"))
    if stats.forgotten:
        yield labelled("forgotten", escaped(f"{stats.forgotten:,}  (`plsync forget` removed their content)"))
    if stats.forgetting:
        yield escaped("  One removal was interrupted: `plsync compact` removes the content that is left.", "red")


def _meanings(journal: Journal, stats: Stats) -> Mapping[State, str]:
    if not journal.bundles.hubs():
        return _MEANINGS
    from plsync.cli.hub_status import meanings  # noqa: PLC0415 - most journals have no hub

    return {**_MEANINGS, **meanings(journal, is_gapped=is_gapped(journal, stats))}


def _states(stats: Stats, counted: Mapping[str, int], meanings: Mapping[State, str]) -> Iterator[Text]:
    """The numbers of records by their delivery."""
    for name, meaning in meanings.items():
        if number := counted.get(name, 0):
            oldest = stats.oldest_unsent if name == "pending" else None
            since = f", the oldest {humanize.age(oldest)} old" if oldest else ""
            where = (sent_to(stats) if name == "acked" else None) or meaning
            yield labelled(f"  {DELIVERY_OF_STATE[name]}", escaped(f"{number:,}  ({where}{since})"))
    yield from (escaped(f"    {line}") for line in destinations(stats))
    if stats.dropped:
        yield labelled("  dropped", escaped(f"{stats.dropped:,}  (never sent; the quota removed their content)", "red"))


def _sinks(sinks: list[SinkBacklog], line: Callable[[SinkBacklog], str]) -> Iterator[Text]:
    for sink in sinks[:_MOST_SINKS]:
        yield escaped(f"  {line(sink)}")
    if len(sinks) > _MOST_SINKS:
        yield escaped(f"  and {humanize.count(len(sinks) - _MOST_SINKS, 'function')} more; --json lists them")


def waiting_line(sink: SinkBacklog, *, is_gapped: bool = False) -> str:
    """The number of ids that wait for a sink, and the way to deliver them; with ``is_gapped`` without a network."""
    if sink.owned == sink.waiting:
        pids = ", ".join(map(str, sink.pids))
        return f"{sink.waiting:,} for {sink.sink}: its running program calls it (process {pids})"
    how = way_to_call(sink.sink)
    if is_gapped:
        how = how.replace("`plsync run", "`plsync run --no-send")
    running = f"; its running program calls it for {sink.owned:,} of them" if sink.owned else ""
    failed = f"; it {sink.last_error}" if sink.last_error and not sink.dead else ""
    return f"{sink.waiting:,} for {sink.sink}: {how}{running}{failed}"


def failed_line(sink: SinkBacklog) -> str:
    """The number of ids whose delivery to a sink was given up, and the last reason."""
    return f"{sink.dead:,} for {sink.sink}: it {sink.last_error or 'failed'}"


def _with_reason(number: str, reason: str | None) -> Text:
    return escaped(f"{number}; the last reason: {reason}" if reason else number, "red")
