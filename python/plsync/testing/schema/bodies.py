"""The request bodies that PromptLayer accepts.

Sources: its OpenAPI file (2026-08-21) and its SDK (1.5.16).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import NotRequired, TypedDict

from plsync.testing.schema.contents import JSON
from plsync.testing.schema.prompts import Prompt

STATUSES_OF_ERROR_TYPES = {
    "PROVIDER_TIMEOUT": {"ERROR"},
    "PROVIDER_QUOTA_LIMIT": {"WARNING", "ERROR"},
    "PROVIDER_RATE_LIMIT": {"WARNING", "ERROR"},
    "PROVIDER_PARTIAL_RESPONSE": {"WARNING"},
    "PROVIDER_AUTH_ERROR": {"ERROR"},
    "PROVIDER_ERROR": {"ERROR"},
    "TEMPLATE_RENDER_ERROR": {"ERROR"},
    "VARIABLE_MISSING_OR_EMPTY": {"WARNING"},
    "UNKNOWN_ERROR": {"WARNING", "ERROR"},
}
"""The statuses that each ``error_type`` is allowed with."""


def _is_moment(value: str) -> str:
    datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value


def _error_type_fits_status(log: Any) -> Any:
    kind, status = log.get("error_type"), log.get("status", "SUCCESS")
    if kind is not None and status not in STATUSES_OF_ERROR_TYPES[kind]:
        raise ValueError(f"error_type {kind} is not allowed with status {status}")
    return log


@with_config(ConfigDict(strict=True))
class Body(TypedDict):
    """Strict: a number is not a string. Unknown keys pass, because no schema of PromptLayer forbids them.

    Nested types inherit the same rules.
    """


Time = Annotated[str, AfterValidator(_is_moment)] | float
"""ISO 8601 according to the schema; epoch seconds, which the SDK sends, are accepted as well."""

Id = int | str
Score = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class _AnyLog(Body):
    provider: Name
    model: Name
    input: Prompt
    output: Prompt
    parameters: NotRequired[JSON]
    tags: NotRequired[list[Annotated[str, Field(max_length=512)]]]
    metadata: NotRequired[dict[Annotated[str, Field(max_length=1024)], str]]
    prompt_name: NotRequired[str | None]
    prompt_id: NotRequired[int | None]
    prompt_version_number: NotRequired[Annotated[int, Field(gt=0)] | None]
    prompt_input_variables: NotRequired[JSON]
    input_tokens: NotRequired[Count]
    output_tokens: NotRequired[Count]
    price: NotRequired[Annotated[float, Field(ge=0)]]
    function_name: NotRequired[str]
    score: NotRequired[Score]
    api_type: NotRequired[str | None]
    status: NotRequired[Literal["SUCCESS", "WARNING", "ERROR"]]
    error_type: NotRequired[
        Literal[
            "PROVIDER_TIMEOUT",
            "PROVIDER_QUOTA_LIMIT",
            "PROVIDER_RATE_LIMIT",
            "PROVIDER_PARTIAL_RESPONSE",
            "PROVIDER_AUTH_ERROR",
            "PROVIDER_ERROR",
            "TEMPLATE_RENDER_ERROR",
            "VARIABLE_MISSING_OR_EMPTY",
            "UNKNOWN_ERROR",
        ]
        | None
    ]
    error_message: NotRequired[Annotated[str, Field(max_length=1024)] | None]


class _LogRequest(_AnyLog):
    request_start_time: Time
    request_end_time: Time


class _SpanLogRequest(_AnyLog):
    request_start_time: NotRequired[Time | None]
    request_end_time: NotRequired[Time | None]


LogRequest = Annotated[_LogRequest, AfterValidator(_error_type_fits_status)]
"""The body of ``POST /log-request``."""

SpanLogRequest = Annotated[_SpanLogRequest, AfterValidator(_error_type_fits_status)]
"""A log attached to a span. The span's times replace missing times of the log."""


class SpanContext(Body):
    """The ids of a span."""

    trace_id: Name
    span_id: Name
    trace_state: str


class SpanStatus(Body):
    """The result of the work that the span covers."""

    status_code: Literal["StatusCode.OK", "StatusCode.ERROR", "StatusCode.UNSET"]
    description: NotRequired[str | None]


class SpanResource(Body):
    """The program that made the span."""

    attributes: dict[str, str]
    schema_url: str


