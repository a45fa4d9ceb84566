"""Prompt templates of PromptLayer's registry: from PromptLayer, or from a cache on disk if it does not respond.

>>> from plsync import prompts
>>> template = prompts.get("example", version=1)  # doctest: +SKIP
>>> template["prompt_template"]["type"]  # doctest: +SKIP
'completion'

``plsync prompts pull`` fills the cache before a time without a network. The cache survives the process. Its directory
is ``PLSYNC_PROMPTS``, else ``plsync/prompts`` in the user data directory.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal, overload

from plsync._common.api_key import variable_key
from plsync.config.keys import VariableKey
from plsync.errors import AuthenticationError, StalePrompt
from plsync.promptlayer.settings import Settings, base_url_of, settings_of
from plsync.prompts.fetch import from_only_cache, from_promptlayer
from plsync.prompts.template import Template
from plsync.prompts.template_key import TemplateKey

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

__all__ = ["Template", "get"]


@overload
def get(
    name: str,
    version: int | None = None,
    label: str | None = None,
    langchain: Literal[False] = False,
    *,
    timeout: float = 2.0,
    max_age: float = 0.0,
    workspace: str | None = None,
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
    workspace: str | None = None,
) -> PromptTemplate | ChatPromptTemplate: ...
def get(
    name: str,
    version: int | None = None,
    label: str | None = None,
    langchain: bool = False,
    *,
    timeout: float = 2.0,
    max_age: float = 0.0,
    workspace: str | None = None,
) -> Template | PromptTemplate | ChatPromptTemplate:
    """A prompt template with its variables not filled in.

    After a failed query, no process of this machine queries PromptLayer for 30 seconds; each uses its cache.

    Args:
        name: the template's name in PromptLayer's registry.
        version: a version number, from 1; None for the newest version.
        label: a release label that names the version instead.
        langchain: True for a LangChain prompt template, False for PromptLayer's dict.
        timeout: seconds that PromptLayer has for its response, before the cached copy is used.
        max_age: seconds for which a cached copy is used without a query.
        workspace: the workspace of the configuration file whose key and server are used. Default: the environment's.

    Returns:
        A :class:`Template`; with ``langchain`` the result of its ``to_langchain()``. If PromptLayer may have a newer
        version, a :class:`plsync.errors.StalePrompt` warning is shown. Without an API key there is no warning.

    Raises:
        PromptNotFound: PromptLayer has no such template, version or label.
        PromptUnavailable: PromptLayer did not respond, and there is no cached copy.
        AuthenticationError: the API key is missing or was refused, and there is no cached copy.
        PromptError: an argument is invalid, PromptLayer refused the request, or LangChain has no such template.
        ConfigError: ``workspace`` is set, and the configuration file is wrong or does not list it.
        ValueError: ``workspace`` is no name.

    >>> prompts.get("example", label="prod", langchain=True).format(product="toasters")  # doctest: +SKIP
    'A name for toasters?'
    """
    key = TemplateKey.from_arguments(name, version, label)
    api_key, base_url = _connection(workspace)
    if api_key is None or isinstance(api_key, AuthenticationError):
        try:
            template = from_only_cache(key, base_url, workspace)
        except AuthenticationError as error:
            raise api_key or error from None
    else:
        template = from_promptlayer(key, api_key, base_url, timeout, max_age, workspace=workspace)
        if template.stale:
            warnings.warn(_stale_message(key, template), StalePrompt, stacklevel=2)
    return template.to_langchain() if langchain else template


def _connection(workspace: str | None) -> tuple[str | AuthenticationError | None, str]:
    """The key, and the URL of the server. A machine without a network may have no key."""
    try:
        connection = settings_of(workspace)
    except AuthenticationError as error:
        return error, base_url_of(workspace)
    return _readable_key(connection), connection.base_url


def _readable_key(connection: Settings) -> str | AuthenticationError | None:
    """The key; or the reason that it cannot be read, so that the cache can be used; or None without a setting."""
    try:
        return None if connection.key == VariableKey() and variable_key() is None else connection.key.read()
    except AuthenticationError as error:
        return error


def _stale_message(key: TemplateKey, template: Template) -> str:
    return (
        f"PromptLayer did not return the prompt template {key} ({template.reason}); the cached copy is version "
        f"{template.get('version')}, fetched on {template.fetched_at:%Y-%m-%d at %H:%M} UTC"
    )
