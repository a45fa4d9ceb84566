"""The server process of :mod:`tests.support.programs`, which forks a process for each program.

Usage: python program_server.py CHANNEL COMMANDS plsync|libraries
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import marshal
import os
import select
import signal
import socket
import sys
import time
import types
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

# The libraries that most programs of the tests import.
_LIBRARIES = (
    "asyncio",
    "concurrent.futures.thread",
    "execnet.gateway_base",
    "httpcore",
    "httpx",
    "langchain_core.callbacks.manager",
    "langchain_core.language_models.fake_chat_models",
    "langchain_core.prompts",
    "langchain_core.runnables",
    "langchain_core.tools",
    "langchain_core.tracers",
    "langchain_openai",
    "orjson",
    "pytest",
    "_pytest.pytester",
    "rich.console",
    "sqlite3",
    "typer.main",
)

Request = tuple[str, list[str], dict[str, str], str, int, bool]


def _import(names: tuple[str, ...]) -> None:
    """Import modules with rewritten asserts, as pytest imports its plugins."""
    from _pytest.assertion import install_importhook  # noqa: PLC0415 - the fork of plsync needs no pytest
    from _pytest.config import get_config  # noqa: PLC0415 - as above

    hook = install_importhook(get_config())
    hook.mark_rewrite(*{point.value.split(".")[0].split(":")[0] for point in entry_points(group="pytest11")})
    for name in names:
        with contextlib.suppress(ImportError):  # of other versions
            importlib.import_module(name)
    sys.meta_path.remove(hook)


def _serve(channel: socket.socket, commands: socket.socket) -> Callable[[], None] | None:
    """Fork a process for each program, until the channel is closed. The process of a program gets the program.

    Args:
        channel: requests of tests, each with the socket for the answers.
        commands: connections of the commands in shells, one for each request.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        if channel in select.select([channel, commands], [], [])[0]:
            request, descriptors, _, _ = socket.recv_fds(channel, 1 << 18, 5)
            if not request:
                return None
            answers = descriptors.pop(0)
        else:
            connection, _ = commands.accept()
            request, descriptors, _, _ = socket.recv_fds(connection, 1 << 18, 3)
            answers = connection.detach()
        if os.fork() == 0:
            channel.close()
            commands.close()
            return _supervise(marshal.loads(request), socket.socket(fileno=answers), descriptors)  # noqa: S302
        for descriptor in (answers, *descriptors):
            os.close(descriptor)


def _supervise(request: Request, answers: socket.socket, streams: list[int]) -> Callable[[], None]:
    """Fork the process of a program, and send its id and its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        answers.close()
        return _become(request, streams)
    for descriptor in streams:
        os.close(descriptor)
    # Its parent alone ends the program, by its signals.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)
    answers.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # the test has ended
        answers.send(str(status).encode())
    os._exit(0)


def _become(request: Request, streams: list[int]) -> Callable[[], None]:
    """Take the streams, the environment and the directory of a program. Returns the program."""
    kind, arguments, environment, directory, umask, new_session = request
    for standard, descriptor in enumerate(streams[:3]):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    for channel in streams[3:]:
        if kind == "-m" and arguments[0] == "pytest":
            os.set_inheritable(channel, False)
            client.fork_workers(socket.socket(fileno=channel))
        else:
            os.close(channel)
    if new_session:
        os.setsid()
    os.chdir(directory)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    # The server's streams know the kind of the server's files.
    unbuffered = bool(environment.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    output: Any = open(1, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(
        output, encoding="utf-8", errors=sys.stdout.errors, line_buffering=output.isatty(), write_through=unbuffered
    )
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors=sys.stderr.errors, closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    if options := environment.get("PYTHONWARNINGS"):
        sys.warnoptions[:] = options.split(",")
        warnings._processoptions(sys.warnoptions)  # type: ignore[attr-defined]
    first = {"plsync": sys.path[0], "-c": "", "-m": directory, "file": str(Path(arguments[0]).absolute().parent)}[kind]
    sys.path[:1] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    importlib.invalidate_caches()
    if kind == "plsync":
        sys.argv[:] = arguments
        from plsync.cli import main  # noqa: PLC0415 - only this server has imported plsync

        return main
    return lambda: _run(kind, arguments)


def _run(kind: str, arguments: list[str]) -> None:
    """Run code, a module or a file as the main program."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if kind == "-m":
        import runpy  # noqa: PLC0415 - few programs need it

        sys.argv[:] = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    if kind == "-c":
        name, source = "<string>", arguments[0].encode()
        sys.argv[:] = ["-c", *arguments[1:]]
    else:
        name, source = str(Path(arguments[0]).absolute()), Path(arguments[0]).read_bytes()
        main.__file__ = name
        sys.argv[:] = arguments
    exec(compile(source, name, "exec", dont_inherit=True), main.__dict__)  # noqa: S102


if __name__ == "__main__":
    client = importlib.import_module("programs")
    # The script that pip installs has its directory first. This file's directory has no library.
    sys.path[0] = str(Path(sys.executable).parent)
    gc.disable()
    if sys.argv[3] == "plsync":
        # `plsync run` imports all but the first when it begins.
        for name in ("plsync.cli", "plsync.cli.run_workspaces", "plsync.delivery.runner", "plsync.promptlayer.client"):
            importlib.import_module(name)

        with contextlib.suppress(ImportError):  # of recent versions
            import typer._adapters  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    else:
        _import(_LIBRARIES)
    # A fork puts the directories of its environment in front.
    del sys.path[1 : 1 + len(list(filter(None, os.environ.pop("PYTHONPATH", "").split(os.pathsep))))]
    gc.collect()
    # A collection in a fork would copy each page that has an object.
    gc.freeze()
    gc.enable()
    channel, commands = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:3])
    if program := _serve(channel, commands):
        program()
