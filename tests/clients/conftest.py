"""The surroundings of each client."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep clients from requests to other hosts."""
    for name in ("LITELLM_LOCAL_MODEL_COST_MAP", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.setenv(name, "True")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    # Some clients close their sockets when the garbage collector finds them.
    gc.collect()
