"""What importing plsync and making a handler adds to a program that uses LangChain's callbacks already.

Usage: python benches/imports.py [--rounds N]
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
    """How long a fresh interpreter takes for ``work``."""
    command = [sys.executable, "-c", CLOCK.format(work=work)]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"PLSYNC_JOURNAL": journal}
    )
    return float(found.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="What importing plsync costs.")
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in WORKS}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(rounds + 1):
            for name, work in WORKS.items():
                times[name].append(milliseconds(work, f"{directory}/journal"))
    print(f"milliseconds to import (Python {platform.python_version()}, {os.cpu_count()} cores)")
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    for name, median in medians.items():
        print(f"{name:34}{median:8.1f}")
    base, ours = medians.values()
    print(f"{'plsync adds':34}{ours - base:8.1f}")


if __name__ == "__main__":
    main()
