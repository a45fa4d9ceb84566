"""Run a Python program that may not use the network: ``python offline.py PROGRAM [ARGUMENT ...]``."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys

_NETWORK_EVENTS = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"})


def empty_network() -> list[str]:
    """The command that starts another one in a network namespace with nothing in it; empty where that cannot be done.

    It takes the network from native code as well, which an audit hook does not see. Linux only, and not for every user.
    """
    command = ["unshare", "--map-root-user", "--net"]
    if (
        shutil.which(command[0])
        and subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
    ):
        return command
    return []


def forbid_sockets() -> None:
    """From here on, binding or connecting a socket or looking up a host name in Python raises PermissionError."""

    def refuse(event: str, _arguments: tuple[object, ...]) -> None:
        if event in _NETWORK_EVENTS:
            raise PermissionError(f"{event}: this process may not use the network")

    sys.addaudithook(refuse)


def main(program: str, *arguments: str) -> None:
    """Run ``program`` as ``python program`` would, without sockets."""
    forbid_sockets()
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
