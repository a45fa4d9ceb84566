"""A pool calls functions in threads that work again."""

from __future__ import annotations

import queue
import threading
from functools import partial

from plsync.promptlayer.request_threads import RequestThreads
from plsync.promptlayer.thread_pool import ThreadPool


def names(pool: ThreadPool, count: int) -> set[int]:
    """The threads of functions that run one after another."""
    idents: queue.SimpleQueue[int] = queue.SimpleQueue()
    found = set()
    for _ in range(count):
        pool.start(lambda: idents.put(threading.get_ident()), "work")
        found.add(idents.get(timeout=10))
        # The thread waits for work before the next function comes.
        while not pool.is_waiting:
            pass
    return found


def meet(barrier: threading.Barrier) -> None:
    barrier.wait(10)


def test_one_thread_calls_functions_one_after_another_and_ends_with_the_pool() -> None:
    pool = ThreadPool()
    [ident] = names(pool, 5)
    [thread] = [thread for thread in threading.enumerate() if thread.ident == ident]
    assert (thread.daemon, thread.name) == (True, "work")
    pool.close()
    thread.join(10)
    assert not thread.is_alive()


def test_functions_that_run_at_once_have_a_thread_each() -> None:
    pool, barrier = ThreadPool(), threading.Barrier(4)
    for _ in range(3):
        pool.start(partial(meet, barrier), "work")
    barrier.wait(10)
    pool.close()


def test_request_threads_leave_their_threads_to_the_next_ones() -> None:
    pool, used = ThreadPool(), set()

    def work(item: int) -> int:
        used.add(threading.get_ident())
        return item * 2

    for number in range(3):
        threads = RequestThreads(work, 1, f"requests {number}", pool.start)
        threads.submit(21)
        [(_, result)] = threads.collect(10)
        threads.close()
        assert result == 42
        while not pool.is_waiting:
            pass
    assert len(used) == 1
    pool.close()
