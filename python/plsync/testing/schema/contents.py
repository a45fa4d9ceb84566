"""The content blocks of PromptLayer's prompt blueprint. Source: its OpenAPI file (2026-08-21)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

JSON = dict[str, Any]


class WebAnnotation(TypedDict):
    """A citation of a web page."""

    type: Literal["url_citation"]
    title: str
    url: str
    start_index: int
    end_index: int
    cited_text: NotRequired[str | None]
    encrypted_index: NotRequired[str | None]


class FileAnnotation(TypedDict):
    """A citation of a file."""

    type: Literal["file_citation"]
    index: int
    file_id: str
    filename: str


class MapAnnotation(TypedDict):
    """A citation of a place."""

    type: Literal["map_citation"]
    title: str
    url: str
    start_index: int
    end_index: int
    place_id: NotRequired[str | None]
    cited_text: NotRequired[str | None]


class ContainerFileAnnotation(TypedDict):
    """A citation of a file in a container."""

    type: Literal["container_file_citation"]
    container_id: str
    start_index: NotRequired[int | None]
    end_index: NotRequired[int | None]
    filename: NotRequired[str | None]
    file_id: NotRequired[str | None]


Annotation = Annotated[
    WebAnnotation | FileAnnotation | MapAnnotation | ContainerFileAnnotation, Field(discriminator="type")
]


class Text(TypedDict):
    """Plain text."""

    type: Literal["text"]
    text: str
    id: NotRequired[str | None]
    annotations: NotRequired[list[Annotation] | None]
    thought_signature: NotRequired[str | None]


class Thinking(TypedDict):
    """A model's reasoning."""

    type: Literal["thinking"]
    thinking: str
    signature: NotRequired[str | None]
    id: NotRequired[str | None]


class ImageURL(TypedDict):
    """The location of an image."""

    url: str
    detail: NotRequired[str | None]


class Image(TypedDict):
    """An image by URL, which may be a data URL."""

    type: Literal["image_url"]
    image_url: ImageURL
    image_variable: NotRequired[str | None]


class MediaSource(TypedDict):
    """A file: its MIME type, and its URL or content."""

    title: NotRequired[str]
    type: NotRequired[str | None]
    url: NotRequired[str | None]
    format: NotRequired[Literal["base64", "url", "neither"]]


class Media(TypedDict):
    """A file in an input message."""

    type: Literal["media"]
    media: MediaSource


class MediaVariable(TypedDict):
    """A variable for a file."""

    type: Literal["media_variable"]
    name: str


class OutputMedia(TypedDict):
    """A file that a model generated."""

    type: Literal["output_media"]
    url: str
    id: NotRequired[str | None]
    mime_type: NotRequired[str]
    media_type: NotRequired[Literal["image", "video", "audio"]]
    provider_metadata: NotRequired[JSON | None]


class Code(TypedDict):
    """Code that a model wrote and its provider runs."""

    type: Literal["code"]
    code: str
    id: NotRequired[str | None]
    container_id: NotRequired[str | None]


class CodeExecutionResult(TypedDict):
    """The output of that code."""

    type: Literal["code_execution_result"]
    output: str
    outcome: NotRequired[str]


class ServerToolUse(TypedDict):
    """A call of a tool that the provider runs."""

    type: Literal["server_tool_use"]
    id: str
    name: str
    input: NotRequired[JSON]


class WebSearchResult(TypedDict):
    """One page of a web search's results."""

    type: NotRequired[Literal["web_search_result"]]
    url: NotRequired[str]
    title: NotRequired[str]
    encrypted_content: NotRequired[str]
    page_age: NotRequired[str | None]


class WebSearchToolResult(TypedDict):
    """The results of a web search."""

    type: Literal["web_search_tool_result"]
    tool_use_id: str
    content: NotRequired[list[WebSearchResult]]


class BashCodeExecutionToolResult(TypedDict):
    """The result of a shell command in Anthropic's code execution."""

    type: Literal["bash_code_execution_tool_result"]
    tool_use_id: str
    content: NotRequired[JSON]


class TextEditorCodeExecutionToolResult(TypedDict):
    """The result of a file operation in Anthropic's code execution."""

    type: Literal["text_editor_code_execution_tool_result"]
    tool_use_id: str
    content: NotRequired[JSON]


class McpListTools(TypedDict):
    """The tools that an MCP server offers."""

    type: Literal["mcp_list_tools"]
    id: NotRequired[str | None]
    server_label: NotRequired[str]
    tools: NotRequired[list[JSON]]
    error: NotRequired[str | JSON | None]


class McpCall(TypedDict):
    """A call of a tool on an MCP server, and its result."""

    type: Literal["mcp_call"]
    id: NotRequired[str | None]
    name: NotRequired[str]
    server_label: NotRequired[str]
    arguments: NotRequired[str]
    output: NotRequired[str | None]
    error: NotRequired[str | JSON | None]
    approval_request_id: NotRequired[str | None]


class McpApprovalRequest(TypedDict):
    """A request to approve a tool call on an MCP server."""

    type: Literal["mcp_approval_request"]
    id: NotRequired[str | None]
    name: NotRequired[str]
    arguments: NotRequired[str]
    server_label: NotRequired[str]


class McpApprovalResponse(TypedDict):
    """The approval or denial of a tool call on an MCP server."""

    type: Literal["mcp_approval_response"]
    approval_request_id: str
    approve: bool


class ShellCall(TypedDict):
    """A command for OpenAI's shell tool."""

    type: Literal["shell_call"]
    id: NotRequired[str | None]
    call_id: NotRequired[str | None]
    action: NotRequired[JSON]
    status: NotRequired[str | None]


class ShellCallOutput(TypedDict):
    """The result of OpenAI's shell tool."""

    type: Literal["shell_call_output"]
    id: NotRequired[str | None]
    call_id: NotRequired[str | None]
    output: NotRequired[list[JSON]]
    status: NotRequired[str | None]


class ApplyPatchCall(TypedDict):
    """A change of files by OpenAI's patch tool."""

    type: Literal["apply_patch_call"]
    id: NotRequired[str | None]
    call_id: NotRequired[str | None]
    operation: NotRequired[JSON]
    status: NotRequired[str | None]


class ApplyPatchCallOutput(TypedDict):
    """The result of OpenAI's patch tool."""

    type: Literal["apply_patch_call_output"]
    id: NotRequired[str | None]
    call_id: NotRequired[str | None]
    output: NotRequired[str | None]
    status: NotRequired[str | None]


Content = Annotated[
    Text
    | Thinking
    | Image
    | Media
    | MediaVariable
    | OutputMedia
    | Code
    | CodeExecutionResult
    | ServerToolUse
    | WebSearchToolResult
    | BashCodeExecutionToolResult
    | TextEditorCodeExecutionToolResult
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
    | ShellCall
    | ShellCallOutput
    | ApplyPatchCall
    | ApplyPatchCallOutput,
    Field(discriminator="type"),
]
