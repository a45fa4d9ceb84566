"""``python -m plsync.replay PROGRAM ...`` runs a program that does not import plsync under ``PLSYNC_REPLAY``."""

from __future__ import annotations

import os
import runpy
import sys

_USAGE = "usage: PLSYNC_REPLAY=[MODE:]RECORDING python -m plsync.replay (PROGRAM.py | -m MODULE) [ARGUMENTS]"


def main() -> None:
    """Run the program that the command line names. ``import plsync`` has opened the recording."""
    arguments = sys.argv[1:]
    if not arguments or arguments == ["-m"] or not os.environ.get("PLSYNC_REPLAY"):
        sys.exit(_USAGE)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        _begin_path_with(os.getcwd())
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        _begin_path_with(os.path.dirname(os.path.abspath(sys.argv[0])))
        runpy.run_path(sys.argv[0], run_name="__main__")


def _begin_path_with(directory: str) -> None:
    # With -P, -I or PYTHONSAFEPATH Python puts no directory of the program on the path.
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):
        sys.path[0] = directory


if __name__ == "__main__":
    main()
