"""``plsync retry --sent-to URL``: records that went to another server are sent again, to the present one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from plsync.cli import humanize
from plsync.cli.output import print_note
from plsync.cli.usage_errors import wrong_usage
from plsync.delivery.lock import sole_sender
from plsync.journal.journal import Journal
from plsync.journal.servers import UNKNOWN_SERVER, Server

__all__ = ["withdraw"]

_UNKNOWN: Final = "unknown"
_STAND_IN: Final = "stand-in"


def withdraw(journal: Journal, urls: Sequence[str]) -> int:
    """Make the records of these servers pending, and return their number.

    Args:
        journal: the journal.
        urls: base URLs, or the keys of ``plsync status``; ``stand-in`` for every stand-in; ``unknown`` for request ids
            without a server.

    Raises:
        BadParameter: the journal has no records of such a server, or a URL is of several keys.
        JournalLocked: a process sends from this journal.
    """
    records = 0
    with sole_sender(journal.path):
        for url in urls:
            reason = f"sent to {url} before; `plsync retry --sent-to` sends it again"
            done = journal.outbox.withdraw(_server_ids(journal, url), reason)
            records += done["records"]
            if pruned := done["pruned"]:
                print_note(f"{humanize.count(pruned, 'record')} of {url} cannot be sent again without their content")
            if busy := done["busy"]:
                print_note(f"{humanize.count(busy, 'record')} of {url} stay: their callback runs; run this again later")
    return records


def _server_ids(journal: Journal, named: str) -> list[int]:
    if named == _UNKNOWN:
        return [UNKNOWN_SERVER]
    servers = journal.outbox.servers()
    if named == _STAND_IN:
        return [server.id for server in servers if server.stand_in]
    found = [server for server in servers if named in {server.key, server.url}] or _with_url(servers, named)
    if not found:
        known = ", ".join(dict.fromkeys(server.url for server in servers)) or "no server"
        raise wrong_usage(f"--sent-to {named}", f"no record went there; this journal knows {known}")
    # The stand-ins of one URL are one workspace. Other keys may be of several, and one of them may be the present one.
    if len(found) > 1 and not all(server.stand_in for server in found):
        keys = ", ".join(f"{server.key}{' (the present one)' if server.bound else ''}" for server in found)
        raise wrong_usage(f"--sent-to {named}", f"{len(found)} API keys sent there: choose one of {keys}")
    return [server.id for server in found]


def _with_url(servers: Sequence[Server], text: str) -> list[Server]:
    """The servers whose URL is another spelling of the text."""
    from plsync.promptlayer.server_url import ServerURL  # noqa: PLC0415 - an HTTP client is slow to import

    shown = ServerURL.shown_of(text)
    return [server for server in servers if server.url == shown]
