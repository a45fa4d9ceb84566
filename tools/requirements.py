"""The requirements of an extra of plsync in ``pyproject.toml``, one in each line, without plsync itself.

Usage: python tools/requirements.py EXTRA
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def of_extra(extra: str) -> Iterator[str]:
    """The requirements of an extra and of the extras that it names."""
    for requirement in PROJECT["optional-dependencies"][extra]:
        if named := re.fullmatch(r"plsync\[(.*)\]", requirement):
            for other in named[1].split(","):
                yield from of_extra(other.strip())
        else:
            yield requirement


if __name__ == "__main__":
    print("\n".join(dict.fromkeys([*PROJECT["dependencies"], *of_extra(sys.argv[1])])))
