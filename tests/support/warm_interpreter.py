"""Runs ``plsync`` in a fork of an interpreter that has imported it, which takes a fifth of the time of a new one.

A server process without threads forks one process for each command. The command gets the arguments, environment,
directory, umask and streams that a new interpreter would get, and ends as one does. :func:`can_run` is false for a
command whose environment acts on the start of an interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PLSYNC = Path(sys.executable).with_name("plsync")

# Variables that an interpreter or a module reads once, when it starts or is imported.
_READ_AT_START = (
    "PYTHON",
    "LANG",
    "LC_",
    "LD_",
    "MALLOC_",
    "RUST_",
    "FORCE_COLOR",
    "PY_COLORS",
    "GITHUB_",
    "TERMINAL_",
)
_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE")


class _Server:
    """The server process of this process, and the channel to it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.limits = _limits()
        self.channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(other.fileno())],
                env={"PATH": os.environ.get("PATH", os.defpath)},
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                cwd="/",
            )
        atexit.register(self.close)

    def close(self) -> None:
        if os.getpid() == self.pid:
            self.channel.close()
            self.process.wait(10)


_server: _Server | None = None


def can_run(environment: dict[str, str]) -> bool:
    """Whether a command with this environment runs as in a new interpreter. A forked process has no server."""
    global _server  # noqa: PLW0603 - one for the process
    if sys.platform != "linux" or any(
        name.startswith(_READ_AT_START) and name != "PYTHONWARNINGS" for name in environment
    ):
        return False
    if _server is None:
        _server = _Server()
    return _server.pid == os.getpid() and _server.limits == _limits()


def run(arguments: list[str], environment: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run ``plsync`` with these arguments.

    Raises:
        subprocess.TimeoutExpired: the command took longer, and was killed.
    """
    assert _server is not None
    umask = os.umask(0)
    os.umask(umask)
    request = pickle.dumps((arguments, environment, os.getcwd(), umask))
    answers, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (stdout, into_stdout), (stderr, into_stderr) = os.pipe(), os.pipe()
    with answers, other, open(stdout, "rb", 0) as out, open(stderr, "rb", 0) as err:
        with open(into_stdout, "wb", 0), open(into_stderr, "wb", 0):
            socket.send_fds(_server.channel, [request], [other.fileno(), into_stdout, into_stderr])
        other.close()
        pid = int(answers.recv(64))
        printed: dict[int, bytes] = {stdout: b"", stderr: b""}
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for stream in (out, err):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired([str(PLSYNC), *arguments], timeout)
                for key, _ in ready:
                    part = os.read(key.fd, 1 << 16)
                    printed[key.fd] += part
                    if not part:
                        selector.unregister(key.fileobj)
        status = int(answers.recv(64))
    code = os.waitstatus_to_exitcode(status)
    texts = (printed[stream].decode("utf-8").replace("\r\n", "\n") for stream in (stdout, stderr))
    return subprocess.CompletedProcess([str(PLSYNC), *arguments], code, *texts)


def _limits() -> list[tuple[int, int]]:
    import resource  # noqa: PLC0415 - missing on Windows

    return [resource.getrlimit(getattr(resource, name)) for name in _LIMITS]


# --- the server process ---


def _serve(channel: socket.socket) -> bool:
    """Fork a process for each command, until the channel is closed. True in the process of a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, 1 << 18, 3)
        if not request:
            return False
        if os.fork() == 0:
            channel.close()
            return _supervise(pickle.loads(request), socket.socket(fileno=descriptors[0]), descriptors[1:])  # noqa: S301
        for descriptor in descriptors:
            os.close(descriptor)


def _supervise(request: tuple[list[str], dict[str, str], str, int], answers: socket.socket, streams: list[int]) -> bool:
    """Fork the process of a command, and send its id and its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        answers.close()
        _become(*request, streams)
        return True
    for descriptor in streams:
        os.close(descriptor)
    answers.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    answers.send(str(status).encode())
    os._exit(0)


def _become(arguments: list[str], environment: dict[str, str], directory: str, umask: int, streams: list[int]) -> None:
    """Take the arguments, environment, directory, umask and streams of a command."""
    import warnings  # noqa: PLC0415 - only in the process of a command

    for descriptor, standard in zip(streams, (1, 2), strict=True):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    # The server's streams know the kind of the server's files.
    sys.stdout = open(1, "w", encoding="utf-8", errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors=sys.stderr.errors, closefd=False)  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
    os.chdir(directory)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv[:] = [str(PLSYNC), *arguments]
    if options := environment.get("PYTHONWARNINGS"):
        sys.warnoptions[:] = options.split(",")
        warnings._processoptions(sys.warnoptions)  # type: ignore[attr-defined]


if __name__ == "__main__":
    # As for the script that pip installs.
    sys.path[0] = str(PLSYNC.parent)
    from plsync.cli import main

    with contextlib.suppress(ImportError):  # of recent versions
        import typer._adapters  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        main()
