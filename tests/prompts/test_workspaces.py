"""Prompt templates of a workspace: with its key and server, and from its cache without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from plsync import prompts
from plsync.errors import AuthenticationError, ConfigError
from plsync.prompts.pull import pull
from plsync.testing import PromptLayerServer


@pytest.fixture
def key_file(tmp_path: Path, server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key of the workspace ``a``, whose server has a template."""
    server.add_prompt("example", {"type": "completion", "content": [{"type": "text", "text": "A name"}]})
    monkeypatch.setenv("PLSYNC_PROMPTS", str(tmp_path / "prompts"))
    monkeypatch.setenv("PLSYNC_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "pl_of_another_workspace")
    monkeypatch.setenv("PROMPTLAYER_BASE_URL", "http://127.0.0.1:9")
    (tmp_path / "config.toml").write_text(f"[workspaces.a]\nbase_url = '{server.url}'\nkey = {{ file = 'key' }}\n")
    (tmp_path / "key").write_text(server.api_key)
    return tmp_path / "key"


def test_a_template_comes_from_the_workspace(key_file: Path) -> None:
    assert prompts.get("example", workspace="a")["version"] == 1
    assert pull(workspace="a").templates == 1
    with pytest.raises(ConfigError, match="lists no workspace 'b'"):
        prompts.get("example", workspace="b")


def test_a_key_that_cannot_be_read_leaves_the_cached_copy(key_file: Path) -> None:
    prompts.get("example", version=1, workspace="a")
    key_file.unlink()
    assert prompts.get("example", version=1, workspace="a").from_cache
    with pytest.raises(AuthenticationError, match=r"the key file .* cannot be read"):
        prompts.get("unknown", version=1, workspace="a")
    with pytest.raises(AuthenticationError, match=r"the key file .* cannot be read"):
        pull(workspace="a")
