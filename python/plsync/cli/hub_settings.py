"""The server and the key of an origin at a hub."""

from __future__ import annotations

from plsync.bundle.hub import Hub, Origin
from plsync.config.file import Workspace, read_config
from plsync.promptlayer.settings import Settings

__all__ = ["settings_of_origin"]


def settings_of_origin(hub: Hub, origin: Origin) -> Settings:
    """The key of a workspace with the origin's name, if a configuration file lists one; else the environment's.

    Raises:
        AuthenticationError: the configuration file names no key for the workspace, or two variables name one.
        ConfigError: the configuration file is wrong.
    """
    config = read_config()
    listed = None if config is None else config.workspaces.get(origin.directory)
    return Settings.of_workspace(listed or Workspace(origin.directory, hub.journal(origin), None, None))
