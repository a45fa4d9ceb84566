"""Fills the cache of prompt templates before a time without a network: ``plsync prompts pull``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from plsync._common.api_key import redact_api_keys, variable_key
from plsync._common.paths import prompt_cache
from plsync.config.keys import VariableKey
from plsync.errors import AuthenticationError, Offline, PromptError, Rejected, SyncError
from plsync.promptlayer.settings import settings_of
from plsync.prompts.cache import TemplateCache
from plsync.prompts.template_key import TemplateKey

if TYPE_CHECKING:
    from plsync.promptlayer.client import PromptLayerClient
    from plsync.promptlayer.outcomes import Outcome

__all__ = ["PullReport", "pull"]

_THREADS: Final = 4
# More than any workspace has: a server may list templates and labels without end.
_MOST_PAGES: Final = 1000
_MOST_LABELS: Final = 1000
_TRIES: Final = 4
_LONGEST_PAUSE: Final = 60.0
# The clocks of PromptLayer and this machine differ, so --changed also fetches changes shortly before the last pull.
_OVERLAP: Final = timedelta(hours=1)

_Response: TypeAlias = dict[str, Any]


T = TypeVar("T")


@dataclass
class PullReport:
    """The templates that a pull fetched, and the templates that PromptLayer does not have."""

    templates: int = 0
    """The number of templates with a fetched version."""
    versions: int = 0
    """The number of fetched versions."""
    missing: list[str] = field(default_factory=list)
    """Missing templates, versions and labels, such as ``version 9 of 'example'``."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as a dict that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class _Version:
    """One fetched version, and the keys to store it under."""

    response: _Response
    keys: list[TemplateKey]


def pull(
    names: Iterable[str] = (),
    *,
    version: int | None = None,
    label: str | None = None,
    changed: bool = False,
    workspace: str | None = None,
    on_fetched: Callable[[str], object] = lambda _: None,
) -> PullReport:
    """Fetch prompt templates into the cache: the newest version and all labelled versions of each.

    Args:
        names: names of templates; empty for all templates of the workspace.
        version: fetch only this version; requires ``names``.
        label: fetch only the version with this label.
        changed: fetch only templates that changed since the last pull of all templates. PromptLayer does not document
            whether a moved label counts as a change.
        workspace: the workspace of the configuration file whose key and server are used. Default: the environment's.
        on_fetched: is called with the name of each fetched template.

    Returns:
        The numbers of fetched templates and versions, and the missing ones.

    Raises:
        AuthenticationError: the key is missing, or PromptLayer refused it.
        Offline: no connection to PromptLayer. Templates that were fetched before are kept.
        Rejected: PromptLayer refused a request. Templates that were fetched before are kept.
        SyncError: PromptLayer sent no clear response. Templates that were fetched before are kept.
        PromptError: an argument is invalid.
        OSError: the cache cannot be written.
        ConfigError: ``workspace`` is set, and the configuration file is wrong or does not list it.
        ValueError: ``workspace`` is no name.
    """
    names = list(names)
    _check(names, version, label)
    connection = settings_of(workspace)
    if connection.key == VariableKey() and variable_key() is None:
        raise AuthenticationError(
            "PROMPTLAYER_API_KEY is not set; no prompt template was fetched: export PROMPTLAYER_API_KEY=pl_..., or set "
            "PROMPTLAYER_API_KEY_FILE"
        )
    api_key, base_url = connection.key.read(), connection.base_url
    # An HTTP client is slow to import.
    from plsync.promptlayer.client import PromptLayerClient  # noqa: PLC0415

    cache = TemplateCache.for_account(prompt_cache(), base_url, api_key)
    report = PullReport()
    began = datetime.now(timezone.utc)
    with PromptLayerClient(api_key, base_url, source=connection.key) as client:
        wanted = iter(names) if names else _names(client, label, cache.pulled_at() if changed else None)
        for name, versions in _fetch_all(wanted, lambda name: _fetch(client, name, version, label)):
            if versions is None:
                report.missing.append(str(TemplateKey(name, version, label)))
                continue
            _store(cache, versions)
            report.templates += 1
            report.versions += len(versions)
            on_fetched(name)
    cache.set_reachable()
    if not names and label is None:
        cache.set_pulled_at((began - _OVERLAP).isoformat())
    return report


def _check(names: list[str], version: int | None, label: str | None) -> None:
    if version is not None and (not names or label is not None):
        raise PromptError("a version needs the name of its template, and excludes a label; no template was fetched")
    for name in names:
        TemplateKey.from_arguments(name, version, label)


