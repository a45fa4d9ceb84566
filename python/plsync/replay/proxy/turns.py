"""Lets the calls that an event loop replays at once end in the order in which they ended when they were recorded.

Replay needs no time, so concurrent calls would end in the order in which they began. A program that takes the first
answer, or cancels a slower call, would then take another path than in the recorded run. So each call waits for its turn
on a virtual clock. A call of 80 ms that begins with a call of 20 ms ends after it. Before that, the program has reacted
to the result of the faster call. No real time passes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import weakref
from typing import Any, Final

__all__ = ["wait_for_turn"]

# A loop without a list of ready callbacks gets this many iterations before the next call ends.
_ITERATIONS: Final = 50
_MOST_ITERATIONS: Final = 1000

_numbers: Final = itertools.count()
_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = weakref.WeakKeyDictionary()


async def wait_for_turn(seconds: float) -> None:
    """Wait until the calls of this event loop that took less time have ended.

    Args:
        seconds: the recorded time of the call.
    """
    loop = asyncio.get_running_loop()
    turns = _by_loop.get(loop)
    if turns is None:
        turns = _by_loop[loop] = _Turns()
    await turns.wait(loop, seconds)


class _Turns:
    """The waiting calls of one event loop, by the virtual time at which they end."""

    def __init__(self) -> None:
        self._now = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._is_scheduled = False
        self._iterations = 0

    async def wait(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        if not self._waiting and not getattr(loop, "_ready", True):
            return  # no other task can begin a call before this call ends
        turn = loop.create_future()
        heapq.heappush(self._waiting, (self._now + seconds, next(_numbers), turn))
        self._iterations = 0
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._poll, loop)
        await turn

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        self._iterations += 1
        if not self._is_idle(loop):
            loop.call_soon(self._poll, loop)
            return
        self._iterations = 0
        while self._waiting:
            due, _, turn = heapq.heappop(self._waiting)
            if not turn.done():  # a cancelled call has no turn
                self._now = due
                turn.set_result(None)
                break
        self._is_scheduled = bool(self._waiting)
        if self._waiting:
            loop.call_soon(self._poll, loop)
        else:
            self._now = 0.0

    def _is_idle(self, loop: Any) -> bool:
        """Whether every task waits for something: then nothing can end before the next turn."""
        ready = getattr(loop, "_ready", None)
        if ready is None or self._iterations > _MOST_ITERATIONS:
            return self._iterations > _ITERATIONS
        return not ready
