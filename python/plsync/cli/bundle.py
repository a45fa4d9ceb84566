"""``plsync bundle``: files that carry records over an air gap, and request ids back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from plsync.bundle.export import ExportReport, export_log, export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys, TrustedCard
from plsync.bundle.medium import bundles_in
from plsync.bundle.receive import BundleFields, apply_log, opened
from plsync.cli import humanize, options
from plsync.cli.bundle_progress import progress_bar
from plsync.cli.command_line import Command, Group
from plsync.cli.output import escaped, labelled, print_json, print_lines, print_note, stdout_console
from plsync.cli.quota import NewLimit, parse_size
from plsync.cli.usage_errors import bad_value, wrong_usage
from plsync.cli.workspaces import with_workspace
from plsync.delivery.lock import sole_sender
from plsync.errors import BundleError, JournalLocked
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync._common.native import SignedBundle
    from plsync._common.redaction import Redact

__all__ = ["app"]

app = typer.Typer(cls=Group, no_args_is_help=True, help="Carry records over an air gap, and request ids back.")

_WORK_LEFT: Final = 3
# Seconds for callbacks at the end of an import, and for a run at the hub to end its turn.
_CALLBACKS: Final = 60.0
_TURN: Final = 90.0
_BETWEEN: Final = 0.2
_LEAST_PART: Final = 1_000_000

_HUB = typer.Option("--hub", metavar="DIR", help="The directory of the hub.", show_default=False)


def parse_part(value: str) -> NewLimit:
    """A size of a part, such as ``650MB``.

    Raises:
        BadParameter: it is no size, or below 1MB.
    """
    found = parse_size(value)
    if found.limit is None or found.limit < _LEAST_PART:
        raise bad_value(value, "choose a size of 1MB or more, such as 650MB")
    return found


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory on the medium.")],
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="NAME", help="The hub, or the origin. Default: the only trusted one.")
    ] = None,
    hub: Annotated[Path | None, _HUB] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Do not encrypt the records.")] = False,
    split_size: Annotated[
        NewLimit | None,
        typer.Option(
            "--split-size",
            metavar="SIZE",
            parser=parse_part,
            help="The size of a part. Default: 512MB.",
            show_default=False,
        ),
    ] = None,
    no_content: Annotated[
        bool, typer.Option("--no-content", help="Leave messages, answers and error messages out of the records.")
    ] = False,
    redact: Annotated[
        str | None,
        typer.Option(
            "--redact",
            metavar="MODULE:FUNCTION",
            parser=options.parse_function,
            help="A redact hook as of the handler: it receives each event, and returns the event to write.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Write records for a hub to a medium. With --hub: write request ids for its origins.

    Each export has all records without a request id, so a lost medium loses nothing.
    Bundles are signed, and read back from the medium. Records are encrypted to the hub.

    Examples:
        plsync bundle export /media/stick
        plsync bundle export /media/stick --hub /srv/hub
    """
    keys = Keys()
    if not directory.is_dir():
        raise BundleError(f"{directory} is no directory; nothing was written; name a directory on the medium")
    if hub is not None:
        if no_content or redact is not None:
            raise wrong_usage("--redact" if redact is not None else "--no-content", "excludes --hub")
        reports = _export_back(Hub(hub), keys, to, directory)
    else:
        trusted = _recipient(keys, to)
        limit = {} if split_size is None else {"split_size": split_size.limit}
        with Journal.open(journal) as origin, progress_bar("packed") as on_progress:
            reports = [
                export_records(
                    origin,
                    keys,
                    trusted.card,
                    directory,
                    encrypt=not plain,
                    hooks=_hooks(no_content=no_content, redact=redact),
                    on_progress=on_progress,
                    **limit,
                )
            ]
    for report in reports:
        if json:
            print_json(_exported(report))
        else:
            print_lines(stdout_console(), _export_lines(report, is_hub=hub is not None))
    if any(report.left_out for report in reports):
        raise typer.Exit(_WORK_LEFT)


