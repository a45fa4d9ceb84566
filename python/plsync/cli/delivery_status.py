"""The part of ``plsync status`` about the delivery: to which server, how the last run ended, and the next step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plsync.cli import humanize
from plsync.delivery.lock import SenderProcess
from plsync.journal.reports import Stats
from plsync.journal.servers import LastRun, Server

__all__ = ["destination", "destinations", "elsewhere_lines", "last_run", "sent_to"]

_MOST_SERVERS: Final = 10


def destination(stats: Stats) -> str | None:
    """``to URL``, if all sent records went to one server; None if they went to several or to unknown ones."""
    sent = [server for server in stats.servers if server.acked]
    return f"to {sent[0].url}" if len(sent) == 1 and not _unknown(stats) else None


def sent_to(stats: Stats) -> str | None:
    """Where the sent records went, in a few words; None if no server is known."""
    servers = sum(bool(server.acked) for server in stats.servers)
    return destination(stats) or (
        f"to {humanize.count(servers + bool(_unknown(stats)), 'server')}" if servers else None
    )


def destinations(stats: Stats) -> Iterator[str]:
    """One line for each server that sent records went to; none if there is only one."""
    if destination(stats) is not None:
        return
    sent = sorted((server for server in stats.servers if server.acked), key=lambda server: server.acked, reverse=True)
    for server in sent[:_MOST_SERVERS]:
        yield f"{server.acked:,} to {_named(server, stats)}"
    if rest := sent[_MOST_SERVERS:]:
        yield f"{sum(server.acked for server in rest):,} to {len(rest):,} more servers; --json lists them"
    if sent and (unknown := _unknown(stats)):
        yield f"{unknown:,} by an earlier version of plsync, which did not store the server"


def last_run(stats: Stats, sender: SenderProcess | None) -> str | None:
    """When the last sender ran, to which server, and how it ended; None while a sender runs, and before the first."""
    run = stats.last_run
    if run is None or sender is not None:
        return None
    where = f", to {run.url}" if run.url else ""
    if run.ended_at is None:
        return f"began {humanize.age(run.began_at)} ago{where}, and did not store its end: it may have been killed"
    return f"{humanize.age(run.ended_at)} ago{where}: {_ending(run)}"


def elsewhere_lines(stats: Stats) -> Iterator[str]:
    """One line for each server that has records in doubt and is no longer the journal's, and one for stand-ins."""
    bound = next((_named(server, stats) for server in stats.servers if server.bound), "another server")
    for server in stats.servers:
        if server.in_doubt and not server.bound:
            name = server.key if _is_shared(server, stats) else server.url
            others = f", together with the {humanize.count(server.acked, 'record')} that it has" if server.acked else ""
            yield (
                f"{humanize.count(server.in_doubt, 'unclear record')} went to {_named(server, stats)}. `plsync retry "
                f"--sent-to {name}` sends them to {bound}{others}; `plsync run --rebind` with the URL and key of "
                "before looks them up there."
            )
    if sent := sum(server.acked for server in stats.servers if server.stand_in):
        yield (
            f"{humanize.count(sent, 'record')} went to a stand-in. "
            "With an account, `plsync retry --sent-to stand-in` sends them to PromptLayer."
        )


def _ending(run: LastRun) -> str:
    if run.outcome == "ok":
        return "ended without a failure"
    if run.outcome == "unauthorized":
        return f"the server refused the API key ({run.reason})"
    return run.reason or run.outcome


def _named(server: Server, stats: Stats) -> str:
    """The URL, with more where several servers of the journal share it."""
    key = f", key {server.key}" if _is_shared(server, stats) else ""
    return f"{server.url}{key}{' (a stand-in)' if server.stand_in else ''}"


def _is_shared(server: Server, stats: Stats) -> bool:
    """Whether several keys sent to its URL."""
    return sum(other.url == server.url for other in stats.servers) > 1


def _unknown(stats: Stats) -> int:
    return max(0, stats.states["acked"] - sum(server.acked for server in stats.servers))
