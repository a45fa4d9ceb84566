"""The cost of ``import plsync`` and a new handler, for a program that uses LangChain's callbacks already.

Usage: python benches/python/imports.py [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile

CLOCK = "import time; begin = time.perf_counter(); {work}; print((time.perf_counter() - begin) * 1000)"
BASE = "import langchain_core.callbacks.base"
WORKS = {
    "langchain_core.callbacks.base": BASE,
    "the same, plsync and a handler": f"{BASE}; from plsync import PromptLayerCallbackHandler as Handler; Handler()",
}


def milliseconds(work: str, journal: str) -> float:
    """The time that ``work`` takes in a fresh interpreter."""
    command = [sys.executable, "-c", CLOCK.format(work=work)]
    environment = os.environ | {"PLSYNC_JOURNAL": journal}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of importing plsync.")
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in WORKS}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(rounds + 1):
            for name, work in WORKS.items():
                times[name].append(milliseconds(work, f"{directory}/journal"))
    print(f"milliseconds to import (Python {platform.python_version()}, {os.cpu_count()} cores)")
    # The first round reads the files from the disk.
    medians = {name: statistics.median(samples[1:]) for name, samples in times.items()}
    for name, median in medians.items():
        print(f"{name:34}{median:8.1f}")
    base, with_plsync = medians.values()
    print(f"{'plsync adds':34}{with_plsync - base:8.1f}")


if __name__ == "__main__":
    main()