def import_(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Bundles, or directories with bundles.")
    ] = None,
    *,
    hub: Annotated[Path | None, _HUB] = None,
    no_callbacks: Annotated[bool, typer.Option("--no-callbacks", help="Call no functions.")] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Read request ids from a medium into the journal. With --hub: read the records of origins into the hub.

    Reads the bundles for this machine, and skips its own and those for other machines in a directory.
    A bundle is read only if a trusted machine signed it for this machine.
    Request ids reach callbacks as in `plsync run`. No socket is opened.
    Exits with 1 if a bundle is refused, with 3 if callbacks wait.

    Examples:
        plsync bundle import /media/stick
        plsync bundle import /media/stick --hub /srv/hub
    """
    if not paths:
        raise wrong_usage("PATH", "this argument is required")
    keys = Keys()
    keys.own_or_raise()
    found = list(bundles_in(paths))
    named = {path for path in paths if not path.is_dir()}
    if not found:
        print_note("there is no bundle; nothing was changed")
    failed = waits = False
    with contextlib.ExitStack() as stack:
        target = Hub(hub) if hub is not None else stack.enter_context(Journal.open(journal))
        for path in found:
            try:
                fields = _import_one(path, keys, target)
            except BundleError as error:
                if path not in named and _is_for_another(path, keys):
                    print_note(f"{path.name} is for another machine, and was skipped")
                    continue
                failed = True
                print_note(f"plsync: {error}")
                continue
            if json:
                print_json({"file": str(path), **fields})
            else:
                print_lines(stdout_console(), _import_lines(fields))
        if isinstance(target, Journal) and not no_callbacks:
            waits = _deliver_callbacks(target)
    if failed:
        raise typer.Exit(1)
    if waits:
        raise typer.Exit(_WORK_LEFT)


def show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle; its signature lies beside it.")],
    *,
    json: options.Json = False,
) -> None:
    """Verify a bundle for this machine, and describe it. Changes nothing.

    Examples:
        plsync bundle show plsync-berlin-lab-000042-1of1.tar.age
    """
    keys = Keys()
    for found in bundles_in([path]):
        with opened(found, keys, keys.path / "inbox") as bundle:
            fields = BundleFields.of(bundle)
        if json:
            print_json({"file": str(found), **asdict(fields)})
        else:
            print_lines(stdout_console(), _describe(fields))


app.command("export", cls=Command)(with_workspace(export))
app.command("import", cls=Command)(with_workspace(import_))
app.command("show", cls=Command)(show)


def _hooks(*, no_content: bool, redact: str | None) -> list[Redact]:
    hooks: list[Redact] = []
    if no_content:
        from plsync.recorder.content import without_content  # noqa: PLC0415 - few exports need it

        hooks.append(without_content)
    if redact is not None:
        from plsync.callbacks.resolve import import_named  # noqa: PLC0415 - as above

        hook: Any = import_named(redact)
        hooks.append(hook)
    return hooks


def _recipient(keys: Keys, name: str | None) -> TrustedCard:
    if name is not None:
        return keys.find(name, "hub")[0]
    hubs = [trusted for trusted in keys.trusted() if trusted.role == "hub"]
    if len(hubs) == 1:
        return hubs[0]
    if hubs:
        names = ", ".join(trusted.card.name for trusted in hubs)
        raise BundleError(f"several hubs are trusted: {names}; nothing was written; choose one with --to")
    raise BundleError("no hub is trusted; nothing was written; run `plsync keys trust CARD --role hub` first")


def _export_back(hub: Hub, keys: Keys, to: str | None, directory: Path) -> list[ExportReport]:
    if to is not None:
        keys.find(to, "origin")
    reports = []
    for origin in hub.origins():
        if to in (None, origin.name):
            card = keys.find(origin.name, "origin")[0].card
            with Journal.open(hub.journal(origin), create=True) as journal:
                reports.append(export_log(journal, origin.journal_id, keys, card, directory))
    return reports


def _import_one(path: Path, keys: Keys, target: Hub | Journal) -> dict[str, Any]:
    is_hub = isinstance(target, Hub)
    inbox = target.inbox if isinstance(target, Hub) else keys.path / "inbox"
    with opened(path, keys, inbox, is_kept=is_hub) as bundle:
        fields = BundleFields.of(bundle)
        if isinstance(target, Hub):
            return {**asdict(fields), **_to_hub(bundle, fields, target)}
        acked = apply_log(bundle, target)
        refused = [{"record_id": record_id, "reason": reason} for record_id, reason in acked.refused]
        return {**asdict(fields), "new": acked.new, "refused": refused, "unknown": acked.unknown}


def _to_hub(bundle: SignedBundle, fields: BundleFields, hub: Hub) -> dict[str, Any]:
    origin = hub.origin_of(fields)
    path = hub.prepare(origin)
    deadline = time.monotonic() + _TURN
    while True:
        try:
            with sole_sender(path), progress_bar("imported") as on_progress:
                done = hub.import_records(bundle, on_progress)
            return {"journal": str(path), "new": done.new}
        except JournalLocked:
            # `plsync run --hub` releases the lock after each turn.
            if time.monotonic() >= deadline:
                raise
            time.sleep(_BETWEEN)


def _is_for_another(path: Path, keys: Keys) -> bool:
    """Whether a file in a directory is a bundle that this machine wrote, or one for another machine."""
    try:
        signature = path.with_name(f"{path.name}.minisig").read_text(encoding="ascii", errors="replace")[:8192]
    except OSError:
        return False
    own = {key_id for key_id, _ in keys.identities()}
    found = [word[3:] for word in signature.split() if word.startswith("to=")]
    return bool(found) and found[0] not in own


def _deliver_callbacks(journal: Journal) -> bool:
    """Deliver the request ids to functions that can be imported, and wake other programs. Returns whether some wait."""
    from plsync.callbacks.dispatcher import CallbackDispatcher  # noqa: PLC0415 - an import at a hub delivers none
    from plsync.callbacks.resolve import ImportableFunctions  # noqa: PLC0415 - as above

    functions = ImportableFunctions([])
    dispatcher = CallbackDispatcher(journal, functions=functions)
    dispatcher.start()
    try:
        dispatcher.finish(_CALLBACKS)
    finally:
        dispatcher.stop(2.0)
    for report in dispatcher.reports():
        if report.delivered:
            print_note(f"{humanize.count(report.delivered, 'callback')} delivered")
        for error in report.errors:
            print_note(f"plsync: {error}")
    for reason in functions.unavailable.values():
        print_note(f"plsync: {reason}")
    return any(sink.waiting for sink in journal.callbacks.waiting())


def _exported(report: ExportReport) -> dict[str, Any]:
    files = [{"path": str(file.path), "bytes": file.bytes, "id": file.bundle_id} for file in report.files]
    return {**asdict(report), "files": files}


def _export_lines(report: ExportReport, *, is_hub: bool) -> Iterator[Text]:
    noun = "request id" if is_hub else "call"
    if not report.files:
        yield escaped(f"{report.to}: no {noun} to carry; nothing was written")
    for file in report.files:
        yield labelled(
            "written", escaped(f"{file.path}  {humanize.size(file.bytes)} for {report.to}, read back: whole")
        )
    if report.files:
        more = [f"{report.refused:,} refused or held"] if report.refused else []
        more += [f"{report.doubtful:,} may have been sent, and are looked up first"] if report.doubtful else []
        yield labelled("content", escaped(", ".join([humanize.count(report.records, noun), *more])))
    if report.running:
        yield escaped(f"{humanize.count(report.running, 'call')} not ended; the next export has them")
    for line in report.left_out:
        yield escaped(f"stays here: {line}", "yellow")


def _import_lines(fields: dict[str, Any]) -> Iterator[Text]:
    if fields["kind"] == "out":
        known = fields["records"] - fields["new"]
        counts = f"{humanize.count(fields['records'], 'call')}: {fields['new']:,} new, {known:,} known"
        yield escaped(f"{fields['signer']}  {_label(fields)}  {counts}")
        return
    yield escaped(f"{fields['signer']}  {_label(fields)}  {humanize.count(fields['new'], 'new request id')}")
    for refused in fields["refused"]:
        yield escaped(f"refused: {refused['record_id']}: {refused['reason']}", "red")
    if fields["unknown"]:
        number = humanize.count(fields["unknown"], "request id")
        yield escaped(f"{number} for calls that this journal does not have: was it put back from a copy?", "yellow")


def _label(fields: dict[str, Any]) -> str:
    names = BundleFields.__dataclass_fields__
    return BundleFields(**{name: fields[name] for name in names}).label


def _describe(fields: BundleFields) -> Iterator[Text]:
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(fields.created_at_ms / 1000))
    yield labelled("bundle", escaped(f"{fields.label} of {fields.signer}, made {made} by its clock"))
    yield labelled("signed by", escaped(f"{fields.signer}, key {fields.key_id}"))
    yield labelled("journal", escaped(fields.journal_id))
    content = (
        humanize.count(fields.records, "call") if fields.kind == "out" else humanize.count(fields.entries, "entry")
    )
    encrypted = "encrypted" if fields.encrypted else "not encrypted"
    yield labelled("content", escaped(f"{content}, {humanize.size(fields.bytes)}, {encrypted}"))
    yield labelled("id", escaped(fields.id))
