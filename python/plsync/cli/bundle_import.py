"""``plsync bundle import``."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys
from plsync.bundle.medium import bundles_in, read_signature
from plsync.bundle.receive import BundleFields, apply_log, opened, sender_of
from plsync.cli import options
from plsync.cli.bundle_lines import import_lines
from plsync.cli.bundle_progress import progress_bar
from plsync.cli.bundle_templates import keep_templates
from plsync.cli.output import print_json, print_lines, print_note, stdout_console
from plsync.cli.passphrase import machine_keys
from plsync.cli.usage_errors import wrong_usage
from plsync.delivery.lock import sole_sender
from plsync.errors import BundleError, JournalError, JournalLocked
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync._common.native import SignedBundle

__all__ = ["import_"]

_WORK_LEFT: Final = 3
# Seconds for a run at the hub to end its turn, and between two looks.
_TURN: Final = 90.0
_BETWEEN: Final = 0.2

_HUB = typer.Option("--hub", metavar="DIR", help="The directory of the hub.", show_default=False)


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
    Request ids reach callbacks as in `plsync run`, and prompt templates the cache. No socket is opened.
    Exits with 1 if a bundle is refused, with 3 if callbacks wait or a part is missing.

    Examples:
        plsync bundle import /media/stick
        plsync bundle import /media/stick --hub /srv/hub
    """
    if not paths:
        raise wrong_usage("PATH", "this argument is required")
    keys = machine_keys()
    keys.own_or_raise()
    found = list(bundles_in(paths))
    named = {path for path in paths if not path.is_dir()}
    if not found:
        print_note("there is no bundle; nothing was changed")
    failed = waits = False
    with contextlib.ExitStack() as stack:
        target = Hub(hub) if hub is not None else stack.enter_context(_journal(journal, found, keys))
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
            from plsync.cli.callback_delivery import deliver_callbacks  # noqa: PLC0415 - an import at a hub delivers none

            waits = deliver_callbacks(target, json=json) or waits
    if failed:
        raise typer.Exit(1)
    if waits:
        raise typer.Exit(_WORK_LEFT)


def _journal(path: Path | None, found: list[Path], keys: Keys) -> Journal:
    try:
        return Journal.open(path)
    except JournalError:
        own = {f"to={key_id}" for key_id in keys.key_ids()}
        if found and all("kind=out" in (words := _words(each)) and own & set(words) for each in found):
            raise BundleError(
                "the bundles carry records to this machine as a hub; nothing was changed; name its directory with "
                "--hub DIR"
            ) from None
        raise


def _import_one(path: Path, keys: Keys, target: Hub | Journal) -> dict[str, Any]:
    is_hub = isinstance(target, Hub)
    inbox = target.inbox if isinstance(target, Hub) else keys.path / "inbox"
    with opened(path, keys, inbox, is_kept=is_hub) as bundle:
        fields = BundleFields.of(bundle)
        if isinstance(target, Hub):
            return {**asdict(fields), **_to_hub(bundle, fields, target, keys)}
        # Before the log: a killed process reads both again.
        templates = keep_templates(bundle, fields, target, sender_of(bundle, target, keys))
        acked = asdict(apply_log(bundle, target, keys))
        refused = [{"record_id": record_id, "reason": reason} for record_id, reason in acked.pop("refused")]
        new = acked.pop("acked")
        kept = {"new_templates": templates.new, "older_templates": templates.is_older}
        return {**asdict(fields), **acked, "new": new, "refused": refused, **kept}


def _to_hub(bundle: SignedBundle, fields: BundleFields, hub: Hub, keys: Keys) -> dict[str, Any]:
    origin = hub.origin_of(fields, keys)
    path = hub.prepare(origin)
    deadline = time.monotonic() + _TURN
    while True:
        try:
            with sole_sender(path), progress_bar("imported") as on_progress:
                done = hub.import_records(bundle, on_progress, keys=keys)
            number = f"{fields.serial:06d} part "
            return {
                "journal": str(path),
                "new": done.new,
                "new_followups": done.followups,
                "requeued": done.requeued,
                "put_back": done.put_back,
                "missing": done.missing,
                "repeated": done.repeated,
                "missing_parts": [name for name in done.missing if name.startswith(number)],
            }
        except JournalLocked:
            # `plsync run --hub` releases the lock after each turn.
            if time.monotonic() >= deadline:
                raise
            time.sleep(_BETWEEN)


def _for_another(path: Path, keys: Keys) -> list[str] | None:
    """The words of the signature's comment, if a file in a directory is a bundle for another machine."""
    words = _words(path)
    found = [word[3:] for word in words if word.startswith("to=")]
    return words if found and found[0] not in keys.key_ids() else None


def _words(path: Path) -> list[str]:
    """The words of the signature of a bundle, which nothing verifies here; none if it cannot be read."""
    try:
        return read_signature(path).split()
    except BundleError:
        return []
