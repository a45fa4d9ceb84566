"""``plsync retry --sent-to URL``: records that went to another server are sent again, to the present one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from plsync.cli import humanize
from plsync.cli.output import print_note
from plsync.cli.usage_errors import bad_value
from plsync.delivery.lock import sole_sender
from plsync.errors import SyncError
from plsync.journal.journal import Journal
from plsync.journal.servers import UNKNOWN_SERVER

__all__ = ["withdraw"]

_UNKNOWN: Final = "unknown"
_STAND_IN: Final = "stand-in"


def withdraw(journal: Journal, urls: Sequence[str]) -> int:
    """Make the records of these servers pending, and return their number.

    Args:
        journal: the journal.
        urls: base URLs; ``stand-in`` for every stand-in; ``unknown`` for request ids without a server.

    Raises:
        BadParameter: the journal has no records of such a server.
        JournalLocked: a process sends from this journal.
    """
    records = 0
    with sole_sender(journal.path):
        for url in urls:
            reason = f"sent to {url} before; `plsync retry --sent-to` sends it again"
            done = journal.outbox.withdraw(_server_ids(journal, url), reason)
            records += done["records"]
            if pruned := done["pruned"]:
                print_note(f"{humanize.count(pruned, 'record')} of {url} stay: the quota removed their content")
            if busy := done["busy"]:
                print_note(f"{humanize.count(busy, 'record')} of {url} stay: their callback runs; run this again later")
    return records


def _server_ids(journal: Journal, url: str) -> list[int]:
    if url == _UNKNOWN:
        return [UNKNOWN_SERVER]
    servers = journal.outbox.servers()
    if url == _STAND_IN:
        return [server.id for server in servers if server.stand_in]
    from plsync.promptlayer.server_url import ServerURL  # noqa: PLC0415 - an HTTP client is slow to import

    try:
        shown = ServerURL.parse(url, "--sent-to").shown
    except SyncError as error:
        raise bad_value(url, str(error)) from None
    if found := [server.id for server in servers if server.url == shown]:
        return found
    known = ", ".join(dict.fromkeys(server.url for server in servers)) or "no server"
    raise bad_value(url, f"no record went there; this journal knows {known}")
