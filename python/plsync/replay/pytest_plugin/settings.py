"""The settings of a test's recording: from the command line, the marker, and pytest's configuration, in this order."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from plsync.replay import recording_paths

__all__ = [
    "FIXTURE",
    "MARKER",
    "SCOPES",
    "Settings",
    "add_options",
    "layout_of",
    "marker_of",
    "named_path",
    "scope_of",
    "settings_of",
]

FIXTURE: Final = "plsync_recording"
SCOPES: Final = ("test", "class", "module", "package", "session")
_MODES: Final = ("none", "once", "new_episodes", "all")
_OPTIONS: Final = ("match", "exhausted", "speed", "redact", "filters", "also", "record_errors")
_ARGUMENTS: Final = ("path", "scope", "mode", *_OPTIONS, "allow_misses")
MARKER: Final = (
    f"{FIXTURE}(path=None, scope='test', mode=None, match=None, exhausted='fail', speed=None, redact=None, also=(), "
    "record_errors=True, allow_misses=False): "
    "serve the model calls of the test from its recording, or record them (see --plsync-record)."
)


@dataclass(slots=True)
class Settings:
    """How a test, or a fixture of a wider scope, uses its recording."""

    mode: str = "none"
    path: Path | None = None
    """The path that the marker names."""
    scope: str = "test"
    allow_misses: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``Recording``."""


def add_options(parser: pytest.Parser) -> None:
    """Add the options to the command line and to pytest's configuration."""
    group = parser.getgroup("plsync", "recorded model calls (plsync)")
    group.addoption(
        "--plsync-record",
        type=_mode,
        nargs="?",
        const="once",
        default=None,
        metavar="MODE",
        help="The mode of recordings. By default (none), recorded calls are served and other calls fail. "
        "With once, tests without a recording record. With new_episodes, missing calls are recorded. "
        "With all, every call is recorded again. Without a value: once.",
    )
    group.addoption(
        "--plsync-block-network",
        action="store_true",
        help="Fail tests that contact another machine. Loopback addresses and Unix sockets are allowed.",
    )
    group.addoption(
        "--plsync-allowed-hosts",
        action="append",
        default=None,
        metavar="HOSTS",
        help="Hosts that --plsync-block-network allows: names, *.example.com, addresses or networks, with commas.",
    )
    group.addoption(
        "--plsync-prune",
        action="store_true",
        help="Remove recorded calls that a passed test did not use, and recordings of removed tests and modules.",
    )
    parser.addini("plsync_mode", "the mode of recordings, as --plsync-record", default="")
    parser.addini("plsync_directory", "the directory of recordings", default=recording_paths.DIRECTORY)
    parser.addini("plsync_match", "the parts of a request that must be equal, or module:function", "args", default=[])
    parser.addini("plsync_redact", "a redact hook, as module:function", default="")
    parser.addini("plsync_exhausted", "fail or repeat", default="")
    parser.addini("plsync_record_errors", "record calls that raised an exception", "bool", default=True)
    parser.addini("plsync_placeholder_keys", "the API keys that get a placeholder; by default all", "args", default=[])
    parser.addini("plsync_block_network", "as --plsync-block-network", "bool", default=False)
    parser.addini("plsync_allowed_hosts", "as --plsync-allowed-hosts", "args", default=[])


def _mode(value: str) -> str:
    if value not in _MODES:
        hint = f"; before a path of tests write --plsync-record=once {value}" if "/" in value or "." in value else ""
        raise argparse.ArgumentTypeError(f"{value!r} is not a mode: there are {', '.join(_MODES)}{hint}")
    return value


def layout_of(config: pytest.Config) -> recording_paths.Layout:
    """Where the recordings of this run are."""
    return recording_paths.Layout(config.rootpath, config.getini("plsync_directory") or recording_paths.DIRECTORY)


def marker_of(node: pytest.Item | pytest.Collector) -> pytest.Mark | None:
    """The marker of a test, or of its class or module."""
    return node.get_closest_marker(FIXTURE)


def named_path(item: pytest.Item | pytest.Collector) -> Path | None:
    """The recording that the marker of a node names."""
    marker = marker_of(item)
    path = (marker.kwargs.get("path") or next(iter(marker.args), None)) if marker else None
    return recording_paths.named_path(item.path, path) if path else None


def scope_of(item: pytest.Item) -> str:
    """The scope of a test's recording, from its marker; without a marker, the scope of the fixture it uses."""
    marker = marker_of(item)
    if marker is not None:
        return str(marker.kwargs.get("scope") or "test")
    names = getattr(item, "fixturenames", ())
    wide = (scope for scope in SCOPES[1:] if f"plsync_{scope}_recording" in names)
    return "test" if FIXTURE in names else next(wide, "test")


def settings_of(node: pytest.Item | pytest.Collector, config: pytest.Config) -> Settings:
    """The settings for a test or a collector; the test fails if its marker is wrong."""
    marker = marker_of(node)
    arguments = dict(marker.kwargs) if marker else {}
    if marker is not None:
        _check(marker)
    options = _defaults(config) | {name: arguments[name] for name in _OPTIONS if name in arguments}
    options["also"] = [recording_paths.named_path(node.path, other) for other in _several(options.get("also", ()))]
    return Settings(
        mode=config.getoption("--plsync-record") or arguments.get("mode") or config.getini("plsync_mode") or "none",
        path=named_path(node),
        scope=str(arguments.get("scope") or "test"),
        allow_misses=bool(arguments.get("allow_misses", False)),
        options=options,
    )


def _several(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


def _check(marker: pytest.Mark) -> None:
    if len(marker.args) > 1:
        _fail(f"takes one positional argument, the path, not {len(marker.args)}: {marker.args!r}")
    if marker.args and marker.kwargs.get("path"):
        _fail(f"got two paths: {marker.args[0]!r} and {marker.kwargs['path']!r}")
    for name in marker.kwargs:
        if name not in _ARGUMENTS:
            import difflib  # noqa: PLC0415 - only a wrong marker needs it

            close = (
                "match" if name.startswith("match") else next(iter(difflib.get_close_matches(name, _ARGUMENTS)), None)
            )
            hint = f"; did you mean {close}?" if close else ""
            _fail(f"has no argument {name!r}{hint}. There are {', '.join(_ARGUMENTS)}")
    if (scope := marker.kwargs.get("scope") or "test") not in SCOPES:
        _fail(f"has no scope {scope!r}: there are {', '.join(SCOPES)}")


def _fail(message: str) -> None:
    pytest.fail(f"the marker {FIXTURE} {message}", pytrace=False)


def _defaults(config: pytest.Config) -> dict[str, Any]:
    """The options that pytest's configuration sets."""
    found: dict[str, Any] = {}
    if match := config.getini("plsync_match"):
        found["match"] = _imported(match[0], "plsync_match") if ":" in match[0] else match
    if redact := config.getini("plsync_redact"):
        found["redact"] = _imported(redact, "plsync_redact")
    if exhausted := config.getini("plsync_exhausted"):
        found["exhausted"] = exhausted
    if not config.getini("plsync_record_errors"):
        found["record_errors"] = False
    return found


def _imported(path: str, option: str) -> Any:
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{option} names {path!r}, which cannot be imported: {error}", pytrace=False)
    return found
