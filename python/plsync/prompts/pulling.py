"""Filling the cache while there is a network, so that it lasts for a time without one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from plsync._common.paths import prompt_cache
from plsync.errors import AuthenticationError, Offline, PromptError, Rejected, SyncError
from plsync.promptlayer import settings
from plsync.prompts.cache import Cache, Wanted

if TYPE_CHECKING:
    from plsync.promptlayer.client import PromptLayerClient
    from plsync.promptlayer.outcomes import Outcome

__all__ = ["Pulled", "pull"]

_AT_ONCE: Final = 4
_TRIES: Final = 4
_LONGEST_PAUSE: Final = 60.0
# Clocks differ; what was changed about when it was looked at last is looked at again.
_OVERLAP: Final = timedelta(hours=1)


@dataclass
class Pulled:
    """What a pull fetched, and what there is not."""

    templates: int = 0
    """Templates of which something was fetched."""
    versions: int = 0
    """Versions of them that were fetched."""
    missing: list[str] = field(default_factory=list)
    """What was asked for and PromptLayer does not have, in words."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class _Fetched:
    """One version, and how it may be asked for."""

    answer: dict[str, Any]
    asked: list[Wanted]


def pull(
    names: Iterable[str] = (),
    *,
    version: int | None = None,
    label: str | None = None,
    changed: bool = False,
    watched: Callable[[str], object] = lambda _: None,
) -> Pulled:
    """Fetch prompt templates into the cache: of each the newest version, and those that have a release label.

    Args:
        names: which ones; by default every one in the workspace.
        version: that version alone. Takes names.
        label: the version with that label alone.
        changed: of all templates those that were changed since they were all pulled last. PromptLayer does not say
            whether a label that has moved counts as a change.
        watched: told the name of each template that was fetched.

    Returns:
        What was fetched. What PromptLayer does not have is named in it, and nothing else is affected.

    Raises:
        AuthenticationError: the key is missing or was refused.
        Offline: PromptLayer cannot be reached. What was fetched before is kept.
        SyncError: it does not answer as it should. The same.
        PromptError: a version without a name, or what makes no sense.
        OSError: the cache cannot be written.
    """
    names = list(names)
    if version is not None and (not names or label is not None):
        raise PromptError("a version is one of a template's: give its name as well, and no label")
    for asked_for in names:
        Wanted.of(asked_for, version, label)
    key = settings.api_key()
    if key is None:
        raise AuthenticationError(
            "PROMPTLAYER_API_KEY is not set; no prompt template was fetched: export PROMPTLAYER_API_KEY=pl_..."
        )
    # An HTTP client is slow to import.
    from plsync.promptlayer.client import PromptLayerClient  # noqa: PLC0415
    from plsync.promptlayer.request_threads import RequestThreads  # noqa: PLC0415

    cache = Cache.of(prompt_cache(), settings.base_url(), key)
    pulled = Pulled()
    began = datetime.now(timezone.utc)
    with PromptLayerClient(key, settings.base_url()) as client:

        def fetch(task: list[str]) -> list[_Fetched] | None:
            return _fetch(client, task[0], version, label)

        threads: RequestThreads[list[str], list[_Fetched] | None] = RequestThreads(fetch, _AT_ONCE, "plsync-pull")
        waiting = iter(names) if names else _listed(client, label, cache.pulled_at() if changed else None)
        more = True
        while more or threads.busy:
            while more and threads.free:
                name = next(waiting, None)
                more = name is not None
                if name is not None:
                    threads.submit([name])
            for (name,), found in threads.collect(1.0) if threads.busy else ():
                if found is None:
                    pulled.missing.append(str(Wanted(name, version, label)))
                    continue
                for one in found:
                    for asked in one.asked:
                        cache.put(asked, one.answer)
                pulled.templates += 1
                pulled.versions += len(found)
                watched(name)
        threads.close()
    cache.set_reachable()
    if not names and label is None:
        cache.set_pulled_at((began - _OVERLAP).isoformat())
    return pulled


def _fetch(client: PromptLayerClient, name: str, version: int | None, label: str | None) -> list[_Fetched] | None:
    """What is to be kept of one template; None when there is no such thing."""
    first = _answer(client.template, name, version=version, label=label)
    if first is None:
        return None
    fetched = {first["version"]: _Fetched(first, [Wanted(name, version, label)])}
    if version is None and label is None:
        for released in (_answer(client.labels, name) or {}).get("release_labels", ()):
            number = released["prompt_version_number"]
            if number not in fetched and (found := _answer(client.template, name, version=number)) is not None:
                fetched[number] = _Fetched(found, [])
            if number in fetched:
                fetched[number].asked.append(Wanted(name, label=released["release_label"]))
    return list(fetched.values())


def _listed(client: PromptLayerClient, label: str | None, since: str | None) -> Iterator[str]:
    """Every template's name, a page at a time."""
    page = 1
    while page:
        answer = _answer(client.templates, page, label=label, updated_after=since) or {}
        for item in answer.get("items", ()):
            yield item["prompt_name"]
        page = page + 1 if answer.get("has_next") else 0


def _answer(ask: Callable[..., Outcome], *arguments: Any, **options: Any) -> dict[str, Any] | None:
    """PromptLayer's answer; None when it does not have it. Waits when it is asked to.

    Raises:
        AuthenticationError, Offline, Rejected, SyncError: there is none.
    """
    from plsync.promptlayer import outcomes  # noqa: PLC0415

    pause = threading.Event()
    for tries in range(1, _TRIES + 1):
        outcome = ask(*arguments, **options)
        if isinstance(outcome, outcomes.Fetched):
            return dict(outcome.answer)
        if isinstance(outcome, outcomes.Missing):
            return None
        if not isinstance(outcome, outcomes.Throttled) or tries == _TRIES:
            break
        wait = 2.0**tries if outcome.retry_after is None else outcome.retry_after
        pause.wait(min(wait, _LONGEST_PAUSE))
    kept = "what was fetched before is kept"
    if isinstance(outcome, outcomes.Unauthorized):
        raise AuthenticationError(
            f"PromptLayer refused the API key ({outcome.reason}); {kept}: set PROMPTLAYER_API_KEY"
        )
    if isinstance(outcome, outcomes.Unreachable):
        raise Offline(f"PromptLayer cannot be reached ({outcome.reason}); {kept}: pull again when it can")
    if isinstance(outcome, outcomes.Refused):
        raise Rejected(f"PromptLayer refused to list or give a prompt template ({outcome.reason}); {kept}")
    raise SyncError(f"PromptLayer gave no clear answer ({outcome.reason}); {kept}: pull again later")
