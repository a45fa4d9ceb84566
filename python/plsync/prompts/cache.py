"""Prompt templates on disk: what was fetched, for whom, and when.

A directory for each PromptLayer and key, named by a keyed hash of both, so that the templates of one workspace never
answer for another's; the key itself is nowhere. In it a JSON file for each template as it was asked for: by version,
by label, or the newest. Everything is written under another name and renamed, so that a reader finds it whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from plsync.errors import PromptError

__all__ = ["Cache", "Cached", "Wanted", "caches"]

# A template larger than this is not kept; beyond these the oldest go.
_MOST_BYTES: Final = 4 << 20
_MOST_ENTRIES: Final = 10_000
_MOST_IN_ALL: Final = 256 << 20
# How often the bounds are looked at, in entries written.
_LOOK_EVERY: Final = 100
# No version is as high as that.
_END: Final = 1 << 63
_SALT: Final = "salt"
_ABOUT: Final = "about.json"
_UNREACHABLE: Final = "unreachable"


@dataclass(frozen=True)
class Wanted:
    """Which template: a version of it, the one with a label, or the newest."""

    name: str
    version: int | None = None
    label: str | None = None

    @classmethod
    def of(cls, name: str, version: int | None = None, label: str | None = None) -> Wanted:
        """What a program asks for. Raises PromptError: it makes no sense."""
        if not _is_text(name):
            raise PromptError(f"a prompt template's name is a text, not {name!r}")
        is_whole = isinstance(version, int) and not isinstance(version, bool)
        if version is not None and not (is_whole and 0 < version < _END):
            raise PromptError(f"a prompt template's version is a whole number above 0, not {version!r}")
        if label is not None and not _is_text(label):
            raise PromptError(f"a release label is a text, not {label!r}")
        if version is not None and label is not None:
            raise PromptError(f"version {version} and label {label!r} of {name!r} are asked for; give one of them")
        return cls(name, version, label)

    def __str__(self) -> str:
        """As it stands in messages."""
        if self.label is not None:
            return f"{self.name!r} with label {self.label!r}"
        return f"{self.name!r}" if self.version is None else f"version {self.version} of {self.name!r}"

    @property
    def file(self) -> str:
        """The file it is kept in. A name may be anything, so it is hashed."""
        asked = orjson.dumps([self.name, self.version, self.label])
        return f"{hashlib.blake2b(asked, digest_size=16).hexdigest()}.json"


@dataclass(frozen=True)
class Cached:
    """A template as PromptLayer had it at a moment."""

    wanted: Wanted
    answer: dict[str, Any]
    """PromptLayer's answer to ``GET /prompt-templates/{name}``."""
    fetched_at: float
    """Seconds since the epoch."""
    size: int = 0
    """Bytes on disk."""


