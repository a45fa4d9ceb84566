"""The surroundings of each client."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep clients from requests to other hosts."""
    for name in ("LITELLM_LOCAL_MODEL_COST_MAP", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.setenv(name, "True")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # A logged exception would keep the sockets of its client open.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    # Some clients close their sockets when the garbage collector finds them.
    gc.collect()
