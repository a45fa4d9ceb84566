"""The stand-in's Prompt Registry: versions, labels, listing, publishing and rendering."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from plsync.testing import PromptLayerServer


def chat(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"type": "chat", "messages": [{"role": role, "content": [{"type": "text", "text": text}], **more}]}


def listed(client: httpx.Client, **query: Any) -> list[str]:
    """The names and versions in the listing."""
    response = client.get("/prompt-templates", params=query)
    assert response.status_code == 200
    return [f"{item['prompt_name']} {item['version']}" for item in response.json()["items"]]


def test_versions_are_numbered_and_the_newest_is_the_default(client: httpx.Client, server: PromptLayerServer) -> None:
    assert [server.add_prompt("a/b", chat(text)) for text in ("one", "two")] == [1, 2]
    path = "/prompt-templates/a%2Fb"
    assert client.get(path).json()["version"] == 2
    assert client.get(path, params={"version": 1}).json()["prompt_template"] == chat("one")
    assert client.get(path, params={"version": 3}).status_code == 404
    assert client.get("/prompt-templates/1").json()["prompt_name"] == "a/b"
    assert client.get("/prompt-templates/nowhere").status_code == 404


def test_a_label_is_on_one_version_and_moves(client: httpx.Client, server: PromptLayerServer) -> None:
    server.add_prompt("p", chat("one"), labels=["prod", "dev"])
    server.add_prompt("p", chat("two"), labels=["prod"])
    labels = client.get("/prompt-templates/p/labels").json()["release_labels"]
    assert {label["release_label"]: label["prompt_version_number"] for label in labels} == {"dev": 1, "prod": 2}
    assert client.get("/prompt-templates/p", params={"label": "prod"}).json()["version"] == 2
    assert client.get("/prompt-templates/p", params={"label": "test"}).status_code == 404


@pytest.mark.parametrize(("version", "status"), [("0", 422), ("x", 422), ("-1", 422), ("1", 200)])
def test_a_version_is_a_number_above_0(
    client: httpx.Client, server: PromptLayerServer, version: str, status: int
) -> None:
    server.add_prompt("p", chat("one"))
    assert client.get("/prompt-templates/p", params={"version": version}).status_code == status


def test_the_list_has_the_newest_or_the_labelled_version_of_each(
    client: httpx.Client, server: PromptLayerServer
) -> None:
    server.add_prompt("greeting", chat("one"), labels=["prod"])
    server.add_prompt("greeting", chat("two"))
    server.add_prompt("farewell", chat("bye"))
    assert listed(client) == ["greeting 2", "farewell 1"]
    assert listed(client, label="prod") == ["greeting 1"]
    assert listed(client, name="WELL") == ["farewell 1"]
    assert listed(client, sort_by="name", sort_order="asc") == ["farewell 1", "greeting 2"]
    assert client.get("/prompt-templates", params={"sort_by": "luck"}).status_code == 422


def test_the_list_comes_in_pages(client: httpx.Client, server: PromptLayerServer) -> None:
    for number in range(5):
        server.add_prompt(f"p{number}", chat("x"))
    response = client.get("/prompt-templates", params={"page": 2, "per_page": 2}).json()
    assert [item["prompt_name"] for item in response["items"]] == ["p2", "p3"]
    assert {
        key: response[key] for key in ("page", "pages", "total", "has_next", "has_prev", "next_num", "prev_num")
    } == {
        "page": 2,
        "pages": 3,
        "total": 5,
        "has_next": True,
        "has_prev": True,
        "next_num": 3,
        "prev_num": 1,
    }


def test_the_list_can_be_limited_by_time_of_change(client: httpx.Client, server: PromptLayerServer) -> None:
    server.add_prompt("old", chat("x"))
    since = client.get("/prompt-templates/old").json()["created_at"]
    server.add_prompt("new", chat("x"))
    assert listed(client, updated_after=since) == ["old 1", "new 1"]
    assert listed(client, updated_before="2020-01-01T00:00:00Z") == []
    assert client.get("/prompt-templates", params={"updated_after": "yesterday"}).status_code == 422


def test_a_template_can_be_published(client: httpx.Client) -> None:
    body = {
        "prompt_template": {"prompt_name": "p", "tags": ["t"]},
        "prompt_version": {"prompt_template": chat("Hi"), "commit_message": "first"},
        "release_labels": ["prod"],
    }
    response = client.post("/rest/prompt-templates", json=body)
    assert (response.status_code, response.json()["version_number"], response.json()["release_labels"]) == (
        201,
        1,
        ["prod"],
    )
    row = client.get("/prompt-templates/p").json()
    assert (row["prompt_template"], row["tags"], row["commit_message"]) == (chat("Hi"), ["t"], "first")
    assert listed(client, tags="t") == ["p 1"]
    assert listed(client, tags="u") == []


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_template": {}},
        {"prompt_template": {"prompt_name": ""}},
        {"prompt_version": {"prompt_template": {"type": "chat", "messages": [{"role": "robot"}]}}},
        {"prompt_version": {"prompt_template": chat("Hi"), "commit_message": "x" * 73}},
    ],
)
def test_a_malformed_template_is_refused(client: httpx.Client, change: dict[str, Any]) -> None:
    body = {"prompt_template": {"prompt_name": "p"}, "prompt_version": {"prompt_template": chat("Hi")}}
    assert client.post("/rest/prompt-templates", json={**body, **change}).status_code == 422


def rendered(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/prompt-templates/p", json=body)
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        (chat("Hi {name} {{x}} {other}"), "Hi Bo {{x}} {other}"),
        (chat("Hi {{ name }} {x}", template_format="jinja2"), "Hi Bo {x}"),
    ],
)
def test_variables_are_filled_in(
    client: httpx.Client, server: PromptLayerServer, template: dict[str, Any], filled: str
) -> None:
    server.add_prompt("p", template)
    message = rendered(client, input_variables={"name": "Bo"})["prompt_template"]["messages"][0]
    assert message["content"][0]["text"] == filled
    raw = rendered(client, input_variables={"name": "Bo"}, skip_input_variable_rendering=True)
    assert raw["prompt_template"] == template


def test_a_template_with_a_model_has_the_arguments_of_a_client(client: httpx.Client, server: PromptLayerServer) -> None:
    template = {"type": "chat", "messages": chat("Be kind", "system")["messages"] + chat("Hi {name}")["messages"]}
    model = {"provider": "openai", "name": "gpt-4o", "parameters": {"temperature": 0.5}}
    server.add_prompt("p", template, metadata={"model": model})
    arguments = {"input_variables": {"name": "Bo"}}
    user = {"role": "user", "content": "Hi Bo"}
    settings = {"model": "gpt-4o", "temperature": 0.5}
    assert rendered(client, **arguments)["llm_kwargs"] == {
        **settings,
        "messages": [{"role": "system", "content": "Be kind"}, user],
    }
    assert rendered(client, provider="anthropic", **arguments)["llm_kwargs"] == {
        **settings,
        "max_tokens": 1024,
        "system": "Be kind",
        "messages": [user],
    }
    assert client.get("/prompt-templates/p").json()["llm_kwargs"] is None


def test_a_template_without_a_model_has_no_arguments(client: httpx.Client, server: PromptLayerServer) -> None:
    server.add_prompt("p", chat("Hi"))
    assert rendered(client)["llm_kwargs"] is None
