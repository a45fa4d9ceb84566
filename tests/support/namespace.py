"""Runs a command in an empty network: Linux's network namespaces."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

import pytest

PREFIX: Final = ["unshare", "--user", "--map-root-user", "--net"]


def _available() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*PREFIX, "ip", "link"], capture_output=True, check=False).returncode == 0


needs_namespace: Final = pytest.mark.skipif(
    not _available(), reason="needs Linux with util-linux and iproute2, and the permission to make a network namespace"
)
