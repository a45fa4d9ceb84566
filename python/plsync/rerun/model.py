"""The model of a rerun, and a recorded request bound to it."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.runnables import Runnable

from plsync._common.logged import reason_of
from plsync.errors import RerunError
from plsync.replay.request.request import Request

__all__ = ["is_one_at_a_time", "make_model", "with_request"]

_LOCAL: Final = "gpt4all"


def make_model(name: str, settings: Mapping[str, Any] | None = None) -> BaseLanguageModel[Any]:
    """The LangChain model of a name.

    Args:
        name: ``PROVIDER:MODEL``. LangChain's ``init_chat_model`` lists the providers. ``gpt4all`` takes the
            path of a model file.
        settings: further arguments of the model's class, such as ``temperature`` or ``base_url``.

    Raises:
        RerunError: the name has no provider, a package or a file is missing, or the class refuses its arguments.
    """
    provider, colon, model = name.partition(":")
    if not (colon and provider and model):
        raise RerunError(f"{name}: choose PROVIDER:MODEL, such as openai:gpt-4o-mini or gpt4all:/models/tiny.gguf")
    try:
        return _of_file(model, settings or {}) if provider == _LOCAL else _of_provider(provider, model, settings or {})
    except RerunError:
        raise
    except Exception as error:
        raise RerunError(f"the model {name} cannot be made: {reason_of(error)}; nothing was sent") from error


def is_one_at_a_time(name: str) -> bool:
    """Whether a model runs in this process, which answers one request after the other."""
    return name.partition(":")[0] == _LOCAL


def _of_provider(provider: str, model: str, settings: Mapping[str, Any]) -> BaseLanguageModel[Any]:
    if importlib.util.find_spec("langchain") is None:
        raise RerunError(
            "plsync rerun needs LangChain's package of models; nothing was sent: pip install 'plsync[rerun]'"
        )
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 - an extra

    try:
        found: BaseLanguageModel[Any] = init_chat_model(model, model_provider=provider, **settings)
    except ImportError as error:
        raise RerunError(f"the package of {provider} is missing; nothing was sent: {reason_of(error)}") from error
    return found


def _of_file(model: str, settings: Mapping[str, Any]) -> BaseLanguageModel[Any]:
    path = Path(model).expanduser()
    if not path.is_file():
        raise RerunError(f"there is no model file at {path}; nothing was sent: check the path")
    try:
        with warnings.catch_warnings():
            # The archived home of the class warns at import.
            warnings.simplefilter("ignore", DeprecationWarning)
            from langchain_community.llms import GPT4All  # noqa: PLC0415 - an extra

            local: BaseLanguageModel[Any] = GPT4All(model=str(path.resolve()), **settings)
    except ImportError as error:
        raise RerunError("GPT4All is missing; nothing was sent: pip install 'plsync[gpt4all]'") from error
    return local


def with_request(model: BaseLanguageModel[Any], request: Request) -> Runnable[Any, Any]:
    """The model with the tools, the tool choice, the response format and the stop words of a request.

    Tools are offered only. The result has no code that executes one.

    Raises:
        NotImplementedError: the model takes no tools, or no response format.
    """
    body = request.body
    tools, form, stop = body.get("tools"), body.get("response_format"), body.get("stop")
    if not isinstance(model, BaseChatModel):
        if tools or form:
            raise NotImplementedError("a text model takes no tools and no response format")
        bound: Runnable[Any, Any] = model
    elif tools:
        more: dict[str, Any] = {} if form is None else {"response_format": _openai_format(form)}
        bound = model.bind_tools([_tool(tool) for tool in tools], **_choice(body.get("tool_choice")), **more)
    elif form == "json":
        bound = _unparsed(model.with_structured_output({}, method="json_mode", include_raw=True))
    elif form is not None:
        bound = _unparsed(model.with_structured_output(_schema(form), include_raw=True))
    else:
        bound = model
    return bound.bind(stop=stop) if stop else bound


def _unparsed(structured: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The model inside the result of ``with_structured_output(include_raw=True)``: nothing parses its answer."""
    steps = getattr(getattr(structured, "first", None), "steps__", {})
    found: Runnable[Any, Any] = steps.get("raw", structured)
    return found


def _tool(tool: Any) -> Any:
    """A tool in OpenAI's form, which every class of LangChain converts. A built-in tool keeps its own form."""
    if not (isinstance(tool, dict) and isinstance(tool.get("name"), str)) or "type" in tool:
        return tool
    parameters = tool.get("parameters") or {"type": "object", "properties": {}}
    described = {"name": tool["name"], "description": tool.get("description") or "", "parameters": parameters}
    return {"type": "function", "function": described}


def _choice(choice: Any) -> dict[str, Any]:
    if choice is None:
        return {}
    return {"tool_choice": choice["name"] if isinstance(choice, dict) and "name" in choice else choice}


def _schema(form: Any) -> dict[str, Any]:
    """A response format as the JSON schema that ``with_structured_output()`` takes."""
    if not (isinstance(form, dict) and isinstance(form.get("schema"), dict)):
        raise NotImplementedError(f"the recorded response format has no JSON schema: {str(form)[:100]}")
    described = {"description": form["description"]} if form.get("description") else {}
    return {"title": form.get("name") or "answer", **described, **form["schema"]}


def _openai_format(form: Any) -> dict[str, Any]:
    if form == "json":
        return {"type": "json_object"}
    schema = _schema(form)
    return {"type": "json_schema", "json_schema": {"name": schema["title"], "schema": schema}}
