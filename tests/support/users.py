"""Runs a function in a process of another user. Only root can; the tests are skipped otherwise."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

STRANGER: Final = 65534
"""A user that owns nothing."""

needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change its user")


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that every user may enter and list. pytest's own are private."""
    path = Path(tempfile.mkdtemp(prefix="plsync-users-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def as_user(user: int, function: Callable[[], Any], *, groups: tuple[int, ...] = (), seconds: int = 30) -> Any:
    """The result of a function in a forked process of another user, or the exception that it raised.

    The interpreter may lie where that user cannot read. So the function needs modules that are imported already.
    """
    return in_child(function, before=lambda: _become(user, groups), seconds=seconds)


def in_child(function: Callable[[], Any], *, before: Callable[[], None] = lambda: None, seconds: int = 30) -> Any:
    """The result of a function in a forked process, or the exception that it raised; a process that hangs is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            before()
            try:
                result = function()
            except BaseException as error:
                error.__traceback__, error.__cause__, error.__context__ = None, None, None
                result = error
            os.write(writing, pickle.dumps(result))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        sent = pipe.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status), f"the process ended by signal {os.WTERMSIG(status)} (14: it hung)"
    return pickle.loads(sent)  # noqa: S301 - from this test's own process


def _become(user: int, groups: tuple[int, ...]) -> None:
    os.setgroups(groups)
    os.setgid(user)
    os.setuid(user)
    # Nothing of root's home may be needed, nor written.
    os.environ |= {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "XDG_DATA_HOME": "/nonexistent"}
