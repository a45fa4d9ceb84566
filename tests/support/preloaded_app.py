"""A web application whose handler is made when it is loaded: for ``gunicorn --preload``, before its workers are."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import FakeListLLM

from plsync import PromptLayerCallbackHandler
from tests.support.models import Chat

handler = PromptLayerCallbackHandler()
config: Any = {"callbacks": [handler]}
FakeListLLM(responses=["loaded"]).invoke("hi", config)


def application(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """Answers a request by a call of a model, and with the worker's process id."""
    path = environ["PATH_INFO"]
    if path == "/dies":
        Chat(reply=lambda _: os.kill(os.getpid(), signal.SIGKILL)).invoke("last words", config)
    FakeListLLM(responses=[path]).invoke("hi", config)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
