"""A run waits out every shortage of its machine: of inotify, descriptors and disk space."""

from __future__ import annotations

import base64
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plsync.delivery.lock import current_sender
from plsync.testing import PromptLayerServer
from tests.delivery.test_run import COMMAND, environment
from tests.support.calls import AT, states, wait_until, write_calls
from tests.support.full_disk import fill, small_disk, small_ext4, stop_writes
from tests.support.spooling import SpoolWriter
from tests.support.users import needs_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")

IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "sh", "-c"]


def _can_limit() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*IN_NAMESPACE, "echo 0 > /proc/sys/user/max_inotify_instances"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_limits = pytest.mark.skipif(not _can_limit(), reason="needs the permission to make a user namespace")


@contextmanager
def running(path: Path, server: PromptLayerServer, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """A ``plsync run`` that ends with 0 and delivers all."""
    command = [*prefix, *COMMAND, "--settle", "1"]
    with subprocess.Popen(command, env=environment(path, server), stdout=subprocess.DEVNULL) as process:
        try:
            yield process
            wait_until(lambda: set(states(path).values()) == {"acked"})
            assert process.poll() is None
        finally:
            process.terminate()
        assert process.wait(30) == 0


@needs_limits
@pytest.mark.parametrize("limit", ["max_inotify_instances=0", "max_inotify_watches=0", "max_inotify_watches=2"])
def test_without_inotify_a_run_polls(path: Path, server: PromptLayerServer, limit: str) -> None:
    name, number = limit.split("=")
    write_calls(path, 1)
    with running(path, server, *IN_NAMESPACE, f'echo {number} > /proc/sys/user/{name}; exec "$@"', "sh"):
        wait_until(lambda: list(states(path).values()) == ["acked"])
        subprocess.run(
            [sys.executable, "-c", f"from tests.support.calls import *; write_calls(Path({str(path)!r}), 1)"],
            check=True,
        )
        wait_until(lambda: list(states(path).values()) == ["acked"] * 2, 20)


@needs_limits
def test_a_single_run_needs_no_inotify(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    limited = [*IN_NAMESPACE, 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"', "sh"]
    done = subprocess.run([*limited, *COMMAND, "--once"], env=environment(path, server), check=False, timeout=60)
    assert done.returncode == 0


def is_waiting(path: Path, reason: str) -> bool:
    sender = current_sender(path)
    return sender is not None and reason in sender.activity


def test_a_run_without_a_free_descriptor_waits(path: Path, server: PromptLayerServer) -> None:
    import resource  # noqa: PLC0415 - missing on Windows

    write_calls(path, 1)
    with running(path, server) as process:
        wait_until(lambda: list(states(path).values()) == ["acked"])
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        write_calls(path, 1)
        wait_until(lambda: is_waiting(path, "Too many open files"))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


def test_a_run_on_a_full_disk_waits(tmp_path: Path, server: PromptLayerServer) -> None:
    with small_disk(tmp_path) as disk:
        path = disk / "journal"
        write_calls(path, 1)
        with running(path, server) as process:
            wait_until(lambda: list(states(path).values()) == ["acked"])
            write_calls(path, 100)
            wait_until(lambda: set(states(path).values()) == {"acked"})
            process.send_signal(signal.SIGSTOP)
            # A record that fits nowhere, before others that do.
            writer = SpoolWriter(path)
            content = base64.b64encode(random.Random(1).randbytes(800_000)).decode()  # noqa: S311
            writer.call(content, "answer", at=AT)
            writer.close()
            write_calls(path, 400)
            ballast = fill(disk)
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: is_waiting(path, "waiting: "))
            ballast.unlink()


@needs_root
def test_a_run_on_a_disk_that_takes_no_writes_any_more_waits(tmp_path: Path, server: PromptLayerServer) -> None:
    with small_ext4(tmp_path / "disk") as disk:
        path = disk / "journal"
        write_calls(path, 1)
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(COMMAND, env=environment(path, server), stdout=output, stderr=output)
        wait_until(lambda: set(states(path).values()) == {"acked"})
        process.send_signal(signal.SIGSTOP)
        write_calls(path, 1)
        stop_writes(disk)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: "Read-only file system" in log.read_text())
        process.terminate()
        assert process.wait(30) in {0, 3}
        assert len(server.request_logs) == 1
