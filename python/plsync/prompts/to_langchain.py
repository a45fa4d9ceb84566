"""Converts PromptLayer's prompt templates to LangChain's.

A completion becomes a ``PromptTemplate``, a chat a ``ChatPromptTemplate``. Text may use either of PromptLayer's
template formats; ``jinja2`` runs in LangChain's sandbox. Other content is copied: PromptLayer fills in variables only
in text, and in images that are variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import orjson
from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import (
    AIMessagePromptTemplate,
    ChatPromptTemplate,
    HumanMessagePromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
    StringPromptTemplate,
    SystemMessagePromptTemplate,
)
from langchain_core.prompts.dict import DictPromptTemplate
from langchain_core.prompts.image import ImagePromptTemplate
from langchain_core.prompts.message import BaseMessagePromptTemplate

from plsync._common.api_key import redact_api_keys
from plsync.errors import PromptError
from plsync.prompts.text_template import TextTemplate

__all__ = ["to_langchain"]

JSON = Mapping[str, Any]
Format = Literal["f-string", "jinja2"]
Part = StringPromptTemplate | ImagePromptTemplate | DictPromptTemplate
Content = StringPromptTemplate | list[Part]

# LangChain's standard blocks by the first part of a MIME type.
_MEDIA: Final = {"image": "image", "audio": "audio", "video": "video"}
_MAX_REASON: Final = 500
_NAME: Final = re.compile(r"[\w -]+")


class FilledMessagePromptTemplate(BaseMessagePromptTemplate):
    """A message of any class: its content has variables, its other fields are fixed."""

    content: HumanMessagePromptTemplate
    """The template of the content."""
    message_class: type[BaseMessage]
    fields: dict[str, Any]
    """Other fields of the message, such as a name or tool calls."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """False, because LangChain can only load classes of its packages."""
        return False

    @property
    def input_variables(self) -> list[str]:
        """The variables of the content."""
        return self.content.input_variables

    def format_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """The message with its variables filled in."""
        content = self.content.format(**kwargs).content
        return [self.message_class(content=content, **self.fields)]

    def pretty_repr(self, html: bool = False) -> str:
        """A representation for people."""
        title = f"{self.message_class.__name__.removesuffix('Message')} Message"
        return self.content.pretty_repr(html=html).replace("Human Message", title, 1)


def to_langchain(template: JSON) -> PromptTemplate | ChatPromptTemplate:
    """Convert a prompt template.

    Args:
        template: PromptLayer's response to ``GET /prompt-templates/{name}``.

    Raises:
        PromptError: LangChain's templates have no place for a part of it. The message names the part.

    >>> content = [{"type": "text", "text": "A name for {product}?"}]
    >>> to_langchain({"prompt_template": {"type": "completion", "content": content}}).format(product="toasters")
    'A name for toasters?'
    """
    prompt = template["prompt_template"]
    named = {"promptlayer_prompt_name": template.get("prompt_name"), "promptlayer_version": template.get("version")}
    try:
        if prompt.get("type") == "completion":
            return _text(_all_text(prompt.get("content")), _format(prompt), metadata=named)
        messages = [_message(message) for message in prompt["messages"]]
        return ChatPromptTemplate(messages=messages, metadata=named)
    except PromptError as error:
        raise PromptError(_words(f"{_named(template)} cannot be a LangChain template: {error}")) from None
    except ImportError:  # jinja2 is missing; its message names the package to install
        raise
    except Exception as error:  # LangChain's classes and jinja2 raise many types for a text they cannot parse
        reason = _words(error)
        raise PromptError(
            f"{_words(_named(template))} cannot be a LangChain template ({type(error).__name__}: {reason}); in an "
            "f-string template, double the braces that are not a variable"
        ) from error


def _words(value: object) -> str:
    """A text of a template in one line. An error may quote a template, and a server may put the API key into one."""
    return " ".join(redact_api_keys(str(value)[: 8 * _MAX_REASON]).split())[:_MAX_REASON]


def _named(template: JSON) -> str:
    return f"version {template.get('version')} of the prompt template {template.get('prompt_name')!r}"


def _message(message: JSON) -> BaseMessagePromptTemplate | MessagesPlaceholder:
    role = message["role"]
    if role == "placeholder":
        return MessagesPlaceholder(variable_name=message["name"])
    convert = _ROLES.get(role)
    if convert is None:
        raise PromptError(f"a message has the unknown role {role!r}")
    content = _content(message)
    return convert(content, message)


def _content(message: JSON) -> Content:
    """The content of a message: a text if it has only text, as most models expect; else a list of blocks."""
    blocks = _blocks(message.get("content"))
    if not blocks or (len(blocks) == 1 and blocks[0].get("type") == "text"):
        return _text(blocks[0]["text"] if blocks else "", _format(message))
    return [_part(block, _format(message)) for block in blocks]


def _system(content: Content, message: JSON) -> BaseMessagePromptTemplate:
    # langchain_openai recognises a developer message by this mark.
    extra = {"__openai_role__": "developer"} if message["role"] == "developer" else {}
    if name := message.get("name"):
        return _filled(SystemMessage, content, name=name, additional_kwargs=extra)
    return SystemMessagePromptTemplate(prompt=content, additional_kwargs=extra)


def _user(content: Content, message: JSON) -> BaseMessagePromptTemplate:
    if name := message.get("name"):
        return _filled(HumanMessage, content, name=name)
    return HumanMessagePromptTemplate(prompt=content)


def _assistant(content: Content, message: JSON) -> BaseMessagePromptTemplate:
    fields: dict[str, Any] = {}
    if name := message.get("name"):
        fields["name"] = name
    if calls := message.get("tool_calls"):
        fields["tool_calls"] = [_tool_call(call) for call in calls]
    if call := message.get("function_call"):
        fields["additional_kwargs"] = {"function_call": dict(call)}
    return _filled(AIMessage, content, **fields) if fields else AIMessagePromptTemplate(prompt=content)


def _tool(content: Content, message: JSON) -> BaseMessagePromptTemplate:
    return _filled(ToolMessage, content, tool_call_id=message["tool_call_id"], name=message.get("name"))


def _function(content: Content, message: JSON) -> BaseMessagePromptTemplate:
    return _filled(FunctionMessage, content, name=message["name"])


_ROLES: Final[Mapping[str, Callable[[Content, JSON], BaseMessagePromptTemplate]]] = {
    "system": _system,
    "developer": _system,
    "user": _user,
    "assistant": _assistant,
    "tool": _tool,
    "function": _function,
}


def _filled(message_class: type[BaseMessage], content: Content, **fields: Any) -> FilledMessagePromptTemplate:
    filled = HumanMessagePromptTemplate(prompt=content)
    return FilledMessagePromptTemplate(content=filled, message_class=message_class, fields=fields)


def _tool_call(call: JSON) -> dict[str, Any]:
    function = call["function"]
    arguments = orjson.loads(function.get("arguments") or "{}")
    if not isinstance(arguments, dict):
        raise PromptError(f"the arguments of a call of {function['name']!r} are not an object: {function['arguments']}")
    return {"type": "tool_call", "id": call["id"], "name": function["name"], "args": arguments}


def _part(block: JSON, form: Format) -> Part:
    kind = block.get("type")
    if kind == "text":
        return _text(block["text"], form)
    if kind == "image_url":
        return _image(block)
    if kind == "media":
        return _constant(_media(block["media"]))
    if kind == "thinking":
        return _constant({key: value for key, value in block.items() if value is not None})
    raise PromptError(f"LangChain's templates have no place for its block of the type {kind!r}")


def _text(text: str, form: Format, **settings: Any) -> PromptTemplate:
    converted = TextTemplate.of(text, form, **settings)
    # LangChain parses JSON in a text as a variable whose name begins with a quote.
    if form == "f-string" and (invalid := [name for name in converted.input_variables if not _NAME.fullmatch(name)]):
        raise ValueError(f"{invalid[0]!r} is not the name of a variable")
    return converted


def _image(block: JSON) -> ImagePromptTemplate:
    image = {key: value for key, value in block["image_url"].items() if key in {"url", "detail"} and value}
    if variable := block.get("image_variable"):
        if not _NAME.fullmatch(variable):
            raise ValueError(f"{variable!r} is not the name of a variable")
        return ImagePromptTemplate(input_variables=[variable], template={**image, "url": f"{{{variable}}}"})
    return ImagePromptTemplate(input_variables=[], template=_doubled(image))


def _media(media: JSON) -> dict[str, Any]:
    mime = media.get("type") or "image/jpeg"
    block: dict[str, Any] = {"type": _MEDIA.get(mime.partition("/")[0], "file"), "mime_type": mime}
    url = media.get("url") or ""
    if url.startswith("data:"):
        block["base64"] = url.partition(",")[2]
    else:
        block["base64" if media.get("format") == "base64" else "url"] = url
    if (title := media.get("title")) and title != "media":
        block["filename"] = title
    return block


def _constant(block: JSON) -> DictPromptTemplate:
    return DictPromptTemplate(template=_doubled(block), template_format="f-string")


def _doubled(value: Any) -> Any:
    """The value with its braces doubled: LangChain's formatting then restores it."""
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, Mapping):
        return {key: _doubled(item) for key, item in value.items()}
    return [_doubled(item) for item in value] if isinstance(value, list) else value


def _all_text(content: Any) -> str:
    blocks = _blocks(content)
    if others := [str(block.get("type")) for block in blocks if block.get("type") != "text"]:
        raise PromptError(f"a completion has only text, but it has a block of the type {others[0]!r}")
    return "".join(block["text"] for block in blocks)


def _blocks(content: Any) -> list[JSON]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return list(content or [])


def _format(part: JSON) -> Format:
    form = part.get("template_format") or "f-string"
    if form not in {"f-string", "jinja2"}:
        raise PromptError(f"its template format {form!r} is unknown")
    return "jinja2" if form == "jinja2" else "f-string"
