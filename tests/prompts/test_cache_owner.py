"""The cache of prompt templates: only files that no other user can replace are read."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync.errors import PromptError, PromptUnavailable
from plsync.prompts.cache import TemplateCache, all_caches
from plsync.prompts.template_key import TemplateKey
from tests.support.planted import KINDS, state_of
from tests.support.users import STRANGER, as_user, in_child, needs_root, public_directory

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and FIFOs of Unix")

KEY = TemplateKey("greeting")
URL = "https://api.example"


@pytest.fixture
def shared() -> Iterator[Path]:
    with public_directory() as directory:
        directory.chmod(0o777)
        yield directory


def fill(root: Path, text: str = "hello") -> str:
    """A cached template, and its text as the cache returns it."""
    cache = TemplateCache.for_account(root, URL, "pl_key")
    cache.put(KEY, {"version": 1, "prompt_template": text})
    return read(root)


def read(root: Path) -> str:
    entry = TemplateCache.for_account(root, URL, "pl_key").get(KEY)
    return "" if entry is None else str(entry.response["prompt_template"])


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_the_cache_of_another_user_is_neither_read_nor_written(mode: int, shared: Path) -> None:
    root = shared / "prompts"
    as_user(STRANGER, lambda: fill(root, "poisoned"))
    root.chmod(mode)
    before = state_of(root)
    for use in (fill, read, all_caches):
        with pytest.raises(PromptError, match=r"(belongs to user 65534|can be written to).*PLSYNC_TRUST_DIRECTORY"):
            use(root)
    assert state_of(root) == before
    assert isinstance(as_user(1234, lambda: read(root)), PromptError)


@needs_root
def test_root_may_look_at_the_cache_of_a_user(shared: Path) -> None:
    root = shared / "prompts"
    as_user(STRANGER, lambda: fill(root))
    assert [str(entry.key) for cache in all_caches(root, look=True) for entry in cache.entries()]


@needs_root
def test_the_directory_of_an_account_that_another_user_has_put_there_is_refused(shared: Path) -> None:
    root = shared / "prompts"
    root.mkdir()
    root.chmod(0o1777)
    fill(root)
    [directory] = [path for path in root.iterdir() if path.is_dir()]
    directory.rename(shared / "kept")
    as_user(STRANGER, directory.mkdir)
    with pytest.raises(PromptError, match="belongs to user 65534"):
        read(root)


@pytest.mark.parametrize("umask", [0o002, 0o022])
def test_a_cache_of_any_umask_opens(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        assert fill(tmp_path / "prompts") == "hello"
    finally:
        os.umask(before)
    assert read(tmp_path / "prompts") == "hello"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hard link"])
@pytest.mark.parametrize("place", ["salt", "template", "about.json", "unreachable"])
def test_a_planted_file_is_neither_read_nor_written_through(place: str, kind: str, tmp_path: Path) -> None:
    root, victim = tmp_path / "prompts", tmp_path / "victims" / "notes.txt"
    victim.parent.mkdir()
    victim.write_text("notes")
    fill(root)
    [directory] = [path for path in root.iterdir() if path.is_dir()]
    target = {"salt": root / "salt", "template": directory / KEY.file_name}.get(place, directory / place)
    target.unlink(missing_ok=True)
    KINDS[kind](target, victim)

    def use() -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cache = TemplateCache.for_account(root, URL, "pl_key")
            cache.seconds_since_failure()
            for step in (cache.set_unreachable, cache.set_reachable, lambda: fill(root, "new")):
                try:
                    step()
                except (OSError, PromptError, PromptUnavailable):
                    continue
            return read(root)

    in_child(use)
    assert victim.read_text() == "notes"
    assert [path.name for path in victim.parent.iterdir()] == ["notes.txt"]
