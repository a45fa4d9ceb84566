"""The cache of prompt templates on disk.

Each pair of server and API key has a directory, so that a template of one workspace is never used for another. The
directory's name is a keyed hash of both; the key itself is not stored. A directory holds a JSON file for each template
key: for a version, for a label, or for the newest version. A file is written under a temporary name and then renamed,
so a reader never sees a part of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from plsync._common.account import account_id, without_user_info
from plsync._common.files import admit_directory, check_directory, read_own, replacing
from plsync.errors import PromptError
from plsync.prompts.template_key import TemplateKey

__all__ = ["CachedTemplate", "TemplateCache", "all_caches"]

# The limits of one template, and of a directory. A directory beyond its limits loses its oldest templates.
_MAX_TEMPLATE_BYTES: Final = 4 << 20
_MAX_TEMPLATES: Final = 10_000
_MAX_BYTES: Final = 256 << 20
# The number of writes between two checks of the limits.
_CHECK_EVERY: Final = 100
_SALT: Final = "salt"
_ABOUT: Final = "about.json"
_UNREACHABLE: Final = "unreachable"


@dataclass(frozen=True)
class CachedTemplate:
    """A template with PromptLayer's response, and the time of the response."""

    key: TemplateKey
    response: dict[str, Any]
    """PromptLayer's response to ``GET /prompt-templates/{name}``."""
    fetched_at: float
    """Seconds since the epoch."""
    size: int = 0
    """The number of bytes on disk."""


class TemplateCache:
    """The cached templates of one server and API key.

    Args:
        directory: the directory; the first write creates it.
        base_url: the server's URL, without credentials; None to read it from the directory.
    """

    def __init__(self, directory: Path, base_url: str | None = None) -> None:
        self.directory = directory
        self._base_url = base_url
        self._writes = 0

    @classmethod
    def for_account(cls, root: Path, base_url: str, api_key: str) -> TemplateCache:
        """The cache of a server and API key, below the directory ``root``.

        Raises:
            PromptError: another user controls the directory, and could replace its templates.
        """
        _admit(root)
        url = without_user_info(base_url)
        directory = root / account_id(url, api_key, _salt(root)).hex()
        with _refusing(directory), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            check_directory(directory)
        return cls(directory, url)

    @classmethod
    def of_hub(cls, root: Path, base_url: str, hub: str, workspace: str | None) -> TemplateCache:
        """The cache of the templates that the bundles of a hub bring, below the directory ``root``.

        Args:
            root: the directory of all caches.
            base_url: the server's URL, as this machine's programs name it.
            hub: the name of the hub's trusted card.
            workspace: the workspace of the journal; None without one.

        Raises:
            PromptError: another user controls the directory, and could replace its templates.
        """
        return cls.for_account(root, base_url, f"bundles of {hub} for {workspace or ''}")

    @property
    def base_url(self) -> str:
        """The URL of the server; empty if it is unknown."""
        return self._base_url or str(self.about().get("base_url", ""))

    @property
    def hub(self) -> str | None:
        """The hub whose bundles brought the templates; None for templates that this machine fetched."""
        hub = self.about().get("hub")
        return hub if isinstance(hub, str) else None

    def about(self) -> dict[str, Any]:
        """The facts about the cache: its server, and the hub and the workspace of templates from bundles."""
        return _read(self.directory / _ABOUT) or {}

    def get(self, key: TemplateKey) -> CachedTemplate | None:
        """A template; None if it is missing or its file is damaged."""
        return _entry(self.directory / key.file_name, key)

    def put(self, key: TemplateKey, response: dict[str, Any]) -> None:
        """Store a template under its key, and under its version.

        Raises:
            OSError: the cache cannot be written.
            PromptError: the template has more than 4 MiB.
        """
        version = response.get("version")
        keys = {key, TemplateKey(key.name, version)} if isinstance(version, int) else {key}
        for each in keys:
            self.put_fetched(each, response, time.time())
        if self._writes == 0:
            self.set_about()
        if self._writes % _CHECK_EVERY == 0:
            self._enforce_limits()
        self._writes += 1

    def put_fetched(self, key: TemplateKey, response: dict[str, Any], fetched_at: float) -> None:
        """Store a template under a key alone.

        Args:
            key: the key.
            response: PromptLayer's.
            fetched_at: the time of the response, in seconds since the epoch.

        Raises:
            OSError, PromptError: as :meth:`put`.
        """
        stored = {name: value for name, value in response.items() if name not in {"success", "llm_kwargs"}}
        entry = {"v": 1, "name": key.name, "version": key.version, "label": key.label}
        content = orjson.dumps(entry | {"fetched_at": fetched_at, "answer": stored})
        if len(content) > _MAX_TEMPLATE_BYTES:
            raise PromptError(f"{key} has more than {_MAX_TEMPLATE_BYTES >> 20} MiB and was not cached")
        _write(self.directory / key.file_name, content)

    def keep_only(self, keys: Collection[TemplateKey]) -> None:
        """Remove the templates under all other keys."""
        names = {key.file_name for key in keys}
        for path in _files(self.directory):
            if path.name not in names:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the cache."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)

    def entries(self) -> Iterator[CachedTemplate]:
        """All readable templates, in no particular order."""
        for path in _files(self.directory):
            if entry := _entry(path):
                yield entry

    def pulled_at(self) -> str | None:
        """The time (ISO 8601) up to which the last pull of all templates fetched changes; None before the first."""
        pulled_at = self.about().get("pulled_at")
        return pulled_at if isinstance(pulled_at, str) else None

    def set_pulled_at(self, moment: str) -> None:
        """Store the time (ISO 8601) of a pull of all templates."""
        self.set_about(pulled_at=moment)

    # --- failed queries ---

    def set_unreachable(self) -> None:
        """Store that a query failed just now."""
        _write(self.directory / _UNREACHABLE, b"")

    def set_reachable(self) -> None:
        """Store that PromptLayer responded."""
        with contextlib.suppress(FileNotFoundError):
            (self.directory / _UNREACHABLE).unlink()

    def seconds_since_failure(self) -> float | None:
        """Seconds since the last query, if it failed; None if PromptLayer responded to it."""
        with contextlib.suppress(OSError):
            age = time.time() - (self.directory / _UNREACHABLE).lstat().st_mtime
            # A negative age means that the clock was set back. Then the time of the failure is unknown.
            return age if age >= 0 else None
        return None

    def set_about(self, **changes: Any) -> None:
        """Store facts about the cache. The other facts stay."""
        about = self.about()
        about.pop("size", None)
        _write(self.directory / _ABOUT, orjson.dumps({**about, "base_url": self.base_url, **changes}))

    def _enforce_limits(self) -> None:
        """Remove the oldest templates beyond the limits."""
        found = []
        for path in _files(self.directory):
            with contextlib.suppress(OSError):  # another process may have removed it
                status = path.lstat()
                found.append((status.st_mtime, status.st_size, path))
        found.sort(reverse=True)
        total = 0
        for number, (_, size, path) in enumerate(found, 1):
            total += size
            if number > _MAX_TEMPLATES or total > _MAX_BYTES:
                path.unlink(missing_ok=True)


