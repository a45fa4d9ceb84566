"""The lines that ``plsync bundle`` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from rich.text import Text

from plsync.bundle.export import ExportReport
from plsync.bundle.keys import Keys
from plsync.bundle.receive import BundleFields
from plsync.cli import humanize
from plsync.cli.output import escaped, labelled
from plsync.journal.bundles import Orphan, WrittenBundle

__all__ = ["bundle_lines", "describe", "export_lines", "hub_names", "import_lines", "orphan_lines"]


def hub_names(keys: Keys) -> dict[str, str]:
    """The names of the trusted hubs, by the ids of their keys."""
    names = {}
    for trusted in keys.trusted():
        if trusted.role == "hub":
            for key_id in (trusted.card.key_id, trusted.card.replaced_key_id, *trusted.earlier):
                if key_id is not None:
                    names[key_id] = trusted.card.name
    return names


def export_lines(report: ExportReport, *, is_hub: bool) -> Iterator[Text]:
    """The result of an export."""
    noun = "request id" if is_hub else "call"
    if not report.files:
        yield escaped(f"{report.to}: no {noun} to carry; nothing was written")
    elif not is_hub:
        followups = f", {humanize.count(report.followups, 'follow-up')}" if report.followups else ""
        new = humanize.count(report.records - report.again, "call")
        if not report.records + report.followups:
            new = f"nothing; the bundle states which files of {report.to} this machine has read"
        yield labelled("new", escaped(f"{new}{followups}"))
        if report.again:
            yield labelled("again", escaped(f"{humanize.count(report.again, 'call')}{_carried(report)}"))
    for file in report.files:
        yield labelled(
            "written", escaped(f"{file.path}  {humanize.size(file.bytes)} for {report.to}, read back: whole")
        )
    if report.files and is_hub:
        more = [f"{report.refused:,} refused or held"] if report.refused else []
        more += [f"{humanize.count(report.followups, 'follow-up')} delivered or refused"] if report.followups else []
        more += [humanize.count(report.templates, "prompt template")] if report.templates else []
        yield labelled("content", escaped(", ".join([humanize.count(report.records, noun), *more])))
    if report.doubtful:
        yield labelled("look up", escaped(f"{report.doubtful:,} may have been sent; the hub looks them up first"))
    if report.running:
        yield escaped(f"{humanize.count(report.running, 'call')} not ended; the next export has them")
    for line in report.left_out:
        yield escaped(f"stays here: {line}", "yellow")


def _carried(report: ExportReport) -> str:
    """When, and in which exports, the records of an export were carried before."""
    if report.again_since is None or not report.again_serials:
        return ""
    first, last = report.again_serials[0], report.again_serials[-1]
    day = f"{report.again_since.astimezone():%Y-%m-%d}"
    when = f"on {day} in {first:06d}" if first == last else f"since {day} in {first:06d} to {last:06d}"
    return f" (carried {when}{', no receipt yet' if report.is_unconfirmed else ''})"


def import_lines(fields: dict[str, Any]) -> Iterator[Text]:
    """The result of an import: the fields that ``--json`` prints."""
    if fields["kind"] == "out":
        yield from _hub_lines(fields)
        return
    words = [humanize.count(fields["new"], "new request id")]
    words += [f"{fields['received']:,} received"] if fields["received"] else []
    words += [f"{humanize.count(fields['done'], 'follow-up')} delivered"] if fields["done"] else []
    if fields["templates"]:
        older = ", older than those here" if fields["older_templates"] else f", {fields['new_templates']:,} new"
        words.append(f"{humanize.count(fields['templates'], 'prompt template')}{older}")
    yield escaped(f"{fields['signer']}  {_label(fields)}  {', '.join(words)}")
    for refused in fields["refused"]:
        yield escaped(f"refused: {refused['record_id']}: {refused['reason']}", "red")
    if fields["unknown"] or fields["unknown_bundles"]:
        number = humanize.count(fields["unknown"], "request id")
        yield escaped(
            f"this journal was put back from a copy: {number} for calls that it no longer has "
            f"(`plsync bundle list --orphans`)",
            "yellow",
        )
    if fields["early"]:
        number = humanize.count(fields["early"], "report")
        yield escaped(f"{number} on calls that this journal has not given to the hub; export again first", "yellow")
    if fields["conflicts"]:
        number = humanize.count(fields["conflicts"], "call")
        yield escaped(f"{number} with a second request id (`plsync bundle list --orphans`)", "yellow")


def _hub_lines(fields: dict[str, Any]) -> Iterator[Text]:
    known = fields["records"] - fields["new"]
    counts = f"{humanize.count(fields['records'], 'call')}: {fields['new']:,} new, {known:,} known"
    followups = f"  {humanize.count(fields['followups'], 'follow-up')}" if fields["followups"] else ""
    yield escaped(f"{fields['signer']}  {_label(fields)}  {counts}{followups}")
    if fields["requeued"]:
        yield escaped(f"  {humanize.count(fields['requeued'], 'refused call')} will be sent again")
    if fields["put_back"]:
        yield escaped(
            "  This journal is older than its reports, or new: its waiting calls are looked up before they are sent.",
            "yellow",
        )
    if fields["repeated"]:
        names = ", ".join(fields["repeated"][:10])
        yield escaped(f"  {names} never came; its waiting calls have come with this bundle")
    if fields["missing"]:
        names = ", ".join(fields["missing"][:10])
        yield escaped(f"  {names} never came; their calls come with a later export until they are confirmed", "yellow")


def bundle_lines(bundles: Sequence[WrittenBundle], hubs: Mapping[int, str]) -> Iterator[Text]:
    """The bundles that a journal has written."""
    if not bundles:
        yield escaped("this journal has written no bundle")
    newest = {bundle.hub: bundle.serial for bundle in sorted(bundles, key=attrgetter("serial")) if bundle.received}
    for bundle in bundles:
        if bundle.received:
            state = "received"
        elif not bundle.whole:
            state = "interrupted"
        else:
            # The hub has confirmed a later export. Receipts alone confirm a record, so these records go out again.
            state = "overtaken" if bundle.serial < newest.get(bundle.hub, 0) else "written"
        when = f"{bundle.written_at.astimezone():%Y-%m-%d %H:%M}"
        calls = humanize.count(bundle.records, "call")
        yield escaped(
            f"{bundle.serial:06d} {bundle.part}of{bundle.parts}  {when}  {hubs[bundle.hub]}  {calls}  {state}"
        )


def orphan_lines(orphans: Sequence[Orphan], hubs: Mapping[int, str]) -> Iterator[Text]:
    """Request ids that no record takes."""
    if not orphans:
        yield escaped("every request id has its call")
    for orphan in orphans:
        why = "the call has another request id" if orphan.conflict else "this journal has no such call"
        yield escaped(f"{UUID(hex=orphan.record_id)}  #{orphan.request_id}  {hubs[orphan.hub]}  {why}")


def describe(fields: BundleFields) -> Iterator[Text]:
    """A bundle that was verified."""
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(fields.created_at_ms / 1000))
    yield labelled("bundle", escaped(f"{fields.label} of {fields.signer}, made {made} by its clock"))
    yield labelled("signed by", escaped(f"{fields.signer}, key {fields.key_id}"))
    yield labelled("journal", escaped(fields.journal_id))
    content = (
        humanize.count(fields.records, "call") if fields.kind == "out" else humanize.count(fields.entries, "entry")
    )
    if fields.followups:
        content += f", {humanize.count(fields.followups, 'follow-up')}"
    if fields.templates:
        content += f", {humanize.count(fields.templates, 'prompt template')}"
    encrypted = "encrypted" if fields.encrypted else "not encrypted"
    yield labelled("content", escaped(f"{content}, {humanize.size(fields.bytes)}, {encrypted}"))
    yield labelled("id", escaped(fields.id))


def _label(fields: dict[str, Any]) -> str:
    names = BundleFields.__dataclass_fields__
    return BundleFields(**{name: fields[name] for name in names}).label
