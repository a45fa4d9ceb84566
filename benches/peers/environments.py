"""An environment for each recorder, and the packages that it brings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from recorders import LANGCHAIN, RECORDERS

__all__ = ["Packages", "build", "packages", "python_of"]

ROOT = Path(__file__).parents[2]
HERE = ROOT / "build/peers"
"""The environments. ``make clean`` removes them."""

_LIST = """
import importlib.metadata, json, os
sizes = {}
for package in importlib.metadata.distributions():
    files = [str(package.locate_file(file)) for file in package.files or () if file.suffix != ".pyc"]
    size = sum(os.path.getsize(file) for file in files if os.path.exists(file))
    sizes[package.name.lower().replace("_", "-")] = [package.version, size]
print(json.dumps(sizes))
"""


class Packages(NamedTuple):
    """The packages of an environment, without the packages of LangChain."""

    versions: dict[str, str]
    megabytes: float


def python_of(environment: str) -> str:
    """The interpreter of an environment."""
    return str(HERE / environment / "bin/python")


def build(names: list[str]) -> dict[str, str]:
    """Install the packages of the recorders, where they are missing.

    Args:
        names: the recorders.

    Returns:
        The reason by name for each recorder that does not install.
    """
    failed = {}
    for name in names:
        recorder = RECORDERS[name]
        requirements = [LANGCHAIN, *recorder.requirements]
        if recorder.environment == "plsync":
            requirements.append(str(_wheel()))
        made = HERE / recorder.environment / "requirements"
        if made.exists() and made.read_text() == "\n".join(requirements):
            continue
        print(f"installing {name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", made.parent], check=True)
        install = [python_of(recorder.environment), "-m", "pip", "install", "--quiet", *requirements]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            failed[name] = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        else:
            made.write_text("\n".join(requirements))
    return failed


def packages(environment: str) -> Packages:
    """The packages that an environment has beyond LangChain's."""
    own, langchain = _sizes(environment), _sizes("langchain")
    more = {name: found for name, found in own.items() if name not in langchain}
    return Packages(
        {name: version for name, (version, _) in more.items()}, sum(size for _, size in more.values()) / 1e6
    )


def versions(environment: str) -> dict[str, str]:
    """The versions of all packages of an environment."""
    return {name: version for name, (version, _) in _sizes(environment).items()}


def _sizes(environment: str) -> dict[str, tuple[str, int]]:
    done = subprocess.run([python_of(environment), "-c", _LIST], capture_output=True, text=True, check=True)
    sizes: dict[str, tuple[str, int]] = json.loads(done.stdout)
    return sizes


def _wheel() -> Path:
    """The wheel that the Makefile has built."""
    wheels = sorted((HERE / "wheel").glob("plsync-*.whl"), key=lambda wheel: wheel.stat().st_mtime)
    if not wheels:
        raise SystemExit("there is no wheel of plsync in build/peers/wheel: run make peers")
    return wheels[-1]
