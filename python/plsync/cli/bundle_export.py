"""``plsync bundle export``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from plsync.bundle.export import ExportReport, export_log, export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys, TrustedCard
from plsync.cli import completion, options
from plsync.cli.bundle_lines import export_lines
from plsync.cli.bundle_progress import progress_bar
from plsync.cli.bundle_templates import TemplatesOfHub, kept_templates, note_stated_templates
from plsync.cli.output import print_json, print_lines, print_note, stdout_console
from plsync.cli.passphrase import machine_keys
from plsync.cli.quota import NewLimit, parse_size
from plsync.cli.usage_errors import bad_value, wrong_usage
from plsync.errors import BundleError
from plsync.journal.bundles import Choice
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync._common.redaction import Redact

__all__ = ["export"]

_WORK_LEFT: Final = 3
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
        str | None,
        typer.Option(
            "--to",
            metavar="NAME",
            help="The hub, or the origin. Default: the only trusted one.",
            autocompletion=completion.machines,
        ),
    ] = None,
    hub: Annotated[Path | None, _HUB] = None,
    new: Annotated[bool, typer.Option("--new", help="Only records that no bundle carried yet.")] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Also records that the hub has confirmed, or that belong to another hub. With --hub: also the "
            "log that the origins have read.",
        ),
    ] = False,
    exports: Annotated[
        list[int] | None,
        typer.Option(
            "--bundle",
            parser=options.number(1),
            metavar="NUMBER",
            help="Only the records of this earlier export that still wait. Repeatable.",
        ),
    ] = None,
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
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="With --hub: encrypt the request ids and templates to the origin.")
    ] = False,
    no_templates: Annotated[
        bool, typer.Option("--no-templates", help="With --hub: leave the prompt templates out.")
    ] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Write records for a hub to a medium. With --hub: write request ids and prompt templates for its origins.

    Each export has all records that the hub has not confirmed, so a lost medium loses nothing.
    Scores, metadata, prompt links and groups go with them.
    Bundles are signed, and read back from the medium. Records are encrypted to the hub.

    Examples:
        plsync bundle export /media/stick
        plsync bundle export /media/stick --new
        plsync bundle export /media/stick --bundle 41
        plsync bundle export /media/stick --hub /srv/hub
    """
    if new and again:
        raise wrong_usage("--new", "--again is its opposite; choose one of them")
    if exports and (new or again):
        raise wrong_usage("--bundle", "it chooses the records: use it without --new and --again")
    choice: Choice = "exported" if exports else "new" if new else "again" if again else "unreceived"
    keys, failed = machine_keys(), False
    if not directory.is_dir():
        raise BundleError(f"{directory} is no directory; nothing was written; name a directory on the medium")
    if hub is not None:
        of_records = {
            "--redact": redact is not None,
            "--no-content": no_content,
            "--bundle": bool(exports),
            "--new": new,
            "--plain": plain,
            "--split-size": split_size is not None,
        }
        for option in (name for name, is_set in of_records.items() if is_set):
            raise wrong_usage(option, "excludes --hub")
        back = _Back(Hub(hub), keys, directory, encrypt=encrypt, again=again, with_templates=not no_templates)
        reports, failed = back.export(to)
    elif encrypt or no_templates:
        raise wrong_usage("--encrypt" if encrypt else "--no-templates", "needs --hub")
    else:
        trusted = _recipient(keys, to)
        limit = {} if split_size is None else {"split_size": split_size.limit}
        with Journal.open(journal) as origin, progress_bar("packed") as on_progress:
            templates = kept_templates(origin, trusted.card.name)
            exported = export_records(
                origin,
                keys,
                trusted.card,
                directory,
                encrypt=not plain,
                choice=choice,
                exports=exports or (),
                templates=templates,
                hooks=_hooks(no_content=no_content, redact=redact),
                on_progress=on_progress,
                **limit,
            )
            note_stated_templates(origin, trusted.card.name, templates if exported.files else None)
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


@dataclass(frozen=True)
class _Back:
    """The export of a hub for its origins."""

    hub: Hub
    keys: Keys
    directory: Path
    encrypt: bool
    again: bool
    with_templates: bool

    def export(self, to: str | None) -> tuple[list[ExportReport], bool]:
        """Write a bundle for each origin, or for one. The second value is whether an origin is not trusted."""
        if to is not None:
            self.keys.find(to, "origin")
        templates, reports, failed = TemplatesOfHub(self.hub), list[ExportReport](), False
        trusted = [found for found in self.keys.trusted() if found.role == "origin"]
        for origin in self.hub.origins():
            card = next((found.card for found in trusted if found.has(origin.key_id)), None)
            if to is not None and to not in (origin.name, card and card.name):
                continue
            if card is None:
                print_note(
                    f"plsync: {origin.name} is not trusted here; nothing was written for it; `plsync keys trust`"
                )
                failed = True
                continue
            found = templates.waiting(origin, again=self.again) if self.with_templates else None
            with Journal.open(self.hub.journal(origin), create=True) as journal:
                reports.append(
                    export_log(
                        journal,
                        origin.journal_id,
                        self.keys,
                        card,
                        self.directory,
                        encrypt=self.encrypt,
                        again=self.again,
                        templates=found,
                    )
                )
        return reports, failed


def _exported(report: ExportReport) -> dict[str, Any]:
    files = [{"path": str(file.path), "bytes": file.bytes, "id": file.bundle_id} for file in report.files]
    since = report.again_since and report.again_since.isoformat()
    found = {**asdict(report), "again_since": since, "files": files}
    del found["is_unconfirmed"]
    return found
