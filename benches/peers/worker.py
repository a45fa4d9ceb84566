"""A program with one recorder. peers.py starts it with the interpreter of the recorder's environment.

Usage: python worker.py TASK RECORDER [ARGUMENT...]
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from recorders import RECORDERS

MARK = "mark{:05d}mark"
"""Stands in the prompt of each counted call."""


def imports(name: str) -> None:
    """Print the milliseconds of importing and making the handler, in a program that uses LangChain's callbacks."""
    import langchain_core.callbacks.base  # noqa: PLC0415
    import langchain_core.language_models.fake_chat_models  # noqa: PLC0415
    import langchain_core.tracers  # noqa: F401, PLC0415

    begin = time.perf_counter()
    RECORDERS[name].make(False)
    print((time.perf_counter() - begin) * 1000)


def costs(name: str) -> None:
    """Serve measurements: each line of the input is a work and a number of calls."""
    from noop import Noop  # noqa: PLC0415
    from works import works  # noqa: PLC0415

    peers = {"no-op": Noop(), "recorder": RECORDERS[name].make(True)}
    known = works()
    print("ready", flush=True)
    for line in sys.stdin:
        work, count = json.loads(line)
        times: dict[str, list[int]] = {peer: [] for peer in peers}
        for _ in range(count):
            for peer, handler in peers.items():
                begin = time.perf_counter_ns()
                known[work](handler)
                times[peer].append(time.perf_counter_ns() - begin)
        print(json.dumps({peer: statistics.median(spent) / 1000 for peer, spent in times.items()}), flush=True)


def calls(name: str, count: str, ending: str) -> None:
    """Make calls with marks, print the time of the monotonic clock, and end or die by SIGKILL.

    Args:
        name: the recorder.
        count: the number of calls.
        ending: ``"end"``, or the seconds until SIGKILL.
    """
    from works import Fixed  # noqa: PLC0415

    handler, model = RECORDERS[name].make(False), Fixed()
    for number in range(int(count)):
        model.invoke(MARK.format(number), {"callbacks": [handler]})
    print(time.monotonic(), flush=True)
    if ending != "end":
        time.sleep(float(ending))
        os.kill(os.getpid(), signal.SIGKILL)


def paced(name: str, count: str, rate: str, after: str) -> None:
    """Make calls with marks at a steady rate, wait, and end.

    Args:
        name: the recorder.
        count: the number of calls.
        rate: calls per second.
        after: seconds to wait after the last call.
    """
    from works import Fixed  # noqa: PLC0415

    handler, model = RECORDERS[name].make(False), Fixed()
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    for number in range(int(count)):
        time.sleep(max(0.0, begin + number / float(rate) - time.monotonic()))
        model.invoke(MARK.format(number), {"callbacks": [handler]})
    time.sleep(float(after))


def memory(name: str, count: str, after: str) -> None:
    """Print the resident megabytes before some calls of 8 KB, after them, and some seconds later."""
    from works import BIG, Fixed  # noqa: PLC0415

    handler, model = RECORDERS[name].make(False), Fixed()
    for _ in range(50):
        model.invoke(BIG, {"callbacks": [handler]})
    sizes = [_resident()]
    for _ in range(int(count)):
        model.invoke(BIG, {"callbacks": [handler]})
    sizes.append(_resident())
    time.sleep(float(after))
    print(json.dumps([*sizes, _resident()]), flush=True)
    os._exit(0)  # some recorders wait for their server at the end


def _resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


if __name__ == "__main__":
    # The agent is the one of benches/python/trees.py.
    sys.path.append(str(Path(__file__).parents[1] / "python"))
    tasks: dict[str, Callable[..., None]] = {each.__name__: each for each in (imports, costs, calls, paced, memory)}
    tasks[sys.argv[1]](*sys.argv[2:])