def all_caches(root: Path, base_url: str | None = None, *, look: bool = False) -> list[TemplateCache]:
    """Every cache below ``root`` that holds a template.

    Args:
        root: the directory of the caches.
        base_url: only caches of this server.
        look: the templates are only shown. Then root may read the caches of another user.

    Raises:
        PromptError: another user controls the directory, and could replace its templates.
    """
    _admit(root, look=look)
    try:
        found = [TemplateCache(path) for path in sorted(root.iterdir()) if _is_own(path)]
    except FileNotFoundError:
        return []
    url = None if base_url is None else without_user_info(base_url)
    return [cache for cache in found if any(_files(cache.directory)) and url in {None, cache.base_url}]


def _admit(root: Path, *, look: bool = False) -> None:
    """Check who controls the directory of all caches. A missing one is created with the first template."""
    # Any other error is one of reading and writing: nothing can be read from there.
    with _refusing(root), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        admit_directory(root, look=look)


@contextlib.contextmanager
def _refusing(directory: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise PromptError(f"{directory}: {error.strerror}; no template was read or written") from error


def _is_own(directory: Path) -> bool:
    try:
        check_directory(directory)
    except OSError:
        return False
    return directory.is_dir()


def _files(directory: Path) -> Iterator[Path]:
    # An unreadable directory counts as empty.
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.name != _ABOUT:
                yield Path(entry.path)


def _entry(path: Path, key: TemplateKey | None = None) -> CachedTemplate | None:
    entry = _read(path)
    if entry is None or entry.get("v") != 1 or not isinstance(entry.get("answer"), dict):
        return None
    found, at = TemplateKey(entry.get("name", ""), entry.get("version"), entry.get("label")), entry.get("fetched_at")
    if found != (key or found) or not isinstance(at, float):
        return None
    return CachedTemplate(found, entry["answer"], at, entry["size"])


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, with its ``size``; None if the file is missing or damaged."""
    try:
        content = read_own(path, _MAX_TEMPLATE_BYTES + 1)
        parsed = orjson.loads(content)
    except (OSError, orjson.JSONDecodeError):
        return None
    return parsed | {"size": len(content)} if isinstance(parsed, dict) else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path, sync=True) as file:
        file.write(content)


def _salt(root: Path) -> bytes:
    """Random bytes of this machine, so that the name of a directory reveals nothing about its API key."""
    path = root / _SALT
    with contextlib.suppress(OSError):
        if salt := read_own(path, 64):
            return salt
    try:
        _write(path, os.urandom(32))
    except OSError:  # nothing else can be written either, so nothing has to be found again
        return os.urandom(32)
    # Another process may have written a salt at the same time. The last one counts for both.
    return read_own(path, 64)
