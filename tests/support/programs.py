"""Runs Python programs and ``plsync`` in forks of an interpreter, which take a tenth of the time of a new one.

They have the interface of :mod:`subprocess`. A server process without threads has imported the
libraries that programs use, and forks one process for each program. The process gets the arguments, environment,
directory, umask and streams that a new interpreter would get, and ends as one does. Only a fork that runs ``plsync``
itself has imported plsync before. A program whose options, environment or limits act on the start of an interpreter
runs in a new one, and so does any other command.
"""

from __future__ import annotations

import atexit
import marshal
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["PLSYNC", "PLSYNC_IN_PYTHON", "Popen", "add_commands", "fork_workers", "run"]

PLSYNC = Path(sys.executable).with_name("plsync")
PLSYNC_IN_PYTHON = [sys.executable, "-c", "from plsync.cli import main; main()"]

# Variables that an interpreter or a module reads once, when it starts or is imported.
_READ_AT_START = (
    "PYTHON",
    "LANG",
    "LC_",
    "LD_",
    "MALLOC_",
    "FORCE_COLOR",
    "PY_COLORS",
    "GITHUB_",
    "TERMINAL_",
    "PLSYNC_REPLAY",
)
# A fork applies these itself.
_APPLIED = {"PYTHONWARNINGS", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PY_COLORS"}
_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_STACK")

# The bytes of a message.
_LONGEST = 150_000

# A program with these names finds out about its own process.
_SHOWS_FORK = ("sys.modules", "sys.orig_argv", "/proc/")

# tests/compat.sh puts other versions of the libraries in front, which a server imports as well.
_PATH = os.environ.get("PYTHONPATH", "")


class _Channel:
    """A channel to a server process."""

    def __init__(self, channel: socket.socket) -> None:
        self.pid = os.getpid()
        self.limits = _limits()
        self.channel = channel

    def start(self, request: bytes, streams: list[int]) -> tuple[int, socket.socket]:
        """Start a program. Returns its process id, and the socket that receives its exit status."""
        answers, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            # The server hands the channel to a run of pytest alone.
            socket.send_fds(self.channel, [request], [other.fileno(), *streams, self.channel.fileno()])
        return int(answers.recv(64)), answers


class _Server(_Channel):
    """A server process of this process."""

    def __init__(self, imports: str) -> None:
        channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as commands:
            # The system chooses a free name.
            commands.bind("")
            commands.listen(64)
            self.address = commands.getsockname()
            server = Path(__file__).with_name("program_server.py")
            self.process = subprocess.Popen(
                [sys.executable, server, str(other.fileno()), str(commands.fileno()), imports],
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": _PATH},
                pass_fds=[other.fileno(), commands.fileno()],
                stdin=subprocess.DEVNULL,
                cwd="/",
            )
        super().__init__(channel)
        atexit.register(self.close)

    def close(self) -> None:
        if os.getpid() == self.pid:
            self.channel.close()
            self.process.wait(10)


_servers: dict[str, _Channel] = {}


def fork_workers(channel: socket.socket) -> None:
    """Start the workers of pytest-xdist in forks too, in this process, which is a fork of the server of libraries."""
    import execnet.gateway_base  # noqa: PLC0415 - for the server alone

    _servers["libraries"] = _Channel(channel)
    forking: Any = SimpleNamespace(PIPE=subprocess.PIPE, Popen=Popen)
    execnet.gateway_base.ThreadExecModel.subprocess = forking  # type: ignore[method-assign]


def _server_of(kind: str) -> _Channel | None:
    """The server for a kind of program. A process that was forked, or has other limits, has no server."""
    imports = "plsync" if kind == "plsync" else "libraries"
    server = _servers.get(imports)
    if server is None:
        server = _servers[imports] = _Server(imports)
    return server if server.pid == os.getpid() and server.limits == _limits() else None


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(getattr(resource, name)) for name in _LIMITS]


def _program(command: list[str], environment: dict[str, str]) -> tuple[str, list[str]] | None:
    """The kind and the arguments of a program that a fork can run."""
    found = command[0] if os.sep in command[0] else shutil.which(command[0], path=environment.get("PATH"))
    if found == str(PLSYNC):
        # `plsync rerun` calls models, whose libraries the other server has imported.
        return "file" if command[1:2] == ["rerun"] else "plsync", [found, *command[1:]]
    if command[: len(PLSYNC_IN_PYTHON)] == PLSYNC_IN_PYTHON:
        return "plsync", command[2:]
    if found is not None and found != sys.executable and _is_script(Path(found)):
        return "file", [found, *command[1:]]
    return _of_python(command[1:]) if found == sys.executable and len(command) > 1 else None


def _of_python(arguments: list[str]) -> tuple[str, list[str]] | None:
    """The kind and the arguments of a program for the interpreter."""
    option, *rest = arguments
    if option == "-u" and rest:
        return _of_python(rest)
    if option == "-mpytest":
        return "-m", ["pytest", *rest]
    if option in {"-c", "-m"} and rest:
        return None if any(name in rest[0] for name in _SHOWS_FORK) else (option, rest)
    return None if option.startswith("-") else ("file", arguments)


