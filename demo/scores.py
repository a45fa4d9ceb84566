"""The application's callback for PromptLayer's request ids."""

from __future__ import annotations

from promptlayer import PromptLayer


def on_request_id(promptlayer_request_id: int) -> None:
    """Score the request; ``plsync run`` calls this with the id of each record it delivers.

    It may be called more than once with the same id, so it does nothing that must happen only once.
    """
    PromptLayer().track.score(request_id=promptlayer_request_id, score=100)
    print(f"   on_request_id({promptlayer_request_id}): score 100 set")