class Span(Body):
    """One span of ``POST /spans-bulk``."""

    name: str
    context: SpanContext
    kind: Literal["SpanKind.CLIENT", "SpanKind.CONSUMER", "SpanKind.INTERNAL", "SpanKind.PRODUCER", "SpanKind.SERVER"]
    parent_id: NotRequired[str | None]
    start_time: int
    end_time: int
    status: SpanStatus
    attributes: JSON
    events: NotRequired[list[JSON]]
    links: NotRequired[list[JSON]]
    resource: SpanResource
    log_request: NotRequired[SpanLogRequest | None]


class SpansBulk(Body):
    """The body of ``POST /spans-bulk``."""

    spans: list[Span]
    close_after: NotRequired[bool]


class TrackScore(Body):
    """A score for a request."""

    request_id: int
    score: Score
    name: NotRequired[str | None]
    score_name: NotRequired[str | None]


class TrackMetadata(Body):
    """Metadata for a request; an existing key is replaced."""

    request_id: Id
    metadata: dict[str, str]


class TrackPrompt(Body):
    """The prompt template that a request was made from."""

    request_id: Id
    prompt_name: str
    prompt_input_variables: NotRequired[JSON | None]
    version: NotRequired[int | Annotated[str, Field(pattern=r"^[0-9]{1,9}$")] | None]
    label: NotRequired[str | None]


class TrackGroup(Body):
    """The group that a request belongs to."""

    request_id: int
    group_id: int


class TrackRequest(Body):
    """The body of ``POST /track-request``, with which the SDK logs a call of ``run()``."""

    function_name: str
    provider_type: NotRequired[str | None]
    args: NotRequired[list[Any] | None]
    kwargs: JSON
    tags: NotRequired[list[str] | None]
    request_response: Any
    request_start_time: Time
    request_end_time: Time
    metadata: NotRequired[dict[str, str] | None]
    prompt_id: NotRequired[int | None]
    prompt_version: NotRequired[int | None]
    prompt_input_variables: NotRequired[JSON | None]
    group_id: NotRequired[int | None]
    return_prompt_blueprint: NotRequired[bool | None]
    span_id: NotRequired[str | None]
    status: NotRequired[Literal["SUCCESS", "WARNING", "ERROR"]]
    error_type: NotRequired[str | None]
    error_message: NotRequired[str | None]


class Filter(Body):
    """One condition of a search."""

    field: str
    operator: str
    value: NotRequired[str | int | float | bool | list[Any] | None]
    nested_key: NotRequired[str | None]


class FilterGroup(Body):
    """Conditions, all or any of which must hold."""

    logic: NotRequired[Literal["AND", "OR"]]
    filters: list[Filter | FilterGroup]


class Search(Body):
    """The body of ``POST /api/public/v2/requests/search``."""

    filter_group: NotRequired[FilterGroup | None]
    q: NotRequired[str | None]
    sort_by: NotRequired[str | None]
    sort_order: NotRequired[Literal["asc", "desc"] | None]
    page: NotRequired[Annotated[int, Field(ge=1)] | None]
    per_page: NotRequired[Annotated[int, Field(ge=1, le=25)] | None]
    include_prompt_name: NotRequired[bool | None]


class GetTemplate(Body):
    """The body of ``POST /prompt-templates/{identifier}``."""

    version: NotRequired[Annotated[int, Field(gt=0)] | None]
    label: NotRequired[str | None]
    provider: NotRequired[str | None]
    model: NotRequired[str | None]
    input_variables: NotRequired[dict[str, str] | None]
    metadata_filters: NotRequired[dict[str, str] | None]
    model_parameter_overrides: NotRequired[JSON | None]
    skip_input_variable_rendering: NotRequired[bool]


class PublishedTemplate(Body):
    """The template that a version is published for."""

    prompt_name: Annotated[str, Field(min_length=1, max_length=512)]
    tags: NotRequired[list[str] | None]


class PublishedVersion(Body):
    """One version of a template."""

    prompt_template: Prompt
    commit_message: NotRequired[Annotated[str, Field(max_length=72)] | None]
    metadata: NotRequired[JSON | None]


class Publish(Body):
    """The body of ``POST /rest/prompt-templates``."""

    prompt_template: PublishedTemplate
    prompt_version: PublishedVersion
    release_labels: NotRequired[list[str] | None]
