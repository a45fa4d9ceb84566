"""The content blocks of PromptLayer's prompt blueprint, as strictly as its OpenAPI file (2026-08-21) describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """No coercion: a number is not a string. Unknown keys pass, as no schema forbids them."""

    model_config = ConfigDict(strict=True, extra="allow")


class WebAnnotation(Schema):
    """A citation of a web page."""

    type: Literal["url_citation"]
    title: str
    url: str
    start_index: int
    end_index: int
    cited_text: str | None = None


class FileAnnotation(Schema):
    """A citation of a file."""

    type: Literal["file_citation"]
    index: int
    file_id: str
    filename: str


class MapAnnotation(Schema):
    """A citation of a place."""

    type: Literal["map_citation"]
    title: str
    url: str
    start_index: int
    end_index: int


class ContainerFileAnnotation(Schema):
    """A citation of a file in a container."""

    type: Literal["container_file_citation"]
    container_id: str


Annotation = Annotated[
    WebAnnotation | FileAnnotation | MapAnnotation | ContainerFileAnnotation, Field(discriminator="type")
]


class Text(Schema):
    """Plain text."""

    type: Literal["text"]
    text: str
    id: str | None = None
    annotations: list[Annotation] | None = None
    thought_signature: str | None = None


class Thinking(Schema):
    """A model's reasoning."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None
    id: str | None = None


class ImageURL(Schema):
    """Where an image is."""

    url: str
    detail: str | None = None


class Image(Schema):
    """An image by URL, which may be a data URL."""

    type: Literal["image_url"]
    image_url: ImageURL
    image_variable: str | None = None


class MediaSource(Schema):
    """A file: its MIME type, and where or what it is."""

    title: str = "media"
    type: str | None = "image/jpeg"
    url: str | None = None
    format: Literal["base64", "url", "neither"] = "neither"


class Media(Schema):
    """A file in an input message."""

    type: Literal["media"]
    media: MediaSource


class MediaVariable(Schema):
    """A file to be filled in."""

    type: Literal["media_variable"]
    name: str


class OutputMedia(Schema):
    """A file that a model made."""

    type: Literal["output_media"]
    url: str
    id: str | None = None
    mime_type: str = "image/png"
    media_type: Literal["image", "video", "audio"] = "image"
    provider_metadata: dict[str, Any] | None = None


class Code(Schema):
    """Code that a model wrote to be run by its provider."""

    type: Literal["code"]
    code: str
    id: str | None = None
    container_id: str | None = None


class CodeExecutionResult(Schema):
    """What that code printed."""

    type: Literal["code_execution_result"]
    output: str
    outcome: str = "OUTCOME_OK"


class ServerToolUse(Schema):
    """A tool that the provider ran."""

    type: Literal["server_tool_use"]
    id: str
    name: str
    input: dict[str, Any] = Field(default_factory=dict)


Content = Annotated[
    Text | Thinking | Image | Media | MediaVariable | OutputMedia | Code | CodeExecutionResult | ServerToolUse,
    Field(discriminator="type"),
]
"""The kinds plsync sends or PromptLayer's SDK needs; provider-run tool results beyond these are refused as unknown."""
