"""Prompt templates in bundles: a hub writes its cache, and an origin keeps the templates in another cache."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from plsync.bundle.templates import KeptSet, TemplateSet
from plsync.errors import PromptError
from plsync.prompts.cache import CachedTemplate, TemplateCache, all_caches
from plsync.prompts.template_key import TemplateKey

if TYPE_CHECKING:
    from collections.abc import Collection

    from plsync._common.native import SignedBundle

__all__ = ["KeptTemplates", "keep", "kept_set", "newest_copy", "note_stated", "template_set"]

# Epochs of a hub's log that are remembered as earlier ones.
_BEFORE: Final = 64


@dataclass
class _Group:
    """The keys with the same response."""

    response: dict[str, Any]
    fetched_at: float
    keys: list[TemplateKey] = field(default_factory=list)


def template_set(cache: TemplateCache) -> TemplateSet | None:
    """The templates of a cache, for a bundle; None for an empty cache."""
    groups: dict[tuple[str, bytes], _Group] = {}
    for entry in cache.entries():
        digest = hashlib.sha256(orjson.dumps(entry.response, option=orjson.OPT_SORT_KEYS)).digest()
        group = groups.setdefault((entry.key.name, digest), _Group(entry.response, entry.fetched_at))
        group.fetched_at = min(group.fetched_at, entry.fetched_at)
        group.keys.append(entry.key)
    if not groups:
        return None
    contents = [_content(name, group) for (name, _), group in groups.items()]
    # The time of a fetch is not part of it: the same templates, fetched again, need no second journey.
    known = [
        [name, digest.hex(), [_key(key) for key in _sorted(group)]]
        for (name, digest), group in sorted(groups.items(), key=_place)
    ]
    return TemplateSet(
        hashlib.sha256(orjson.dumps(known)).digest(),
        sorted(contents, key=lambda content: hashlib.sha256(content).digest()),
    )


def _place(found: tuple[tuple[str, bytes], _Group]) -> tuple[str, bytes]:
    return found[0]


def _content(name: str, group: _Group) -> bytes:
    keys = [_key(key) for key in _sorted(group)]
    fetched_at = max(0, int(group.fetched_at * 1000))
    return orjson.dumps({"name": name, "keys": keys, "fetched_at": fetched_at, "response": group.response})


def _key(key: TemplateKey) -> dict[str, Any]:
    found = {"version": key.version, "label": key.label}
    return {name: value for name, value in found.items() if value is not None}


def _sorted(group: _Group) -> list[TemplateKey]:
    return sorted(group.keys, key=lambda key: (key.version or 0, key.label or ""))


@dataclass(frozen=True)
class KeptTemplates:
    """The result of a set of templates in a bundle."""

    new: int
    """Templates that this machine did not have, or had with another content."""
    is_older: bool
    """The set is older than the one that this machine keeps, and was ignored."""


def keep(
    cache: TemplateCache, bundle: SignedBundle, hub: str, workspace: str | None, ended: Collection[bytes]
) -> KeptTemplates:
    """Keep the set of templates of a bundle, in place of the set before. An older set is ignored.

    Args:
        cache: of the hub.
        bundle: with templates.
        hub: the name of the hub.
        workspace: the workspace of the journal.
        ended: the epochs of the hub's log that are over.

    Raises:
        OSError: the cache cannot be written.
    """
    digest, end = bundle.template_set(), bundle.log_end()
    if digest is None or end is None:
        return KeptTemplates(0, is_older=False)
    fields, epoch, before = bundle.fields(), end[0].hex(), _kept(cache)
    origin_of_set = {"epoch": epoch, "key": fields["key_id"], "serial": fields["serial"]}
    if _is_older(origin_of_set, before, [each.hex() for each in ended]):
        return KeptTemplates(0, is_older=True)
    new, keys = 0, set[TemplateKey]()

    def store(content: bytes) -> None:
        nonlocal new
        found = orjson.loads(content)
        fetched_at, is_new = found["fetched_at"] / 1000, False
        for each in found["keys"]:
            key = TemplateKey(found["name"], each.get("version"), each.get("label"))
            known = cache.get(key)
            is_new = is_new or known is None or known.response != found["response"]
            try:
                cache.put_fetched(key, found["response"], fetched_at)
            except PromptError:
                continue
            keys.add(key)
        new += is_new

    bundle.each_template(store)
    cache.keep_only(keys)
    earlier = [each for each in (*before.get("before", ()), before.get("epoch")) if each not in (None, epoch)]
    kept = {"digest": digest.hex(), "files": len(keys), **origin_of_set, "before": earlier[-_BEFORE:]}
    if kept.items() <= before.items():
        # The file of an export that was read before: the hub has not sent the set anew.
        kept = before
    cache.set_about(hub=hub, workspace=workspace or "", set=kept)
    return KeptTemplates(new, is_older=False)


def _is_older(found: dict[str, Any], kept: dict[str, Any], ended: Collection[str]) -> bool:
    """Whether a set of templates is older than the one that is kept. The numbers of a hub's exports grow with each key.

    A hub whose machine was put back from a copy repeats numbers, and begins a new epoch of its log.
    """
    epoch, known = found["epoch"], kept.get("epoch")
    if epoch in ended:
        return True
    if known in ended:
        return False
    is_lower = found["key"] == kept.get("key") and found["serial"] < kept.get("serial", 0)
    return epoch in kept.get("before", ()) or (epoch == known and is_lower)


def kept_set(cache: TemplateCache) -> KeptSet | None:
    """The set of templates that a cache keeps from a hub; None if a template of it is lost."""
    kept = _kept(cache)
    try:
        digest = bytes.fromhex(kept["digest"])
    except (TypeError, KeyError, ValueError):
        return None
    is_whole = len(digest) == 32 and kept.get("files") == sum(1 for _ in cache.entries())
    return KeptSet(digest, kept.get("is_stated") is True) if is_whole else None


def note_stated(cache: TemplateCache, stated: KeptSet) -> None:
    """Note that a bundle to the hub states the digest of the set that a cache keeps.

    Raises:
        OSError: the cache cannot be written.
    """
    kept = _kept(cache)
    if kept.get("digest") == stated.digest.hex() and not stated.is_stated:
        cache.set_about(set={**kept, "is_stated": True})


def _kept(cache: TemplateCache) -> dict[str, Any]:
    """The set of templates that a cache keeps: its digest, its number of files, and the export that brought it."""
    kept = cache.about().get("set")
    return kept if isinstance(kept, dict) else {}


def newest_copy(
    root: Path, base_url: str, workspace: str | None, key: TemplateKey, own: CachedTemplate | None
) -> CachedTemplate | None:
    """The copy that was fetched last: of this machine, or of a hub whose bundles came here.

    Args:
        root: the directory of the caches.
        base_url: the URL of the server.
        workspace: the workspace; None for the environment's.
        key: the template.
        own: the copy that this machine fetched.

    Raises:
        PromptError: another user controls the directory.
    """
    newest = own
    try:
        caches = all_caches(root, base_url)
    except OSError:
        # A cache that cannot be read has no copy.
        return own
    for cache in caches:
        about = cache.about()
        if about.get("hub") is None or about.get("workspace") != (workspace or ""):
            continue
        copy = cache.get(key)
        if copy is not None and (newest is None or copy.fetched_at > newest.fetched_at):
            newest = copy
    return newest
