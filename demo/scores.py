"""The application's callback for PromptLayer's request ids."""

from __future__ import annotations

from promptlayer import PromptLayer


def on_request_id(promptlayer_request_id: int) -> None:
    """Score a request. ``plsync run`` calls this function with the request id of each record that it delivers.

    The function may receive an id twice. Setting the same score twice has no further effect.
    """
    PromptLayer().track.score(request_id=promptlayer_request_id, score=100)
    print(f"   on_request_id({promptlayer_request_id}): score 100 set")
