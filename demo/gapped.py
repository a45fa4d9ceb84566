"""The application of a machine that never gets a network: ``python gapped.py``."""

from __future__ import annotations

from langchain_core.messages import AIMessage

from plsync import PromptLayerCallbackHandler
from scripted import ScriptedChat


def on_id(request_id: int) -> None:
    """Print the request id, which a stick has brought back."""
    print(f"   on_id({request_id})")


if __name__ == "__main__":
    from gapped import on_id as importable

    model = ScriptedChat(script=[AIMessage("Behind the second door."), AIMessage("At noon.")])
    handler = PromptLayerCallbackHandler(pl_tags=["gapped"], pl_id_callback=importable)
    for question in ("Where is the spare tape?", "When does the archive open?"):
        print(f"   {question} {model.invoke(question, config={'callbacks': [handler]}).text}")
