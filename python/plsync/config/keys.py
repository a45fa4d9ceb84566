"""The places of PromptLayer's API keys: an environment variable, a file, or the output of a command.

A key is read when a connection needs it. It stays in memory, and no message quotes it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from plsync._common.api_key import KEY_VARIABLE, remember_key, variable_key
from plsync._common.clock import elapsed
from plsync._common.files import read_named
from plsync.errors import AuthenticationError

if TYPE_CHECKING:
    import subprocess

__all__ = ["KEY_FILE_VARIABLE", "CommandKey", "FileKey", "KeySource", "VariableKey", "end_commands", "environment_key"]

KEY_FILE_VARIABLE: Final = "PROMPTLAYER_API_KEY_FILE"

_LONGEST: Final = 4096
_SAFE: Final = "nothing was sent, everything is safe in the journal"


class KeySource(Protocol):
    """The place of a key."""

    @property
    def where(self) -> str:
        """The place, for messages."""

    @property
    def remedy(self) -> str:
        """The way to a valid key, for the end of a message."""

    @property
    def poll(self) -> float | None:
        """Seconds between two reads while PromptLayer refuses the key. None: the key cannot change in this process."""

    def read(self) -> str:
        """The key.

        Raises:
            AuthenticationError: there is no key, or the text cannot be one. The message does not quote the text.
        """


@dataclass(frozen=True)
class VariableKey:
    """A key in an environment variable."""

    name: str = KEY_VARIABLE

    @property
    def where(self) -> str:
        """The variable."""
        return self.name

    @property
    def remedy(self) -> str:
        """The way to a valid key."""
        return f"set {self.name} to a valid key and run this again"

    @property
    def poll(self) -> float | None:
        """None: the environment of a process does not change."""
        return None

    def read(self) -> str:
        """The value of the variable. See :meth:`KeySource.read`."""
        if (key := variable_key(self.name)) is None:
            raise AuthenticationError(f"{self.name} is not set; {_SAFE}: export {self.name}=pl_... and run this again")
        return _checked(key, self)


@dataclass(frozen=True)
class FileKey:
    """A key in a file of this user or of root. The path may be a link, as in a mounted secret."""

    path: Path

    @property
    def where(self) -> str:
        """The file."""
        return f"the file {self.path}"

    @property
    def remedy(self) -> str:
        """The way to a valid key."""
        return f"write a valid key to {self.path}"

    @property
    def poll(self) -> float | None:
        """A second: a look at a file costs microseconds."""
        return 1.0

    def read(self) -> str:
        """The content of the file, without surrounding space. See :meth:`KeySource.read`."""
        try:
            content = read_named(self.path, _LONGEST + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise AuthenticationError(
                f"the key file {self.path} cannot be read ({reason}); {_SAFE}: correct the path, the owner or the mode"
            ) from None
        return _checked(_only_line(content, self), self)


@dataclass(frozen=True)
class CommandKey:
    """A key that a command prints, such as the command of a password manager. No shell is started."""

    arguments: tuple[str, ...] = field(repr=False)
    timeout: float = 30.0
    """Seconds until the command is stopped."""

    @property
    def where(self) -> str:
        """The program. Its arguments may hold a secret."""
        return f"the key command {self.arguments[0]!r}"

    @property
    def remedy(self) -> str:
        """The way to a valid key."""
        return f"let the key command {self.arguments[0]!r} print a valid key"

    @property
    def poll(self) -> float | None:
        """A minute: a command may query a server."""
        return 60.0

    def read(self) -> str:
        """The only line that the command prints. See :meth:`KeySource.read`."""
        try:
            code, output = self._run()
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise AuthenticationError(
                f"{self.where} cannot be started ({reason}); {_SAFE}: correct the configuration file"
            ) from None
        if code is None:
            raise AuthenticationError(
                f"{self.where} has not ended after {self.timeout:g} seconds, and was stopped; {_SAFE}: run the command "
                "to see the reason"
            )
        if code != 0:
            raise AuthenticationError(f"{self.where} exited with {code}; {_SAFE}: run the command to see the reason")
        return _checked(_only_line(output, self), self)

    def _run(self) -> tuple[int | None, bytes]:
        """The exit code and the beginning of the output; None in place of the exit code after the time."""
        import subprocess  # noqa: PLC0415 - few keys come from a command

        printed: list[bytes] = []
        deadline = elapsed() + self.timeout
        process = subprocess.Popen(  # noqa: S603 - the user's own configuration file names the command
            self.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 - for mypy
        stdout = process.stdout
        _running.add(process)
        reader = threading.Thread(
            target=lambda: printed.append(stdout.read(_LONGEST + 1)), name="plsync-key", daemon=True
        )
        try:
            reader.start()
            reader.join(self.timeout)
            if not printed:
                return None, b""
            if len(printed[0]) > _LONGEST:
                return 0, printed[0]
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(max(0.0, deadline - elapsed())), printed[0]
            return None, b""
        finally:
            _end(process)
            if reader.ident is not None:
                reader.join()
            stdout.close()


def environment_key() -> KeySource | None:
    """The key of the environment: ``PROMPTLAYER_API_KEY`` or ``PROMPTLAYER_API_KEY_FILE``; None when neither is set.

    Raises:
        AuthenticationError: both are set.
    """
    named = os.environ.get(KEY_FILE_VARIABLE, "").strip()
    if not named:
        return None if variable_key() is None else VariableKey()
    if variable_key() is not None:
        raise AuthenticationError(f"{KEY_VARIABLE} and {KEY_FILE_VARIABLE} are both set; {_SAFE}: unset one of them")
    return FileKey(Path(os.path.abspath(os.path.expanduser(named))))


def _only_line(content: bytes, source: KeySource) -> str:
    if len(content) > _LONGEST:
        raise AuthenticationError(f"{source.where} has more than {_LONGEST} bytes; {_SAFE}: {source.remedy}")
    # Bytes that are not UTF-8 become characters that no key has.
    text = content.decode("utf-8-sig", "replace").strip()
    if not text:
        raise AuthenticationError(f"{source.where} is empty; {_SAFE}: {source.remedy}")
    if len(text.splitlines()) != 1:
        raise AuthenticationError(f"{source.where} has more than one line of text; {_SAFE}: {source.remedy}")
    return text


def _checked(key: str, source: KeySource) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AuthenticationError(f"{source.where} holds characters that no key has; {_SAFE}: {source.remedy}")
    remember_key(key)
    return key


# The commands of this process. A process that ends while a command hangs leaves none behind.
_running: set[subprocess.Popen[bytes]] = set()


def end_commands() -> None:
    """Kill the key commands that run, in any thread. Their readers raise AuthenticationError."""
    for process in list(_running):
        _kill(process)


atexit.register(end_commands)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command unless it has ended, and collect its exit code."""
    _running.discard(process)
    if process.returncode is None:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with the processes that it has started."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        elif process.returncode is None:
            # The group outlives its leader, while a child of the command holds the pipe.
            os.killpg(process.pid, signal.SIGKILL)
