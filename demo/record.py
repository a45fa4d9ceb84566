"""The application: it calls models, and plsync records the calls. It needs no network.

Usage: python record.py MODEL.gguf
"""

from __future__ import annotations

import sys

from langchain_community.llms import GPT4All
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool

from plsync import PromptLayerCallbackHandler
from scores import on_request_id
from scripted import ScriptedChat


def local_model(path: str) -> None:
    """Two calls of a local text model."""
    model = GPT4All(model=path, n_threads=1)
    handler = PromptLayerCallbackHandler(pl_tags=["langchain", "gpt4all"], pl_id_callback=on_request_id)
    for prompt in ("Once upon a time, ", "What is the capital of France?"):
        reply = model.invoke(prompt, config={"callbacks": [handler]})
        print(f"   GPT4All    {prompt!r} -> {reply!r}")


@tool
def tape_counter(recorder: str) -> int:
    """Read the tape counter of a recorder."""
    return {"kitchen": 1742}.get(recorder, 0)


def agent_turn() -> None:
    """A tool call in two requests: the first answer has the call, the second request has its result."""
    tool_call = {"name": "tape_counter", "args": {"recorder": "kitchen"}, "id": "call_1"}
    script = [AIMessage("", tool_calls=[tool_call]), AIMessage("The kitchen recorder stands at 1742.")]
    model = ScriptedChat(script=script).bind_tools([tape_counter])
    handler = PromptLayerCallbackHandler(pl_tags=["langchain", "agent"], pl_id_callback=on_request_id)
    messages: list[BaseMessage] = [HumanMessage("Where does the tape in the kitchen stand?")]
    request = model.invoke(messages, config={"callbacks": [handler]})
    results = [tape_counter.invoke(call) for call in request.tool_calls]
    reply = model.invoke([*messages, request, *results], config={"callbacks": [handler]})
    print(f"   chat model called {request.tool_calls[0]['name']}, then answered {reply.text!r}")


def failing_call() -> None:
    """A failed call; plsync records it with its error."""
    model = ScriptedChat(script=[TimeoutError("no answer from the model within 30 s")])
    handler = PromptLayerCallbackHandler(pl_tags=["langchain", "agent"], pl_id_callback=on_request_id)
    try:
        model.invoke("Rewind the tape, please.", config={"callbacks": [handler]})
    except TimeoutError as error:
        print(f"   chat model failed: {error}")


if __name__ == "__main__":
    local_model(sys.argv[1])
    agent_turn()
    failing_call()
