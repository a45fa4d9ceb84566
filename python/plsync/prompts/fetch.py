"""Fetches a template from PromptLayer, or from the cache if PromptLayer does not respond."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, Final

from plsync._common.paths import prompt_cache
from plsync.errors import AuthenticationError, PlsyncWarning, PromptError, PromptNotFound, PromptUnavailable
from plsync.prompts.bundled import newest_copy
from plsync.prompts.cache import CachedTemplate, TemplateCache, all_caches
from plsync.prompts.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable

    from plsync.promptlayer.outcomes import Outcome
    from plsync.prompts.template_key import TemplateKey

__all__ = ["from_only_cache", "from_promptlayer"]

# Seconds without a query after a failed one, so that a program that calls get() often does not wait often.
_RETRY_AFTER: Final = 30.0


def from_promptlayer(
    key: TemplateKey, api_key: str, base_url: str, timeout: float, max_age: float, *, workspace: str | None = None
) -> Template:
    """A template from PromptLayer, or the cached copy: of this machine, or from a bundle.

    Args:
        key: the template.
        api_key: PromptLayer's API key.
        base_url: PromptLayer's URL.
        timeout: seconds that PromptLayer has for its response.
        max_age: seconds for which a cached copy is used without a query.
        workspace: the workspace whose templates bundles brought; None for the environment's.

    Raises:
        PromptNotFound: PromptLayer has no such template, version or label.
        PromptUnavailable: PromptLayer did not respond, and there is no cached copy.
        AuthenticationError: PromptLayer refused the key, and there is no cached copy.
        PromptError: PromptLayer refused the request.
    """
    cache = TemplateCache.for_account(prompt_cache(), base_url, api_key)
    cached = cache.get(key)
    if cached is not None and 0 <= time.time() - cached.fetched_at < max_age:
        return Template(cached, from_cache=True)
    since_failure = cache.seconds_since_failure()
    if since_failure is not None and since_failure < _RETRY_AFTER:
        cached = newest_copy(prompt_cache(), base_url, workspace, key, cached)
        return _cached_copy(key, cached, cache, f"it could not be reached {since_failure:.0f} s ago")
    outcome = _query(key, api_key, base_url, timeout)
    _store_reachability(cache, outcome)
    return _template(key, lambda: newest_copy(prompt_cache(), base_url, workspace, key, cached), cache, outcome)


def from_only_cache(key: TemplateKey, base_url: str, workspace: str | None = None) -> Template:
    """A template from a bundle, or from the cache of the only API key that was used with this URL; for programs
    without a key.

    Raises:
        AuthenticationError: no copy is cached, or the caches of several keys exist, and no bundle brought a copy.
    """
    caches = [cache for cache in all_caches(prompt_cache(), base_url) if cache.hub is None]
    own = caches[0].get(key) if len(caches) == 1 else None
    cached = newest_copy(prompt_cache(), base_url, workspace, key, own)
    if cached is not None:
        return Template(cached, from_cache=True, stale=key.version is None, reason="no key is set")
    if len(caches) > 1:
        raise AuthenticationError(
            f"the templates of {len(caches)} API keys are cached for this server, and PROMPTLAYER_API_KEY is not set; "
            "no template was chosen: set PROMPTLAYER_API_KEY"
        )
    alternatives = _alternatives(key, caches[0]) if caches else ""
    raise AuthenticationError(
        f"the prompt template {key} was never fetched, and PROMPTLAYER_API_KEY is not set; {alternatives}"
        "set PROMPTLAYER_API_KEY, or run `plsync prompts pull` with it"
    )


def _query(key: TemplateKey, api_key: str, base_url: str, timeout: float) -> Outcome:
    # An HTTP client is slow to import, and a template from the cache needs none.
    from plsync.promptlayer.client import PromptLayerClient  # noqa: PLC0415

    with PromptLayerClient(api_key, base_url, timeout=timeout) as client:
        return client.template(key.name, version=key.version, label=key.label)


def _template(
    key: TemplateKey, find_copy: Callable[[], CachedTemplate | None], cache: TemplateCache, outcome: Outcome
) -> Template:
    from plsync.promptlayer.outcomes import Fetched, Missing, Refused, Unauthorized  # noqa: PLC0415 - loaded by now

    if isinstance(outcome, Fetched):
        response = dict(outcome.body)
        _store(cache, key, response)
        return Template(CachedTemplate(key, response, time.time()), from_cache=False)
    if isinstance(outcome, Missing):
        raise PromptNotFound(f"PromptLayer has no prompt template {key}: {outcome.reason}")
    if isinstance(outcome, Refused):
        raise PromptError(f"PromptLayer refused to return the prompt template {key}: {outcome.reason}")
    cached = find_copy()
    if isinstance(outcome, Unauthorized) and cached is None:
        raise AuthenticationError(
            f"PromptLayer refused the API key ({outcome.reason}), and the prompt template {key} was never fetched "
            "with it: use a valid key"
        )
    return _cached_copy(key, cached, cache, outcome.reason)


def _cached_copy(key: TemplateKey, cached: CachedTemplate | None, cache: TemplateCache, reason: str) -> Template:
    if cached is None:
        raise PromptUnavailable(
            f"the prompt template {key} was never fetched, and PromptLayer does not respond ({reason}); "
            f"{_alternatives(key, cache)}run `plsync prompts pull` while there is a network"
        )
    # The content of a numbered version never changes.
    return Template(cached, from_cache=True, stale=key.version is None, reason=reason)


def _alternatives(key: TemplateKey, cache: TemplateCache) -> str:
    """The cached copies of the same template, as part of an error message."""
    found = sorted(str(entry.key) for entry in cache.entries() if entry.key.name == key.name)
    return f"the cache has {', '.join(found)}; " if found else ""


def _store(cache: TemplateCache, key: TemplateKey, response: dict[str, Any]) -> None:
    try:
        cache.put(key, response)
    except (OSError, PromptError) as error:
        # The program has its template. Only a later call without a network will miss the copy.
        message = f"the prompt template {key} was fetched, but could not be cached: {error}"
        warnings.warn(message, PlsyncWarning, stacklevel=5)


def _store_reachability(cache: TemplateCache, outcome: Outcome) -> None:
    from plsync.promptlayer.outcomes import Ambiguous, Unreachable  # noqa: PLC0415 - loaded by now

    try:
        if isinstance(outcome, Unreachable | Ambiguous):
            cache.set_unreachable()
        else:
            cache.set_reachable()
    except OSError as error:
        message = f"the cache {cache.directory} cannot be written ({error}): every call queries PromptLayer"
        warnings.warn(message, PlsyncWarning, stacklevel=4)
