"""The bodies PromptLayer accepts, as strictly as its OpenAPI file (2026-08-21) describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from plsync.testing.contents import Schema
from plsync.testing.prompts import Prompt


def _is_time(value: str | float) -> str | float:
    if isinstance(value, str):
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value


Time = Annotated[str | float, AfterValidator(_is_time)]
"""ISO 8601 by the schema; epoch seconds, as the SDK sends them, are accepted as well."""

Id = int | str
Score = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]

_ALLOWED_STATUSES = {
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


class LogRequest(Schema):
    """The body of ``POST /log-request``."""

    provider: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    input: Prompt
    output: Prompt
    request_start_time: Time
    request_end_time: Time
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: list[Annotated[str, Field(max_length=512)]] = Field(default_factory=list)
    metadata: dict[Annotated[str, Field(max_length=1024)], str] = Field(default_factory=dict)
    prompt_name: str | None = None
    prompt_id: int | None = None
    prompt_version_number: Annotated[int, Field(gt=0)] | None = None
    prompt_input_variables: dict[str, Any] = Field(default_factory=dict)
    input_tokens: Count = 0
    output_tokens: Count = 0
    price: Annotated[float, Field(ge=0)] = 0
    function_name: str = ""
    score: Score = 0
    api_type: str | None = None
    status: Literal["SUCCESS", "WARNING", "ERROR"] = "SUCCESS"
    error_type: str | None = None
    error_message: Annotated[str, Field(max_length=1024)] | None = None

    @model_validator(mode="after")
    def _error_type_fits_status(self) -> LogRequest:
        if self.error_type is None:
            return self
        allowed = _ALLOWED_STATUSES.get(self.error_type)
        if allowed is None:
            raise ValueError(f"unknown error_type {self.error_type!r}")
        if self.status not in allowed:
            raise ValueError(f"error_type {self.error_type} is not allowed with status {self.status}")
        return self


class SpanLogRequest(LogRequest):
    """A log attached to a span, which lends it the times it leaves out."""

    request_start_time: Time | None = None  # type: ignore[assignment]
    request_end_time: Time | None = None  # type: ignore[assignment]


class SpanContext(Schema):
    """Which span it is."""

    trace_id: Annotated[str, Field(min_length=1)]
    span_id: Annotated[str, Field(min_length=1)]
    trace_state: str


class SpanStatus(Schema):
    """How the spanned work ended."""

    status_code: Literal["StatusCode.OK", "StatusCode.ERROR", "StatusCode.UNSET"]
    description: str | None = None


class SpanResource(Schema):
    """What the span comes from."""

    attributes: dict[str, str]
    schema_url: str


class Span(Schema):
    """One span of ``POST /spans-bulk``."""

    name: str
    context: SpanContext
    kind: Literal["SpanKind.CLIENT", "SpanKind.CONSUMER", "SpanKind.INTERNAL", "SpanKind.PRODUCER", "SpanKind.SERVER"]
    parent_id: str | None = None
    start_time: int
    end_time: int
    status: SpanStatus
    attributes: dict[str, Any]
    events: list[dict[str, Any]] = Field(default_factory=list)
    links: list[dict[str, Any]] = Field(default_factory=list)
    resource: SpanResource
    log_request: SpanLogRequest | None = None


class SpansBulk(Schema):
    """The body of ``POST /spans-bulk``."""

    spans: list[Span]
    close_after: bool = False


class TrackScore(Schema):
    """A score for a request."""

    request_id: int
    score: Score
    name: str = "default"


class TrackMetadata(Schema):
    """Metadata for a request; a key that is there already is replaced."""

    request_id: Id
    metadata: dict[str, str]


class TrackPrompt(Schema):
    """The prompt template a request came from."""

    request_id: Id
    prompt_name: str
    prompt_input_variables: dict[str, Any] = Field(default_factory=dict)
    version: int | Annotated[str, Field(pattern=r"^[0-9]{1,9}$")] | None = None
    label: str | None = None


class TrackGroup(Schema):
    """The group a request belongs to."""

    request_id: int
    group_id: int


class Filter(Schema):
    """One condition of a search. The stand-in knows those on metadata."""

    field: Literal["metadata"]
    operator: Literal["key_equals", "in"]
    nested_key: str
    value: str | list[str]


class FilterGroup(Schema):
    """Conditions, all or any of which must hold."""

    logic: Literal["AND", "OR"] = "AND"
    filters: list[Filter]


class Search(Schema):
    """The body of ``POST /api/public/v2/requests/search``."""

    filter_group: FilterGroup
    page: Annotated[int, Field(ge=1)] = 1
    per_page: Annotated[int, Field(ge=1, le=25)] = 10
