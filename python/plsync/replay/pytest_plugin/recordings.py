"""Which recording a test or a fixture uses, and how long it is open.

The calls of a test and of its function fixtures belong to the recording of the test. The calls of a fixture of a wider
scope belong to the recording of that scope. So each test can run alone, and in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from plsync.replay.pytest_plugin.settings import (
    FIXTURE,
    SCOPES,
    Settings,
    layout_of,
    marker_of,
    named_path,
    scope_of,
    settings_of,
)

if TYPE_CHECKING:
    from plsync.replay.options import Mode
    from plsync.replay.recording import Recording

__all__ = [
    "WIDE_FIXTURES",
    "Use",
    "cover_fixture",
    "path_of_item",
    "paths_of_item",
    "put_first",
    "sections_of_error",
    "shared_paths",
    "test_recording",
    "uses",
    "wide_paths",
    "wide_recording",
]

# Without a package: pytest makes one fixture of a plugin with that scope, and not one for each package.
WIDE_FIXTURES: Final = {f"plsync_{scope}_recording": scope for scope in ("class", "module", "session")}


@dataclass(slots=True)
class Use:
    """The use of recordings by one test, up to its end."""

    recording: Recording | None = None
    allow_misses: bool = False
    counts: dict[str, int] = field(default_factory=lambda: {"recorded": 0, "replayed": 0, "missed": 0})
    first_miss: BaseException | None = None
    wide: list[Recording] = field(default_factory=list)
    """The recordings of wider scopes, which fixtures used while this test ran."""

    def add(self, recording: Recording) -> None:
        """Add the counts of a recording that was closed."""
        for name in self.counts:
            self.counts[name] += getattr(recording.counts, name)
        self.first_miss = self.first_miss or recording.first_miss


# The paths whose recordings existed when the run began: ``once`` records into any other, in each test that shares it.
existed: Final = pytest.StashKey[dict[Path, bool]]()
current_item: Final = pytest.StashKey[pytest.Item | None]()
use_of_item: Final = pytest.StashKey[Use]()
users: Final = pytest.StashKey[list[pytest.Item]]()
open_covers: Final = pytest.StashKey[list["Recording"]]()
with_calls: Final = pytest.StashKey[set[str]]()
_wide: Final = pytest.StashKey[dict[Path, Any]]()


def uses(item: pytest.Item) -> bool:
    """Whether a test uses a recording: by its marker, or by a fixture."""
    names = getattr(item, "fixturenames", None)
    if names is None:
        return False
    return marker_of(item) is not None or any(name == FIXTURE or name in WIDE_FIXTURES for name in names)


def put_first(item: pytest.Item) -> None:
    """Set the recording of a test up before the other fixtures, so that it covers their calls."""
    names: Any = getattr(item, "fixturenames", None)
    if names is not None and uses(item):
        item.stash[_scope] = scope_of(item)
        # A new list: parametrised tests of one function share the old one.
        item.fixturenames = [FIXTURE, *(name for name in names if name != FIXTURE)]  # type: ignore[attr-defined]


_scope: Final = pytest.StashKey[str]()


def path_of_item(item: pytest.Item) -> Path:
    """The recording of a test."""
    found = named_path(item)
    return found or _scope_path(item, item.stash.get(_scope, None) or scope_of(item))


def paths_of_item(item: pytest.Item) -> set[Path]:
    """The recordings that a test and its fixtures of wider scopes may use."""
    return {path_of_item(item), *(_scope_path(item, scope) for scope in SCOPES)}


def shared_paths(item: pytest.Item) -> set[Path]:
    """The recordings of the class and the module of a test."""
    return {_scope_path(item, "class"), _scope_path(item, "module")} - {_scope_path(item, "test")}


def wide_paths(item: pytest.Item) -> set[Path]:
    """The recordings that tests of several modules share: of packages, of the session, and of a path in a marker."""
    layout = layout_of(item.config)
    folders = [parent.path for parent in item.listchain() if isinstance(parent, pytest.Package)]
    packages = {layout.of_package(folder if folder.is_dir() else folder.parent) for folder in folders}
    return {*packages, layout.of_session, path_of_item(item)} - {layout.of_test(item.path, item.nodeid)}


def _scope_path(node: pytest.Item | pytest.Collector, scope: str) -> Path:
    layout = layout_of(node.config)
    packages = [parent for parent in node.listchain() if isinstance(parent, pytest.Package)]
    if scope == "package" and packages:
        folder = packages[-1].path
        return layout.of_package(folder if folder.is_dir() else folder.parent)
    # Outside of a package, pytest treats a fixture with its scope as one of the session.
    if scope in ("package", "session"):
        return layout.of_session
    if scope == "module":
        return layout.of_whole_module(node.path)
    classes = [parent for parent in node.listchain() if isinstance(parent, pytest.Class)]
    nodeid = classes[-1].nodeid if scope == "class" and classes else node.nodeid
    return layout.of_test(node.path, nodeid)


def _open(config: pytest.Config, path: Path, settings: Settings) -> Recording:
    from plsync.replay.recording import Recording  # noqa: PLC0415 - it imports LangChain

    mode: Mode = settings.mode  # type: ignore[assignment]
    is_new = mode == "once" and not config.stash[existed].setdefault(path, path.exists())
    try:
        recording = Recording(path, "new_episodes" if is_new else mode, **settings.options)
    except (TypeError, ValueError) as error:
        pytest.fail(f"the recording of the test cannot be opened: {error}", pytrace=False)
    recording.mode = mode
    return recording


def placeholder_keys(config: pytest.Config) -> dict[str, Any]:
    """The argument of ``record_all`` that pytest's configuration sets."""
    names = config.getini("plsync_placeholder_keys")
    return {"placeholder_keys": names} if names else {}


