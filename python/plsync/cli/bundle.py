"""``plsync bundle``: files that carry records over an air gap, and request ids back."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from plsync.bundle.export import ExportReport, export_log, export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys, TrustedCard
from plsync.bundle.medium import bundles_in
from plsync.bundle.receive import BundleFields, apply_log, opened
from plsync.cli import humanize, options
from plsync.cli.bundle_lines import bundle_lines, describe, export_lines, hub_names, import_lines, orphan_lines
from plsync.cli.bundle_progress import progress_bar
from plsync.cli.command_line import Command, Group
from plsync.cli.output import escaped, labelled, print_json, print_lines, print_note, stdout_console
from plsync.cli.quota import NewLimit, parse_size
from plsync.cli.usage_errors import bad_value, wrong_usage
from plsync.cli.workspaces import with_workspace
from plsync.delivery.lock import sole_sender
from plsync.errors import BundleError, JournalLocked
from plsync.journal.bundles import Choice
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
    new: Annotated[bool, typer.Option("--new", help="Only records that no bundle carried yet.")] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also records that the hub has confirmed, or that belong to another hub."),
    ] = False,
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
        options.redact_option("A redact hook as of the handler: receives each event, and returns the event to write."),
    ] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Write records for a hub to a medium. With --hub: write request ids for its origins.

    Each export has all records that the hub has not confirmed, so a lost medium loses nothing.
    Scores, metadata, prompt links and groups go with them.
    Bundles are signed, and read back from the medium. Records are encrypted to the hub.

    Examples:
        plsync bundle export /media/stick
        plsync bundle export /media/stick --new
        plsync bundle export /media/stick --hub /srv/hub
    """
    if new and again:
        raise wrong_usage("--new", "--again is its opposite; choose one of them")
    choice: Choice = "new" if new else "again" if again else "unreceived"
    keys, failed = Keys(), False
    if not directory.is_dir():
        raise BundleError(f"{directory} is no directory; nothing was written; name a directory on the medium")
    if hub is not None:
        if no_content or redact is not None:
            raise wrong_usage("--redact" if redact is not None else "--no-content", "excludes --hub")
        reports, failed = _export_back(Hub(hub), keys, to, directory)
    else:
        trusted = _recipient(keys, to)
        limit = {} if split_size is None else {"split_size": split_size.limit}
        with Journal.open(journal) as origin, progress_bar("packed") as on_progress:
            exported = export_records(
                origin,
                keys,
                trusted.card,
                directory,
                encrypt=not plain,
                choice=choice,
                hooks=_hooks(no_content=no_content, redact=redact),
                on_progress=on_progress,
                **limit,
            )
            reports = [exported]
    for report in reports:
        if json:
            print_json(_exported(report))
        else:
            print_lines(stdout_console(), export_lines(report, is_hub=hub is not None))
    if failed:
        raise typer.Exit(1)
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
    Exits with 1 if a bundle is refused, with 3 if callbacks wait or a part is missing.

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
                if path not in named and (comment := _for_another(path, keys)) is not None:
                    # The stick still has the bundles that this machine exported.
                    if f"from={keys.own_or_raise().name}" not in comment:
                        print_note(f"{path.name} is for another machine, and was skipped")
                    continue
                failed = True
                print_note(f"plsync: {error}")
                continue
            if json:
                print_json({"file": str(path), **fields})
            else:
                print_lines(stdout_console(), import_lines(fields))
            waits = waits or bool(fields.get("missing_parts"))
        if isinstance(target, Journal) and not no_callbacks:
            waits = _deliver_callbacks(target) or waits
    if failed:
        raise typer.Exit(1)
    if waits:
        raise typer.Exit(_WORK_LEFT)


