"""One story from end to end: a local model without a network, the page, a score, a retry, and the request ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gpt4all")

from langchain_community.llms import GPT4All

from plsync import PromptLayerCallbackHandler
from plsync.testing import PromptLayerServer
from plsync.testing.tiny_model import write_tiny_model
from tests.support.commands import run
from tests.support.page import page_of


class Failing(GPT4All):  # type: ignore[misc]
    """A model whose memory ends in a call."""

    def _call(self, *args: Any, **kwargs: Any) -> str:
        raise MemoryError("the context of 4096 tokens does not fit")


def test_from_a_local_model_to_the_request_ids(tmp_path: Path, path: Path, server: PromptLayerServer) -> None:
    file = str(write_tiny_model(tmp_path / "tiny.gguf"))
    config: Any = {"callbacks": [PromptLayerCallbackHandler(pl_tags=["gpt4all"], journal=path)]}
    model = GPT4All(model=file, n_threads=1)
    model.invoke("What is the capital of France?", config)
    model.invoke("tell me a joke, a forbidden one", config)
    with pytest.raises(MemoryError):
        Failing(model=file, n_threads=1).invoke("Once upon a time", config)
    variables = {"PROMPTLAYER_API_KEY": server.api_key, "PROMPTLAYER_BASE_URL": server.url}
    server.refuse("forbidden")
    # PromptLayer refuses one of them.
    assert run(path, "run", "--once", **variables).returncode == 3
    with page_of(path) as page:

        def rows(query: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = page.get(f"/api/calls?{query}").json()["calls"]
            return found

        # Yesterday's failure, by its reason and by a word of its message.
        (failed,) = rows("result=error&since=1d")
        assert (failed["error"], failed["input"]) == ("MemoryError", "Once upon a time")
        assert rows("q=does%20not%20fit") == rows("error=MemoryError") == [failed]
        detail = page.get(f"/api/calls/{failed['id']}").json()
        assert detail["error_detail"]["message"]["text"] == "the context of 4096 tokens does not fit"
        assert failed["delivery"] == "sent"
        # A score waits for the next run.
        (capital,) = rows("q=capital")
        assert page.post(f"/api/calls/{capital['id']}/score", json={"score": 90}).status_code == 201
        # The refused record, by its reason, and its retry.
        (group,) = page.get("/api/delivery").json()["refused"]
        assert (group["count"], rows("delivery=refused")[0]["id"]) == (1, group["ids"][0])
        assert "422" in group["reason"]
        server.clear()
        assert page.post("/api/retry", json={"ids": group["ids"]}).json()["records"] == 1
        assert rows("delivery=refused") == []
        assert run(path, "run", "--once", **variables).returncode == 0
        # The request ids and the sent score are there.
        (sent,) = rows(f"ids={group['ids'][0]}")
        assert (sent["delivery"], sent["server"]) == ("sent", server.url)
        assert rows(f"q=%23{sent['request_id']}") == [sent]
        (score,) = page.get(f"/api/calls/{capital['id']}").json()["followups"]
        assert (score["op"], score["payload"], score["word"]) == ("score", {"score": 90}, "sent")
    assert len(server.request_logs) == 3
