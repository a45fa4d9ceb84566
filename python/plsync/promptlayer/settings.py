"""PromptLayer's settings from the environment: the variables of its SDK, and a file with the key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from plsync.config.keys import KeySource, VariableKey, environment_key
from plsync.errors import AuthenticationError

if TYPE_CHECKING:
    from plsync.config.file import Workspace

__all__ = ["BASE_URL_VARIABLE", "DEFAULT_BASE_URL", "Settings", "base_url_of", "settings_of"]

DEFAULT_BASE_URL: Final = "https://api.promptlayer.com"
BASE_URL_VARIABLE: Final = "PROMPTLAYER_BASE_URL"


def _base_url() -> str:
    """The value of ``PROMPTLAYER_BASE_URL``; PromptLayer's own URL if it is unset or empty."""
    return os.environ.get(BASE_URL_VARIABLE, "").strip() or DEFAULT_BASE_URL


@dataclass(frozen=True)
class Settings:
    """A server and the place of its key."""

    key: KeySource
    base_url: str
    named_by: str = BASE_URL_VARIABLE
    """The setting that names the URL, for messages."""

    @classmethod
    def of_environment(cls) -> Settings:
        """The settings of the environment.

        Raises:
            AuthenticationError: two variables name a key.
        """
        return cls(environment_key() or VariableKey(), _base_url())

    @classmethod
    def of_workspace(cls, workspace: Workspace) -> Settings:
        """The settings of a workspace. The environment has the URL that the configuration file does not name.

        Raises:
            AuthenticationError: the configuration file names no key for the workspace.
        """
        if workspace.place is None:
            return cls.of_environment()
        if workspace.key is None:
            raise AuthenticationError(
                f"{workspace.place} has no key; nothing was sent, everything is safe in the journal: add "
                'key = { file = "PATH" } to it'
            )
        if workspace.base_url is None:
            return cls(workspace.key, _base_url())
        return cls(workspace.key, workspace.base_url, f"base_url of {workspace.place}")


def settings_of(workspace: str | None) -> Settings:
    """The settings of a workspace by its name; None for the environment's.

    Raises:
        AuthenticationError: two variables name a key, or the configuration file names none for the workspace.
        ConfigError: the configuration file is wrong, or does not list the workspace.
        ValueError: it is no name of a workspace.
    """
    if workspace is None:
        return Settings.of_environment()
    from plsync.config.workspaces import workspace_of  # noqa: PLC0415 - few programs name a workspace

    return Settings.of_workspace(workspace_of(workspace))


def base_url_of(workspace: str | None) -> str:
    """The URL of a workspace's server, whether or not it has a key; None for the environment's.

    Raises:
        ConfigError, ValueError: as :func:`settings_of`.
    """
    if workspace is None:
        return _base_url()
    from plsync.config.workspaces import workspace_of  # noqa: PLC0415 - as above

    return workspace_of(workspace).base_url or _base_url()
