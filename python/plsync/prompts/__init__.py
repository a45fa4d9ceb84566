"""Prompt templates of PromptLayer's registry: from PromptLayer when it can be asked, else from a cache on disk.

>>> from plsync import prompts
>>> template = prompts.get("example", version=1)  # doctest: +SKIP
>>> template["prompt_template"]["type"]  # doctest: +SKIP
'completion'

``plsync prompts pull`` fills the cache before going offline. It survives the process; where it is, is
:func:`plsync._common.paths.prompt_cache`'s to say.
"""

from __future__ import annotations

import time
import warnings
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from plsync._common.paths import prompt_cache
from plsync.errors import (
    AuthenticationError,
    PlsyncWarning,
    PromptError,
    PromptNotFound,
    PromptUnavailable,
    StalePrompt,
)
from plsync.promptlayer import settings
from plsync.prompts.cache import Cache, Cached, Wanted, caches

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

    from plsync.promptlayer.outcomes import Outcome

__all__ = ["Template", "get"]

# After PromptLayer was asked in vain it is left alone so long, so that a program that asks often does not wait often.
_LEAVE_ALONE: Final = 30.0


class Template(dict[str, Any]):
    """A template as PromptLayer gives it: a dict with ``prompt_name``, ``version``, ``prompt_template`` and more.

    What is in it is PromptLayer's answer to ``GET /prompt-templates/{name}``.
    """

    def __init__(self, cached: Cached, *, from_cache: bool, stale: bool = False, reason: str = "") -> None:
        """What was fetched, or kept."""
        super().__init__(cached.answer)
        self.fetched_at = datetime.fromtimestamp(cached.fetched_at, timezone.utc)
        """When PromptLayer gave it."""
        self.from_cache = from_cache
        """Whether it was kept from an earlier time."""
        self.stale = stale
        """Whether PromptLayer may have another by now: it is not of a named version, and could not be asked for."""
        self.reason = reason
        """Why it could not."""

    def to_langchain(self) -> PromptTemplate | ChatPromptTemplate:
        """As a prompt template of LangChain.

        Raises:
            PromptError: it holds what LangChain's templates cannot.
        """
        from plsync.prompts.to_langchain import to_langchain  # noqa: PLC0415 - not every program wants LangChain

        return to_langchain(self)


@overload
def get(
    name: str,
    version: int | None = None,
    label: str | None = None,
    langchain: Literal[False] = False,
    *,
    timeout: float = 2.0,
    max_age: float = 0.0,
) -> Template: ...
@overload
def get(
    name: str,
    version: int | None = None,
    label: str | None = None,
    *,
    langchain: Literal[True],
    timeout: float = 2.0,
    max_age: float = 0.0,
) -> PromptTemplate | ChatPromptTemplate: ...
def get(
    name: str,
    version: int | None = None,
    label: str | None = None,
    langchain: bool = False,
    *,
    timeout: float = 2.0,
    max_age: float = 0.0,
) -> Template | PromptTemplate | ChatPromptTemplate:
    """A prompt template, unfilled.

    Args:
        name: its name in PromptLayer's registry.
        version: which of its versions; by default the newest.
        label: a release label that names the version instead.
        langchain: as a LangChain prompt template instead of PromptLayer's answer.
        timeout: seconds that PromptLayer has for an answer, before the cache has to do. After it was asked in vain it
            is not asked again for 30 s, by any process of this machine.
        max_age: for so many seconds a template from the cache is as good as a new one, and PromptLayer is not asked.

    Returns:
        A :class:`Template`, or with ``langchain`` what its ``to_langchain()`` makes. One that may be out of date shows
        a :class:`plsync.errors.StalePrompt` warning, unless no key is set: then the cache is all there is.

    Raises:
        PromptNotFound: PromptLayer has no such template, version or label.
        PromptUnavailable: it was never fetched, and PromptLayer cannot be asked.
        AuthenticationError: it was never fetched, and the key is missing or was refused.
        PromptError: a version and a label are given, or PromptLayer refused the request, or LangChain cannot have it.
    """
    wanted = Wanted.of(name, version, label)
    key, base_url = settings.api_key(), settings.base_url()
    found = _kept_by_somebody(wanted, base_url) if key is None else _ask(wanted, key, base_url, timeout, max_age)
    if found.stale and key is not None:
        warnings.warn(_outdated(wanted, found), StalePrompt, stacklevel=2)
    return found.to_langchain() if langchain else found


