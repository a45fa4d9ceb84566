"""The binding of a journal to one workspace: a server, and the API key of an account there.

The first delivery binds a journal. Another server or key is refused before anything is sent. So no record reaches
another workspace, and no record in doubt is looked up there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from plsync.errors import WrongWorkspace
from plsync.journal.servers import Server
from plsync.promptlayer.outcomes import Ambiguous, Found, Missing, Outcome, Refused, Unreachable
from plsync.promptlayer.request_threads import call_unless_stopped

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["Binding"]

# Acks that are searched for one of the bound server.
_MOST_ACKS: Final = 20
_MOST_LOOKUPS: Final = 3


class Binding:
    """Binds one journal to the workspace of a client. The caller holds the journal's ``sync.lock``.

    Args:
        journal: the journal.
        client: the connection to PromptLayer.
        stopped: read while the server is queried. Once it returns True the response is not waited for.
    """

    def __init__(self, journal: Journal, client: PromptLayerClient, stopped: Callable[[], bool]) -> None:
        self._journal = journal
        self._client = client
        self._stopped = stopped
        self._bound: tuple[bytes, bool] | None = None
        self.left: Server | None = None
        """The server that the journal was bound to before :meth:`check` went to another workspace."""

    def check(self, *, rebind: bool = False) -> Outcome | None:
        """Bind the journal to the client's server and key, unless it is bound to another workspace.

        A new key of the same workspace is accepted. It is known by a look-up of a record that the old key delivered.

        Args:
            rebind: go to another workspace. Records in doubt stay with the server that they were sent to.

        Returns:
            None when the journal is bound; else why the server's answer could not be read.

        Raises:
            WrongWorkspace: the journal is bound to another workspace.
            JournalError: the journal cannot be written.
        """
        account, is_stand_in = self._client.account(self._journal.outbox.secret()), self._client.is_stand_in
        if self._bound == (account, is_stand_in):
            return None
        bound = self._bind(account)
        if bound is not None and (outcome := self._resolve(bound, account, rebind=rebind)) is not None:
            return outcome
        self._bound = (account, self._client.is_stand_in)
        return None

    def _resolve(self, bound: Server, account: bytes, *, rebind: bool) -> Outcome | None:
        """Find out whether the client's account is the bound one, in spite of another URL or key."""
        if bound.stand_in and self._client.is_loopback and not self._client.is_stand_in:
            # The ports of stand-ins change from run to run. Their data is test data, wherever it is.
            outcome = call_unless_stopped(self._stopped, self._client.greet, "plsync-greeting")
            if not self._client.is_stand_in and (outcome is None or isinstance(outcome, Unreachable | Ambiguous)):
                return outcome or _interrupted()
        if bound.stand_in and self._client.is_stand_in:
            self._bind(account)
            return None
        if bound.url == self._client.url:
            outcome = self._look_up_old(bound)
            if isinstance(outcome, Found):
                self._bind(account, "rotate")
                return None
            if not isinstance(outcome, Missing | Refused):
                return outcome
        if not rebind:
            raise self._refusal(bound)
        self._bind(account, "leave")
        self.left = bound
        return None

    def _bind(self, account: bytes, how: str = "refuse") -> Server | None:
        return self._journal.outbox.bind(self._client.url, account, stand_in=self._client.is_stand_in, how=how)

    def _look_up_old(self, bound: Server) -> Outcome:
        """Look up records that the bound server has, until one is found. Only a key of the same workspace finds one."""
        outcome: Outcome = Missing("no record that could show the workspace of the key")
        for record in islice(self._newest_at(bound), _MOST_LOOKUPS):
            look_up = partial(self._client.look_up, record.trace_id)
            outcome = call_unless_stopped(self._stopped, look_up, "plsync-look-up") or _interrupted()
            # A person may have deleted a record at PromptLayer.
            if not isinstance(outcome, Missing):
                break
        return outcome

    def _newest_at(self, bound: Server) -> Iterator[Record]:
        for record in self._journal.outbox.newest_acked(_MOST_ACKS):
            if record.server_id == bound.id:
                yield record

    def _refusal(self, bound: Server) -> WrongWorkspace:
        path, url = self._journal.path, self._client.url
        if bound.url == url:
            refusal = WrongWorkspace(
                f"{path} sends to {url} with another API key; nothing was sent: use the key of before. "
                "`plsync run --rebind` accepts a replaced key, or the key of another workspace"
            )
            refusal.by_key = True
            return refusal
        sent_to, kind = ("stand-in", ", a stand-in") if bound.stand_in else (bound.url, "")
        return WrongWorkspace(
            f"{path} sends to {bound.url}{kind}, not to {url}; nothing was sent: use the URL of before, or go on with "
            f"`plsync run --rebind`. `plsync retry --sent-to {sent_to}` sends the calls of that server again"
        )


def _interrupted() -> Outcome:
    return Unreachable("stopped before the server had responded")
