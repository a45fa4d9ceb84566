"""Prompt templates in bundles: from the cache of a hub, into the cache of an origin."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from plsync._common.paths import prompt_cache
from plsync.bundle.hub import Hub, Origin
from plsync.bundle.receive import BundleFields
from plsync.bundle.templates import KeptSet, TemplateSet
from plsync.cli.hub_settings import settings_of_origin
from plsync.cli.output import print_note
from plsync.config.workspaces import workspace_at
from plsync.errors import BundleError, PlsyncError, PromptError
from plsync.journal.journal import Journal
from plsync.promptlayer.settings import base_url_of
from plsync.prompts.bundled import KeptTemplates, keep, kept_set, note_stated, template_set
from plsync.prompts.cache import TemplateCache, all_caches

if TYPE_CHECKING:
    from plsync._common.native import SignedBundle

__all__ = ["TemplatesOfHub", "forget_templates", "keep_templates", "kept_templates", "note_stated_templates"]


@dataclass
class TemplatesOfHub:
    """The prompt templates that a hub has fetched with the keys of its origins."""

    hub: Hub
    _sets: dict[Path, TemplateSet | None] = field(default_factory=dict)

    def waiting(self, origin: Origin, *, again: bool) -> TemplateSet | None:
        """The templates that an origin does not keep yet, or with ``again`` all; None without news."""
        try:
            found = self._all(origin)
        except (PlsyncError, OSError) as error:
            print_note(f"plsync: {origin.directory} gets no prompt templates: {error}")
            return None
        is_kept = found is not None and found.digest == self.hub.stated_templates(origin)
        return None if is_kept and not again else found

    def _all(self, origin: Origin) -> TemplateSet | None:
        root = prompt_cache()
        # Where no template was ever fetched, no key is read.
        if not any(cache.hub is None for cache in all_caches(root)):
            return None
        settings = settings_of_origin(self.hub, origin)
        cache = TemplateCache.for_account(root, settings.base_url, settings.key.read())
        if cache.directory not in self._sets:
            self._sets[cache.directory] = template_set(cache)
        return self._sets[cache.directory]


def kept_templates(journal: Journal, hub: str) -> KeptSet | None:
    """The set of templates that this machine keeps from a hub, for a journal."""
    try:
        # Most machines keep none, and then no directory is made.
        if not any(cache.hub == hub for cache in all_caches(prompt_cache())):
            return None
        return kept_set(_cache_of(journal, hub)[0])
    except (PlsyncError, OSError):
        # The hub then sends all of them.
        return None


def note_stated_templates(journal: Journal, hub: str, stated: KeptSet | None) -> None:
    """Note that a bundle to a hub was written that states the kept templates."""
    if stated is not None and not stated.is_stated:
        # Else the next export states them again.
        with contextlib.suppress(PlsyncError, OSError):
            note_stated(_cache_of(journal, hub)[0], stated)


def keep_templates(bundle: SignedBundle, fields: BundleFields, journal: Journal, hub_number: int) -> KeptTemplates:
    """Keep the prompt templates of a bundle from a hub.

    Raises:
        BundleError: the cache cannot be written.
    """
    if not fields.templates:
        return KeptTemplates(0, is_older=False)
    place = journal.bundles.place(hub_number)
    try:
        cache, workspace = _cache_of(journal, fields.signer)
        return keep(cache, bundle, fields.signer, workspace, [] if place is None else place.ended)
    except (PromptError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleError(
            f"its prompt templates cannot be stored in {prompt_cache()}: {reason}; nothing else was changed; make "
            f"room, or name another directory with PLSYNC_PROMPTS, and import it again"
        ) from None


def forget_templates(hub: str) -> None:
    """Remove the prompt templates that the bundles of a hub brought."""
    for cache in all_caches(prompt_cache()):
        if cache.hub == hub:
            cache.remove()


def _cache_of(journal: Journal, hub: str) -> tuple[TemplateCache, str | None]:
    workspace = workspace_at(Path(journal.path))
    return TemplateCache.of_hub(prompt_cache(), base_url_of(workspace), hub, workspace), workspace
