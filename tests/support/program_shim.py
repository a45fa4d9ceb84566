"""A command for shells that runs its program in a fork. :func:`tests.support.programs.add_commands` writes copies.

It imports almost nothing, because a shell of the tests starts it a hundred times.
"""

import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket
from marshal import dumps
from os import WIFSIGNALED, WTERMSIG, _exit, environ, execv, getcwd, getpid, kill, umask, waitstatus_to_exitcode

# A copy has other values.
PLSYNC_SERVER = ""
LIBRARIES_SERVER = ""
PROGRAM = sys.executable
ACTING: tuple[str, ...] = ()
APPLIED: set[str] = set()
SHOWS_FORK: tuple[str, ...] = ()


def kind_of(arguments: list[str]) -> tuple[str, list[str]] | None:
    """The kind and the arguments of the program; None: no fork can run it."""
    # The interpreter of this command sets LC_CTYPE, as the one of the program would.
    acting = {name for name in environ if name.startswith(ACTING)} - APPLIED
    if acting - {"LC_CTYPE"} or environ.get("LC_CTYPE", "C.UTF-8") != "C.UTF-8":
        return None
    if PROGRAM.endswith("plsync"):
        # typer looks for the shell among the parents of its process.
        if arguments[:1] == ["--show-completion"]:
            return None
        return "plsync", [PROGRAM, *arguments]
    if sys.executable != PROGRAM:
        return "file", [PROGRAM, *arguments]
    if arguments[:1] in (["-c"], ["-m"]) and arguments[1:]:
        return None if any(name in arguments[1] for name in SHOWS_FORK) else (arguments[0], arguments[1:])
    return ("file", arguments) if arguments and not arguments[0].startswith("-") else None


def main() -> None:
    found = kind_of(sys.argv[1:])
    if found is None:
        execv(PROGRAM, [PROGRAM, *sys.argv[1:]])  # noqa: S606 - the command itself
    mask = umask(0)
    server = socket(AF_UNIX, SOCK_SEQPACKET)
    server.connect(PLSYNC_SERVER if found[0] == "plsync" else LIBRARIES_SERVER)
    streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in (0, 1, 2))
    request = dumps((*found, dict(environ), getcwd(), mask, False))
    server.sendmsg([request], [(SOL_SOCKET, SCM_RIGHTS, streams)])
    server.recv(64)  # the process id
    status = int(server.recv(64))
    if WIFSIGNALED(status):
        kill(getpid(), WTERMSIG(status))
    _exit(waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
