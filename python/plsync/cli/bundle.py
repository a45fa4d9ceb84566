"""``plsync bundle``: files that carry records over an air gap, and request ids back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from plsync.bundle.keys import Keys
from plsync.bundle.medium import bundles_in
from plsync.bundle.receive import BundleFields, opened
from plsync.cli import humanize, options
from plsync.cli.bundle_export import export
from plsync.cli.bundle_import import import_
from plsync.cli.bundle_lines import bundle_lines, describe, hub_names, orphan_lines
from plsync.cli.command_line import Command, Group
from plsync.cli.output import escaped, labelled, print_json, print_lines, stdout_console
from plsync.cli.passphrase import machine_keys
from plsync.cli.usage_errors import wrong_usage
from plsync.cli.workspaces import with_workspace
from plsync.errors import BundleError
from plsync.journal.journal import Journal

__all__ = ["app"]

app = typer.Typer(cls=Group, no_args_is_help=True, help="Carry records over an air gap, and request ids back.")


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
    keys = machine_keys()
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
