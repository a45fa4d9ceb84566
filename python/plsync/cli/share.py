"""``plsync share``."""

from __future__ import annotations

from typing import Annotated

import typer

from plsync._common.paths import default_journal
from plsync.cli import humanize, options
from plsync.cli.output import print_json, print_line
from plsync.cli.usage_errors import wrong_usage
from plsync.journal.journal import Journal
from plsync.journal.sharing import group_name, group_text

__all__ = ["share"]


def share(
    *,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="GROUP", help="The name or the number of the group to share it with."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the journal private again.")] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Share the journal with a group, so that several users record, send and read.

    Makes the journal if there is none, and repairs groups and modes of a shared one.
    Without options it shows the group. Only the owner of the directory or root can
    change it. Members can read all prompts, and change or delete all records.

    Examples:
        plsync share --group plsync --journal /var/lib/plsync/journal
        plsync share
    """
    if private and group is not None:
        raise wrong_usage("--private", "a private journal has no group; remove --group")
    path = default_journal() if journal is None else journal
    if group is None and not private:
        with Journal.open(path) as opened:
            number = opened.group
            if json:
                name = None if number is None else group_name(number)
                print_json({"journal": str(opened.path), "group": number, "name": name})
            else:
                print_line(f"{_sharing(number)}: {opened.path}")
        return
    try:
        report = Journal.share(path, group=group)
    except ValueError as error:
        raise wrong_usage(f"--group {group}", f"{error}: `getent group` lists the groups") from None
    if json:
        print_json(report.as_dict())
        return
    print_line(f"{_sharing(report.group)}: {report.journal} ({humanize.count(report.changed, 'file')} changed)")
    if report.changed and report.previous != report.group:
        print_line("Restart the programs that have it open.")


def _sharing(group: int | None) -> str:
    return "Private" if group is None else f"Shared with group {group_text(group)}"
