"""Runs a Python program without the network: ``python offline.py PROGRAM [ARGUMENT ...]``."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys

_NETWORK_EVENTS = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"})


def empty_network() -> list[str]:
    """The prefix of a command that runs in an empty network namespace; an empty list if this user cannot create one.

    The namespace also stops native code, which Python's audit hooks do not see. It needs Linux.
    """
    command = ["unshare", "--map-root-user", "--net"]
    if (
        shutil.which(command[0])
        and subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
    ):
        return command
    return []


def forbid_sockets() -> None:
    """Let Python raise PermissionError when it binds or connects a socket, or resolves a host name."""

    def refuse(event: str, _arguments: tuple[object, ...]) -> None:
        if event in _NETWORK_EVENTS:
            raise PermissionError(f"{event}: this process may not use the network")

    sys.addaudithook(refuse)


def main(program: str, *arguments: str) -> None:
    """Run ``program`` with its arguments, without sockets."""
    forbid_sockets()
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
