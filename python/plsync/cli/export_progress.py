"""The progress of an export, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

__all__ = ["progress"]


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int], None]]:
    """A function that shows the number of records on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def show(records: int) -> None:
        print(f"\r{records:,} records", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr, flush=True)
