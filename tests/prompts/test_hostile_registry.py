"""A server that sends lists and templates of any form: `pull` and `get` end with plsync's own errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from plsync import prompts
from plsync.errors import PlsyncError, PromptError, SyncError
from plsync.prompts.pull import pull
from plsync.prompts.to_langchain import to_langchain
from tests.support.raw_server import Line, RawServer

KEY = "pl_7d1c0f2ab93e84556fa0c7e1b2d3948e"
TEMPLATE: dict[str, Any] = {"prompt_name": "a", "version": 1, "prompt_template": {"type": "completion", "content": []}}
LABEL = {"prompt_version_number": 1, "release_label": "prod"}


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., RawServer]]:
    """Starts a server with a list of templates, a template, and a list of labels."""
    started: list[RawServer] = []

    def serve(listed: Any, template: Any = TEMPLATE, labels: Any = None) -> RawServer:
        bodies = {"/labels": {"success": True, "release_labels": [] if labels is None else labels}, "?": listed}

        def behave(line: Line) -> None:
            while line.read_request():
                path = server.first_lines[-1].split()[1]
                body = next((bodies[part] for part in bodies if part in path), template)
                content = orjson.dumps(body)
                line.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

        server = RawServer(behave)
        server.__enter__()
        started.append(server)
        monkeypatch.setenv("PROMPTLAYER_BASE_URL", server.url)
        return server

    monkeypatch.setenv("PROMPTLAYER_API_KEY", KEY)
    monkeypatch.setenv("PLSYNC_PROMPTS", str(tmp_path / "prompts"))
    yield serve
    for server in started:
        server.__exit__(None, None, None)


@pytest.mark.parametrize(
    "item", [None, 1, [], {}, {"prompt_name": 1}, {"prompt_name": ""}, {"prompt_name": KEY.upper()}]
)
def test_a_list_with_a_malformed_name_is_an_error(serving: Callable[..., RawServer], item: Any) -> None:
    serving({"items": [item]})
    with pytest.raises(SyncError, match="prompt_name") as caught:
        pull()
    assert "7d1c0f2a" not in str(caught.value).lower()


@pytest.mark.parametrize(
    "labels",
    [
        [None],
        [{}],
        [{**LABEL, "release_label": 1}],
        [{**LABEL, "prompt_version_number": "1"}],
        [{**LABEL, "release_label": KEY}],
    ],
)
def test_a_list_with_a_malformed_label_is_an_error(serving: Callable[..., RawServer], labels: Any) -> None:
    serving({"items": [{"prompt_name": "a"}]}, labels=labels)
    with pytest.raises(SyncError, match="no clear response"):
        pull()


@pytest.mark.parametrize("version", [None, "1", [], {}, 1.5])
def test_a_template_without_a_version_is_an_error(serving: Callable[..., RawServer], version: Any) -> None:
    serving({"items": [{"prompt_name": "a"}]}, {**TEMPLATE, "version": version})
    with pytest.raises(SyncError, match="version"):
        pull()


def test_a_list_without_end_ends(serving: Callable[..., RawServer]) -> None:
    server = serving({"items": [], "has_next": True})
    done = threading.Thread(target=pull, daemon=True)
    done.start()
    done.join(30)
    assert not done.is_alive()
    assert server.requests == 1


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"type": 1},
        {"type": "completion", "content": 1},
        {"type": "completion", "content": [1]},
        {"type": "chat", "messages": [None]},
        {"type": "chat", "messages": [{"role": [], "content": "a"}]},
        {"type": "chat", "messages": [{"role": KEY, "content": "a"}]},
        {"type": "chat", "messages": [{"role": "user", "content": [{"type": KEY.upper()}]}]},
        {"type": "completion", "content": "{" + KEY + "}", "template_format": "x" * 100_000},
        {"type": "completion", "content": "{{ " + KEY + " ", "template_format": "jinja2"},
        {"type": "chat", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}]},
    ],
)
def test_a_template_of_any_form_is_an_error_of_plsync(serving: Callable[..., RawServer], prompt: Any) -> None:
    template = {"prompt_name": KEY, "version": 1, "prompt_template": prompt}
    with pytest.raises(PromptError) as caught:
        to_langchain(template)
    assert "7d1c0f2a" in KEY
    assert "7d1c0f2a" not in str(caught.value).lower()
    assert len(str(caught.value)) < 2000
    serving({}, template)
    with pytest.raises(PlsyncError):
        prompts.get("a", langchain=True, timeout=10)
