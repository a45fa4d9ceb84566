"""A connection to PromptLayer, and the size of its requests. Senders of several journals share it in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from plsync.delivery.batching import BatchSizer
from plsync.delivery.limits import MAX_BATCH_BYTES
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.settings import Settings
from plsync.promptlayer.thread_pool import StartThread, ThreadPool, start_thread

__all__ = ["Link", "Links", "connected"]

# Connections that are kept. Each has a few sockets, and a hub may have a key for each of a thousand journals.
_MOST: Final = 4


@dataclass(frozen=True)
class Link:
    """A connection to PromptLayer."""

    client: PromptLayerClient
    sizer: BatchSizer
    """The size of the next request, by the requests before it."""
    start: StartThread = start_thread
    """Starts a thread for requests."""


@contextlib.contextmanager
def connected(settings: Settings, timeout: float) -> Iterator[Link]:
    """A new connection, for one journal.

    Args:
        settings: the server and the place of the key.
        timeout: seconds for a response.

    Raises:
        AuthenticationError: the key cannot be read, or cannot be one.
        SyncError: the URL cannot be used, or the environment's proxy cannot.
    """
    with PromptLayerClient.connect(settings, timeout) as client:
        yield Link(client, BatchSizer(timeout, MAX_BATCH_BYTES))


class Links:
    """Connections and threads for the journals of one run, one journal after another.

    A new connection costs handshakes, and begins with small requests.
    """

    def __init__(self) -> None:
        self.threads = ThreadPool()
        self._open: dict[tuple[Settings, float], tuple[Link, contextlib.ExitStack]] = {}

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._close(next(iter(self._open)))
        self.threads.close()

    @contextlib.contextmanager
    def connected(self, settings: Settings, timeout: float) -> Iterator[Link]:
        """A connection with these settings. Reads the key each time. Arguments and errors as of :func:`connected`."""
        place = (settings, timeout)
        known = self._open.pop(place, None)
        # The connection that was used last comes last.
        self._open[place] = self._new(settings, timeout) if known is None else known
        link = self._open[place][0]
        try:
            if known is not None:
                link.client.renew_key()
            yield link
        except BaseException:
            # The next journal begins anew, without the cause of the failure.
            self._close(place)
            raise

    def _new(self, settings: Settings, timeout: float) -> tuple[Link, contextlib.ExitStack]:
        while len(self._open) >= _MOST:
            self._close(next(iter(self._open)))
        with contextlib.ExitStack() as opening:
            link = opening.enter_context(connected(settings, timeout))
            return replace(link, start=self.threads.start), opening.pop_all()

    def _close(self, place: tuple[Settings, float]) -> None:
        self._open.pop(place)[1].close()