def _is_script(path: Path) -> bool:
    """Whether pip has installed this script beside the interpreter."""
    if path.parent != PLSYNC.parent or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.readline(1000).rstrip() == f"#!{sys.executable}".encode()


def _has_libraries_of_server(path: str) -> bool:
    first, given = (text.split(os.pathsep) if text else [] for text in (_PATH, path))
    return given[: len(first)] == first and "" not in given


def _can_fork(environment: dict[str, str]) -> bool:
    if sys.platform != "linux" or not _has_libraries_of_server(environment.get("PYTHONPATH", "")):
        return False
    acting = [name for name in environment if name.startswith(_READ_AT_START) and name not in _APPLIED]
    # The server's locale is C.UTF-8.
    return all(name in {"LANG", "LC_ALL", "LC_CTYPE"} and environment[name] == "C.UTF-8" for name in acting)


class Popen(subprocess.Popen[Any]):
    """:class:`subprocess.Popen`, which runs a program in a fork if it can."""

    _answers: socket.socket | None = None

    # The methods below are private to subprocess, and the same from Python 3.10 to 3.14.

    def _execute_child(self, *given: Any) -> None:
        (args, executable, preexec_fn, _, pass_fds, cwd, env, _, _, shell, *streams) = given[:16]
        start_new_session = given[21]
        request, server = None, None
        if not isinstance(args, str | os.PathLike) and not (executable or preexec_fn or pass_fds or shell):
            environment = dict(os.environ if env is None else env)
            command = [os.fspath(argument) for argument in args]
            program = _program(command, environment) if _can_fork(environment) else None
            if program is not None:
                umask = os.umask(0)
                os.umask(umask)
                directory = os.path.abspath(cwd or ".")
                if command[1:2] == ["-u"]:
                    environment["PYTHONUNBUFFERED"] = "1"
                request = marshal.dumps((*program, environment, directory, umask, start_new_session))
                server = _server_of(program[0]) if len(request) <= _LONGEST else None
        if request is None or server is None:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        standard = [own if own != -1 else inherited for inherited, own in enumerate((streams[0], *streams[3::2]))]
        self.pid, self._answers = server.start(request, standard)
        self._child_created = True
        self._close_pipe_fds(*streams)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._answers is None:
            found: tuple[int, int] = super()._try_wait(wait_flags)  # type: ignore[misc]
            return found
        try:
            status = int(self._answers.recv(64, socket.MSG_DONTWAIT if wait_flags & os.WNOHANG else 0))
        except BlockingIOError:
            return 0, 0
        self._answers.close()
        return self.pid, status

    def _internal_poll(self, *given: Any, **more: Any) -> int | None:
        if self._answers is None:
            polled: int | None = super()._internal_poll(*given, **more)  # type: ignore[misc]
            return polled
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def run(
    command: Sequence[Any],
    *,
    capture_output: bool = False,
    input: Any = None,
    timeout: float | None = None,
    check: bool = False,
    **more: Any,
) -> subprocess.CompletedProcess[Any]:
    """:func:`subprocess.run`, which runs a program in a fork if it can.

    Raises:
        subprocess.TimeoutExpired: the program took longer, and was killed.
        subprocess.CalledProcessError: with ``check``, the exit code is not 0.
    """
    if capture_output:
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        more["stdin"] = subprocess.PIPE
    with Popen(command, **more) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    if check:
        done.check_returncode()
    return done


def add_commands(directory: Path, environment: dict[str, str]) -> str:
    """Make commands that run ``plsync``, ``pytest`` and Python in forks, for a shell with this environment.

    Returns:
        Its PATH, with the directory of the commands in front.
    """
    path = environment.get("PATH", os.defpath)
    plsync, libraries = (_server_of(kind) if _can_fork(environment) else None for kind in ("plsync", "-m"))
    if not isinstance(plsync, _Server) or not isinstance(libraries, _Server):
        return path
    text = Path(__file__).with_name("program_shim.py").read_text(encoding="utf-8")
    values = {
        'PLSYNC_SERVER = ""': plsync.address,
        'LIBRARIES_SERVER = ""': libraries.address,
        "ACTING: tuple[str, ...] = ()": _READ_AT_START,
        "APPLIED: set[str] = set()": _APPLIED,
        "SHOWS_FORK: tuple[str, ...] = ()": _SHOWS_FORK,
    }
    for line, value in values.items():
        text = text.replace(line, f"{line.split(' = ')[0]} = {value!r}")
    for name in ("plsync", "pytest", "python", "python3"):
        program = sys.executable if name.startswith("python") else str(PLSYNC.with_name(name))
        command = directory / name
        command.write_text(
            f"#!{sys.executable} -IS\n" + text.replace("PROGRAM = sys.executable\n", f"PROGRAM = {program!r}\n"),
            encoding="utf-8",
        )
        command.chmod(0o755)
    return os.pathsep.join([str(directory), path])