class Cache:
    """The templates of one PromptLayer and key."""

    def __init__(self, directory: Path, base_url: str | None = None) -> None:
        """In this directory, which need not exist; ``base_url`` is noted in it."""
        self.directory = directory
        self._base_url = base_url
        self._written = 0

    @classmethod
    def of(cls, root: Path, base_url: str, api_key: str) -> Cache:
        """The one that belongs to this key at this URL."""
        where = _without_credentials(base_url)
        asked = f"{where}\0{api_key}".encode("utf-8", "surrogateescape")
        return cls(root / hashlib.blake2b(asked, key=_salt(root), digest_size=16).hexdigest(), where)

    @property
    def base_url(self) -> str:
        """Where its templates are from."""
        noted = _read(self.directory / _ABOUT) or {}
        return self._base_url or str(noted.get("base_url", ""))

    def get(self, wanted: Wanted) -> Cached | None:
        """A template, if it is there and can be read."""
        return _entry(self.directory / wanted.file, wanted)

    def put(self, wanted: Wanted, answer: dict[str, Any]) -> None:
        """Keep a template, as it was asked for and by its version.

        Raises:
            OSError: it cannot be written.
            PromptError: it is larger than any template should be.
        """
        kept = {key: value for key, value in answer.items() if key not in {"success", "llm_kwargs"}}
        version = answer.get("version")
        asked = {wanted, Wanted(wanted.name, version)} if isinstance(version, int) else {wanted}
        for one in asked:
            entry = {"v": 1, "name": one.name, "version": one.version, "label": one.label}
            content = orjson.dumps(entry | {"fetched_at": time.time(), "answer": kept})
            if len(content) > _MOST_BYTES:
                raise PromptError(f"{wanted} has more than {_MOST_BYTES >> 20} MiB")
            _write(self.directory / one.file, content)
        if self._written == 0:
            self._note()
        if self._written % _LOOK_EVERY == 0:
            self._shrink()
        self._written += 1

    def entries(self) -> Iterator[Cached]:
        """Everything that can be read, in no order."""
        for path in _files(self.directory):
            if entry := _entry(path):
                yield entry

    def pulled_at(self) -> str | None:
        """What was changed before this moment (ISO 8601) was there when everything was fetched last."""
        noted = (_read(self.directory / _ABOUT) or {}).get("pulled_at")
        return noted if isinstance(noted, str) else None

    def set_pulled_at(self, moment: str) -> None:
        """Everything was fetched."""
        self._note(pulled_at=moment)

    # --- what is not there, and since when ---

    def set_unreachable(self) -> None:
        """PromptLayer was asked just now, in vain."""
        _write(self.directory / _UNREACHABLE, b"")

    def set_reachable(self) -> None:
        """It answered."""
        with contextlib.suppress(FileNotFoundError):
            (self.directory / _UNREACHABLE).unlink()

    def unreachable_for(self) -> float | None:
        """Seconds since it was asked in vain, if nothing has been heard of it since."""
        with contextlib.suppress(OSError):
            age = time.time() - (self.directory / _UNREACHABLE).stat().st_mtime
            # A clock that was set tells nothing.
            return age if age >= 0 else None
        return None

    def _note(self, **what: str) -> None:
        noted = _read(self.directory / _ABOUT) or {}
        noted.pop("size", None)
        _write(self.directory / _ABOUT, orjson.dumps({**noted, "base_url": self.base_url, **what}))

    def _shrink(self) -> None:
        """Let the oldest go where there are too many."""
        found = []
        for path in _files(self.directory):
            with contextlib.suppress(OSError):  # another process may have removed it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        found.sort(reverse=True)
        total = 0
        for number, (_, size, path) in enumerate(found, 1):
            total += size
            if number > _MOST_ENTRIES or total > _MOST_IN_ALL:
                path.unlink(missing_ok=True)


def caches(root: Path, base_url: str | None = None) -> list[Cache]:
    """Every cache that holds something; with ``base_url`` those of that PromptLayer."""
    try:
        found = [Cache(path) for path in sorted(root.iterdir()) if path.is_dir()]
    except FileNotFoundError:
        return []
    shown = None if base_url is None else _without_credentials(base_url)
    return [cache for cache in found if any(_files(cache.directory)) and shown in {None, cache.base_url}]


def _is_text(value: object) -> bool:
    """Whether it says something, in whole characters."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False


def _files(directory: Path) -> Iterator[Path]:
    # Where nothing can be listed nothing can be read either.
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.name != _ABOUT:
                yield Path(entry.path)


def _entry(path: Path, wanted: Wanted | None = None) -> Cached | None:
    kept = _read(path)
    if kept is None or kept.get("v") != 1 or not isinstance(kept.get("answer"), dict):
        return None
    found, at = Wanted(kept.get("name", ""), kept.get("version"), kept.get("label")), kept.get("fetched_at")
    if found != (wanted or found) or not isinstance(at, float):
        return None
    return Cached(found, kept["answer"], at, kept["size"])


def _read(path: Path) -> dict[str, Any] | None:
    """A file's JSON object with its ``size``; None when there is none that can be read: it is fetched again."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        parsed = orjson.loads(content)
    except (OSError, orjson.JSONDecodeError):
        return None
    return parsed | {"size": len(content)} if isinstance(parsed, dict) else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unnamed = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unnamed, path)
    except BaseException:
        unnamed.unlink(missing_ok=True)
        raise


def _salt(root: Path) -> bytes:
    """Random bytes of this machine, so that the names of directories tell nothing of keys."""
    path = root / _SALT
    with contextlib.suppress(OSError):
        if salt := path.read_bytes()[:64]:
            return salt
    try:
        _write(path, os.urandom(32))
    except OSError:  # where this cannot be written nothing else can, and there is nothing to find again
        return os.urandom(32)
    # Another process may have made one at the same time: the last counts for both.
    return path.read_bytes()[:64]


def _without_credentials(base_url: str) -> str:
    parts = urlsplit(base_url.strip().rstrip("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
