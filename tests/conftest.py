"""Settings of every test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from plsync._common import api_key
from plsync.testing import PromptLayerServer
from plsync.testing.state import workspace
from tests.support.examples import examples
from tests.support.spooling import SpoolWriter
from tests.support.stand_in import client_of

pytest_plugins = ["pytester"]

# hypothesis builds its tables of characters in its first run, and a machine may be busy. So the time to generate an
# example is no failure.
settings.register_profile(
    "plsync", deadline=None, max_examples=examples(), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("plsync")

# A shell that starts the tests in the background has them ignore SIGINT, and their own programs would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup has them ignore SIGHUP. A program gets the default action in place of a handler.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers more than processors for ``-n auto``: a test often waits for a process, a server or a clock."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processors + 2 if config.option.numprocesses == "auto" else processors


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from the user's caches, keys and configuration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        for variable in ("PLSYNC_CONFIG", "PROMPTLAYER_API_KEY_FILE"):
            patch.delenv(variable, raising=False)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def request_ids() -> Iterator[None]:
    """Let each stand-in in the process of the tests begin at the request id 1001."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace, "new_request_id", lambda: 1001)
        yield


@pytest.fixture(autouse=True)
def read_keys() -> Iterator[None]:
    """Let no test search texts for the keys that another test has read."""
    yield
    api_key.forget_keys()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal that does not exist yet."""
    return tmp_path / "journal"


@pytest.fixture
def writer(path: Path) -> Iterator[SpoolWriter]:
    """A writer of that journal, in place of another process."""
    opened = SpoolWriter(path)
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    """A stand-in for PromptLayer on loopback."""
    with PromptLayerServer() as server:
        yield server


@pytest.fixture
def client(server: PromptLayerServer) -> Iterator[httpx.Client]:
    """An HTTP client with the key of the stand-in."""
    with client_of(server) as client:
        yield client