def test_recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """The fixture of a test: its recording is open until the test ends."""
    from plsync.replay.proxy.patch import record_all  # noqa: PLC0415 - it imports LangChain

    item = request.node
    settings = settings_of(item, request.config)
    use = item.stash.setdefault(use_of_item, Use())
    use.allow_misses = settings.allow_misses
    use.recording = recording = _open(request.config, path_of_item(item), settings)
    with record_all(recording, **placeholder_keys(request.config)):
        yield recording
    use.add(recording)


test_recording.__test__ = False  # type: ignore[attr-defined]


def wide_recording(request: pytest.FixtureRequest, scope: str) -> Recording:
    """The fixture of a wider scope: the recording of its class, module, package or session."""
    item = request.config.stash[current_item]
    node: Any = request.node
    opened: dict[Path, Any] = request.config.stash.setdefault(_wide, {})
    path = _path_of_scope(node, item, scope)
    if path not in opened:
        opened[path] = _open(request.config, path, _wide_settings(node, item))
    found: Recording = opened[path]
    return found


def _path_of_scope(node: Any, item: pytest.Item | None, scope: str) -> Path:
    named = named_path(node) if isinstance(node, (pytest.Class, pytest.Module)) else None
    return named or _scope_path(node if item is None or scope in ("class", "package") else item, scope)


def _wide_settings(node: Any, item: pytest.Item | None) -> Settings:
    """The settings of a scope: of the marker of its class or module, or of the test that needs a fixture first."""
    source = node if item is None or marker_of(node) is not None else item
    return settings_of(source, node.config)


class _Cover:
    """The recording of a fixture of a wider scope, open while the fixture is set up and torn down."""

    def __init__(self, fixturedef: Any, request: Any, path: Path, settings: Settings) -> None:
        self._name = fixturedef.argname
        self._config = request.config
        self._path = path
        self._settings = settings
        self._block: Any = None

    def open(self) -> None:
        """Open the recording."""
        from plsync.replay.proxy.patch import record_all  # noqa: PLC0415 - it imports LangChain

        recording = _open(self._config, self._path, self._settings)
        block = record_all(recording, **placeholder_keys(self._config))
        block.__enter__()
        self._block = recording, block
        self._config.stash[open_covers].append(recording)

    def close(self) -> None:
        """Close the recording, and add its counts to the counts of the test."""
        if self._block is None:
            return
        (recording, block), self._block = self._block, None
        block.__exit__(None, None, None)
        self._config.stash[open_covers].remove(recording)
        self._return_to_outer()
        counts = recording.counts
        if counts.recorded or counts.replayed or counts.missed:
            self._config.stash[with_calls].add(self._name)
        item = self._config.stash[current_item]
        if item is not None:
            use = item.stash.setdefault(use_of_item, Use())
            use.add(recording)
            use.wide.append(recording)

    def _return_to_outer(self) -> None:
        """The fixture may have opened another block, which must not receive calls of an outer fixture or the test."""
        from plsync.replay.proxy.open_blocks import reopen_blocks  # noqa: PLC0415 - it imports LangChain

        item = self._config.stash[current_item]
        use = None if item is None else item.stash.get(use_of_item, None)
        covers = self._config.stash[open_covers]
        outer = covers[-1] if covers else None if use is None else use.recording
        if outer is not None:
            reopen_blocks(outer)


def cover_fixture(fixturedef: Any, request: Any) -> _Cover | None:
    """The cover of a fixture of a wider scope; ``None`` for a fixture without a recording.

    A fixture is covered if any test that uses a recording needs it. Otherwise the order of tests would decide.
    """
    config, scope = request.config, fixturedef.scope
    item = config.stash[current_item]
    if item is None or scope == "function" or fixturedef.argname in WIDE_FIXTURES:
        return None
    node: Any = request.node
    needing = [
        user
        for user in config.stash[users]
        if fixturedef.argname in user.fixturenames and (scope == "session" or node in user.listchain())
    ]
    if not needing and not uses(item):
        return None
    # The settings of the first test, in the order of the files, do not depend on the order of the run.
    settings = _wide_settings(node, needing[0] if needing else item)
    path = _path_of_scope(node, item, scope)
    own = path_of_item(item)
    if uses(item) and own != path:
        # An earlier plsync recorded these calls with the first test that needed the fixture.
        settings.options["also"] = [*settings.options["also"], own]
    return _Cover(fixturedef, request, path, settings)


def sections_of_error(error: BaseException) -> list[tuple[str, str]]:
    """The section of a test's report that names the recordings of replayed errors, so that they do not look live."""
    from plsync._terminal import visible_line  # noqa: PLC0415 - only a failed test needs it
    from plsync.replay.proxy.intercept import replayed_from  # noqa: PLC0415 - it imports LangChain

    found: list[str] = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if (place := replayed_from(one)) is not None:
            found.append(f"{type(one).__name__} was recorded, and replayed from {place}; no model was called")
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return [("plsync", visible_line(line)) for line in found]
