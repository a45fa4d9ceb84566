"""The next steps that ``plsync status`` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.text import Text

from plsync.cli import humanize
from plsync.cli.deliveries import left_by_delivery
from plsync.cli.delivery_status import elsewhere_lines
from plsync.cli.output import escaped
from plsync.delivery.lock import SenderProcess
from plsync.delivery.next_step import next_step
from plsync.journal.journal import Journal
from plsync.journal.reports import Stats

__all__ = ["advice", "is_gapped"]


def is_gapped(journal: Journal, stats: Stats) -> bool:
    """Whether the records of a journal go with bundles, and no sender has run here."""
    return stats.last_run is None and bool(journal.bundles.hubs())


def advice(journal: Journal, stats: Stats, sender: SenderProcess | None) -> list[Text]:
    """The next steps.

    Args:
        journal: the journal.
        stats: its numbers.
        sender: the process that sends its records, if one runs.
    """
    lines, left, over_gap = list(_losses(stats)), left_by_delivery(journal, stats), _gap_advice(journal, stats)
    lines += over_gap
    if sender is None and is_gapped(journal, stats):
        sent_by_hub = {"pending", "leased", "in_doubt", "runs", "followups"}
        left = {name: number for name, number in left.items() if name not in sent_by_hub}
    if left.keys() & {"pending", "leased", "in_doubt"}:
        lines.extend(filter(None, [next_step(stats, sender)]))
    elif "callbacks" in left:
        lines.append("Next: deliver the callbacks in the way that stands behind each function above.")
        lines.append("`plsync callbacks drop FUNCTION` removes request ids that no program waits for.")
    if "runs" in left and not left.keys() & {"pending", "leased", "in_doubt"}:
        lines.append("Next: `plsync run` sends the runs of trees.")
    lines += _follow_up_advice(stats, left)
    if stats.callbacks_dead:
        lines.append("`plsync retry --callbacks` retries the failed callbacks.")
    if "dead" in left:
        lines.append("`plsync list --delivery refused` lists the refused records, `plsync show ID` shows the reason.")
    if "held" in left:
        lines.append("`plsync list --delivery held` lists the held records, `plsync show ID` shows the reason.")
    if "dropped" in left:
        lines.append(
            "`plsync list --delivery dropped` lists the dropped records, `plsync forget --delivery dropped` lets go of "
            "them. `plsync quota` shows the limit."
        )
    if not stats.records + stats.runs:
        lines.append("The journal is empty: attach PromptLayerCallbackHandler to a model and call it.")
    elif not left and not over_gap:
        running = f" {humanize.count(stats.open, 'call')} still running." if stats.open else ""
        if stats.growing:
            running += f" {humanize.count(stats.growing, 'ended call')} of agents that still run."
        lines.append(f"Nothing left: every record, follow-up and callback is delivered.{running}")
    lines.extend(elsewhere_lines(stats))
    return [escaped(line) for line in lines]


def _over_quota(stats: Stats) -> str:
    """Why the content beyond the quota is still there."""
    used, limit = humanize.size(stats.used_bytes), humanize.size(stats.quota.max_bytes or 0)
    over = f"The journal is over its quota, {used} of {limit}"
    unsent = sum(number for state, number in stats.states.items() if state != "acked") - stats.dropped
    if unsent > 0 and stats.quota.policy == "keep-unsent":
        records = humanize.count(unsent, "record")
        return f"{over}: its policy keeps the content of {records} that PromptLayer does not have. See `plsync quota`."
    if stats.callbacks:
        return f"{over}: the content of records stays until their callbacks have run."
    return f"{over}: the ids, tags and request ids of all records stay, and the content of records under way."


def _losses(stats: Stats) -> Iterator[str]:
    if stats.failures:
        yield "Some events were not recorded, for the reason above. Check free disk space and permissions."
    if stats.damaged:
        yield "Damaged parts of the spool were not ingested; all other parts were. `plsync check` lists them."
    if stats.over_quota:
        yield _over_quota(stats)


def _follow_up_advice(stats: Stats, left: Mapping[str, int]) -> Iterator[str]:
    if left.get("followups", 0) > stats.followups_stranded and not left.keys() & {"pending", "leased", "in_doubt"}:
        yield "Next: `plsync run` sends the follow-ups of records that PromptLayer has."
    if stats.followups_stranded:
        yield (
            f"Follow-ups that wait for refused or held records: {stats.followups_stranded:,}. `plsync retry` of these "
            "records sends both."
        )
    if "followups_dead" in left:
        yield (
            "`plsync list --follow-ups refused` lists the refused follow-ups with their reasons, and "
            "`plsync retry --follow-ups` sends them again."
        )


def _gap_advice(journal: Journal, stats: Stats) -> list[str]:
    if not journal.bundles.hubs():
        return []
    from plsync.cli.hub_status import gap_advice  # noqa: PLC0415 - most journals have no hub

    return list(gap_advice(journal, stats, is_gapped=is_gapped(journal, stats)))