def _store(cache: TemplateCache, versions: list[_Version]) -> None:
    for version in versions:
        for key in version.keys:
            cache.put(key, version.response)


def _fetch_all(
    names: Iterator[str], fetch: Callable[[str], list[_Version] | None]
) -> Iterator[tuple[str, list[_Version] | None]]:
    """Each name with its fetched versions, in order of completion; a few threads fetch at a time."""
    from plsync.promptlayer.request_threads import RequestThreads  # noqa: PLC0415 - as the client

    # The threads tell items apart by identity, so each name goes in a list.
    threads: RequestThreads[list[str], list[_Version] | None] = RequestThreads(
        lambda item: fetch(item[0]), _THREADS, "plsync-pull"
    )
    more = True
    while more or threads.busy:
        while more and threads.free:
            name = next(names, None)
            more = name is not None
            if name is not None:
                threads.submit([name])
        for (name,), versions in threads.collect(1.0) if threads.busy else ():
            yield name, versions
    threads.close()


def _fetch(client: PromptLayerClient, name: str, version: int | None, label: str | None) -> list[_Version] | None:
    """The versions of one template to store; None if PromptLayer does not have it."""
    first = _request(client.template, name, version=version, label=label)
    if first is None:
        return None
    fetched = {_field(first, "version", int): _Version(first, [TemplateKey(name, version, label)])}
    if version is None and label is None:
        for released in (_request(client.labels, name) or {}).get("release_labels", ())[:_MOST_LABELS]:
            number = _field(released, "prompt_version_number", int)
            if number not in fetched and (found := _request(client.template, name, version=number)) is not None:
                fetched[number] = _Version(found, [])
            if number in fetched:
                fetched[number].keys.append(TemplateKey(name, label=_field(released, "release_label", str)))
    return list(fetched.values())


def _names(client: PromptLayerClient, label: str | None, changed_since: str | None) -> Iterator[str]:
    """The names of all templates, page by page."""
    page = 1
    while 0 < page <= _MOST_PAGES:
        response = _request(client.templates, page, label=label, updated_after=changed_since) or {}
        for item in response.get("items", ()):
            yield _field(item, "prompt_name", str)
        page = page + 1 if response.get("has_next") and response.get("items") else 0


def _field(entry: Any, name: str, kind: type[T]) -> T:
    """A field of a list of PromptLayer.

    Raises:
        SyncError: the entry lacks it, it has another type, or it holds the API key.
    """
    value = entry.get(name) if isinstance(entry, dict) else None
    # A name is printed, and sent back as a part of a URL.
    if not isinstance(value, kind) or not value or (isinstance(value, str) and redact_api_keys(value) != value):
        raise SyncError(
            f"PromptLayer sent no clear response (an entry without a usable {name}); templates that were fetched "
            "before are kept: check PROMPTLAYER_BASE_URL"
        )
    return value


def _request(method: Callable[..., Outcome], *arguments: Any, **options: Any) -> _Response | None:
    """PromptLayer's response; None if it does not have the object. Waits and retries when it is throttled.

    Raises:
        AuthenticationError, Offline, Rejected, SyncError: see :func:`pull`.
    """
    from plsync.promptlayer.outcomes import Fetched, Missing, Throttled  # noqa: PLC0415 - as the client

    pause = threading.Event()
    for tries in range(1, _TRIES + 1):
        outcome = method(*arguments, **options)
        if isinstance(outcome, Fetched):
            return dict(outcome.body)
        if isinstance(outcome, Missing):
            return None
        if not isinstance(outcome, Throttled) or tries == _TRIES:
            break
        wait = 2.0**tries if outcome.retry_after is None else outcome.retry_after
        pause.wait(min(wait, _LONGEST_PAUSE))
    raise _error(outcome)


def _error(outcome: Outcome) -> SyncError:
    from plsync.promptlayer.outcomes import Refused, Unauthorized, Unreachable  # noqa: PLC0415 - as the client

    reason = outcome.reason
    kept = "templates that were fetched before are kept"
    if isinstance(outcome, Unauthorized):
        return AuthenticationError(f"PromptLayer refused the API key ({reason}); {kept}: use a valid key")
    if isinstance(outcome, Unreachable):
        return Offline(f"PromptLayer cannot be reached ({reason}); {kept}: pull again when there is a network")
    if isinstance(outcome, Refused):
        return Rejected(f"PromptLayer refused to list or return a prompt template ({reason}); {kept}: check the name")
    return SyncError(f"PromptLayer sent no clear response ({reason}); {kept}: pull again later")