def list_(
    *,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="List request ids for calls that the journal does not have.")
    ] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List the bundles that this journal has written, and which of them a hub has confirmed.

    Examples:
        plsync bundle list
        plsync bundle list --orphans
    """
    names = hub_names(Keys())
    with Journal.open(journal) as opened_journal:
        bundles = opened_journal.bundles
        numbers = {number: names.get(key_id, key_id) for key_id, number in bundles.hubs().items()}
        if orphans:
            found = bundles.orphans()
            if json:
                for orphan in found:
                    print_json(orphan.as_dict() | {"hub": numbers[orphan.hub]})
            else:
                print_lines(stdout_console(), orphan_lines(found, numbers))
            return
        written = bundles.all()
        if json:
            for bundle in written:
                print_json(bundle.as_dict() | {"hub": numbers[bundle.hub]})
        else:
            print_lines(stdout_console(), bundle_lines(written, numbers))


def received(
    serials: Annotated[list[int] | None, typer.Argument(metavar="NUMBER", help="The numbers of exports.")] = None,
    *,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Note that the hub has received exports, as a person has read there. Their records do not go again.

    It is no request id: a record stays in the journal until the request id arrives.

    Examples:
        plsync bundle received 41 42
    """
    if not serials:
        raise wrong_usage("NUMBER", "this argument is required")
    with Journal.open(journal) as opened_journal:
        bundles = opened_journal.bundles
        chosen = [bundle for bundle in bundles.all() if bundle.serial in serials]
        if unknown := sorted(set(serials) - {bundle.serial for bundle in chosen}):
            raise BundleError(
                f"this journal has not written the export {unknown[0]}; nothing was changed; `plsync bundle list` "
                f"lists the exports"
            )
        records = bundles.receive(chosen)
    if json:
        print_json({"bundles": len(chosen), "records": records})
    else:
        text = f"{humanize.count(len(chosen), 'bundle')}, {humanize.count(records, 'record')} newly received"
        print_lines(stdout_console(), [labelled("received", escaped(text))])


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
            print_lines(stdout_console(), describe(fields))


app.command("export", cls=Command)(with_workspace(export))
app.command("import", cls=Command)(with_workspace(import_))
app.command("list", cls=Command)(with_workspace(list_))
app.command("received", cls=Command)(with_workspace(received))
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


def _export_back(hub: Hub, keys: Keys, to: str | None, directory: Path) -> tuple[list[ExportReport], bool]:
    """Write the logs, and return whether an origin is not trusted any more. It stops no other."""
    if to is not None:
        keys.find(to, "origin")
    reports, failed = [], False
    cards = {trusted.card.name: trusted.card for trusted in keys.trusted() if trusted.role == "origin"}
    for origin in hub.origins():
        if to not in (None, origin.name):
            continue
        if origin.name not in cards:
            print_note(f"plsync: {origin.name} is not trusted here; nothing was written for it; `plsync keys trust`")
            failed = True
            continue
        with Journal.open(hub.journal(origin), create=True) as journal:
            reports.append(export_log(journal, origin.journal_id, keys, cards[origin.name], directory))
    return reports, failed


def _import_one(path: Path, keys: Keys, target: Hub | Journal) -> dict[str, Any]:
    is_hub = isinstance(target, Hub)
    inbox = target.inbox if isinstance(target, Hub) else keys.path / "inbox"
    with opened(path, keys, inbox, is_kept=is_hub) as bundle:
        fields = BundleFields.of(bundle)
        if isinstance(target, Hub):
            return {**asdict(fields), **_to_hub(bundle, fields, target)}
        acked = asdict(apply_log(bundle, target, keys))
        refused = [{"record_id": record_id, "reason": reason} for record_id, reason in acked.pop("refused")]
        new = acked.pop("acked")
        return {**asdict(fields), **acked, "new": new, "refused": refused}


def _to_hub(bundle: SignedBundle, fields: BundleFields, hub: Hub) -> dict[str, Any]:
    origin = hub.origin_of(fields)
    path = hub.prepare(origin)
    deadline = time.monotonic() + _TURN
    while True:
        try:
            with sole_sender(path), progress_bar("imported") as on_progress:
                done = hub.import_records(bundle, on_progress)
            number = f"{fields.serial:06d} part "
            return {
                "journal": str(path),
                "new": done.new,
                "new_followups": done.followups,
                "requeued": done.requeued,
                "put_back": done.put_back,
                "missing": done.missing,
                "missing_parts": [name for name in done.missing if name.startswith(number)],
            }
        except JournalLocked:
            # `plsync run --hub` releases the lock after each turn.
            if time.monotonic() >= deadline:
                raise
            time.sleep(_BETWEEN)


def _for_another(path: Path, keys: Keys) -> list[str] | None:
    """The words of the signature's comment, if a file in a directory is a bundle for another machine."""
    try:
        signature = path.with_name(f"{path.name}.minisig").read_text(encoding="ascii", errors="replace")[:8192]
    except OSError:
        return None
    own = {key_id for key_id, _ in keys.identities()}
    words = signature.split()
    found = [word[3:] for word in words if word.startswith("to=")]
    return words if found and found[0] not in own else None


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