def _ask(wanted: Wanted, key: str, base_url: str, timeout: float, max_age: float) -> Template:
    cache = Cache.of(prompt_cache(), base_url, key)
    kept = cache.get(wanted)
    if kept is not None and 0 <= time.time() - kept.fetched_at < max_age:
        return Template(kept, from_cache=True)
    silent_for = cache.unreachable_for()
    if silent_for is not None and silent_for < _LEAVE_ALONE:
        return _instead(wanted, kept, cache, f"it could not be reached {silent_for:.0f} s ago")
    # An HTTP client is slow to import, and the cache alone needs none.
    from plsync.promptlayer.client import PromptLayerClient  # noqa: PLC0415
    from plsync.promptlayer.outcomes import Ambiguous, Fetched, Missing, Refused, Unauthorized, Unreachable  # noqa: PLC0415

    with PromptLayerClient(key, base_url, timeout=timeout) as client:
        outcome: Outcome = client.template(wanted.name, version=wanted.version, label=wanted.label)
    _remember(cache, unreachable=isinstance(outcome, Unreachable | Ambiguous))
    if isinstance(outcome, Fetched):
        answer = dict(outcome.answer)
        _keep(cache, wanted, answer)
        return Template(Cached(wanted, answer, time.time()), from_cache=False)
    if isinstance(outcome, Missing):
        raise PromptNotFound(f"PromptLayer has no prompt template {wanted}: {outcome.reason}")
    if isinstance(outcome, Refused):
        raise PromptError(f"PromptLayer would not give the prompt template {wanted}: {outcome.reason}")
    if isinstance(outcome, Unauthorized) and kept is None:
        raise AuthenticationError(
            f"PromptLayer refused the API key ({outcome.reason}), and the prompt template {wanted} was never fetched "
            "with it: set PROMPTLAYER_API_KEY to a valid key"
        )
    return _instead(wanted, kept, cache, outcome.reason)


def _instead(wanted: Wanted, kept: Cached | None, cache: Cache, reason: str) -> Template:
    """What was kept, where PromptLayer cannot be asked."""
    if kept is None:
        raise PromptUnavailable(
            f"the prompt template {wanted} was never fetched, and PromptLayer cannot be asked ({reason}); "
            f"{_others(wanted, cache)}run `plsync prompts pull` while there is a network"
        )
    # What a version holds does not change.
    return Template(kept, from_cache=True, stale=wanted.version is None, reason=reason)


def _kept_by_somebody(wanted: Wanted, base_url: str) -> Template:
    """Without a key nothing says whose templates are meant; where only one key's are kept, nothing else can be."""
    found = caches(prompt_cache(), base_url)
    if len(found) > 1:
        raise AuthenticationError(
            f"the prompt templates of {len(found)} keys are kept for {base_url}, and PROMPTLAYER_API_KEY, which says "
            "whose are meant, is not set"
        )
    kept = found[0].get(wanted) if found else None
    if kept is None:
        others = _others(wanted, found[0]) if found else ""
        raise AuthenticationError(
            f"the prompt template {wanted} was never fetched, and PROMPTLAYER_API_KEY is not set; {others}"
            "set it, or run `plsync prompts pull` with it"
        )
    return Template(kept, from_cache=True, stale=wanted.version is None, reason="no key is set")


def _others(wanted: Wanted, cache: Cache) -> str:
    """What else of the template is there."""
    found = sorted(str(entry.wanted) for entry in cache.entries() if entry.wanted.name == wanted.name)
    return f"what is kept is {', '.join(found)}; " if found else ""


def _keep(cache: Cache, wanted: Wanted, answer: dict[str, Any]) -> None:
    try:
        cache.put(wanted, answer)
    except (OSError, PromptError) as error:
        # The program has its template; only a later one, offline, will miss it.
        warnings.warn(f"the prompt template {wanted} could not be kept: {error}", PlsyncWarning, stacklevel=4)


def _remember(cache: Cache, *, unreachable: bool) -> None:
    try:
        if unreachable:
            cache.set_unreachable()
        else:
            cache.set_reachable()
    except OSError as error:
        message = f"{cache.directory} cannot be written to ({error}): PromptLayer is asked each time, network or not"
        warnings.warn(message, PlsyncWarning, stacklevel=4)


def _outdated(wanted: Wanted, template: Template) -> str:
    return (
        f"PromptLayer cannot be asked for the prompt template {wanted} ({template.reason}): this is version "
        f"{template.get('version')}, which it was on {template.fetched_at:%Y-%m-%d at %H:%M} UTC"
    )
