"""The HTTP status and the request id of failed calls, under the names of every client."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from plsync.recorder.failure import describe, partial_response
from plsync.recorder.http_error import response_of, status_of
from tests.support.request_log import LoggedCall, answer


class Response:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def failing(**attributes: Any) -> Exception:
    error: Exception = type("ApiError", (Exception,), {})("no")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


BOTO = {
    "Error": {"Code": "ThrottlingException", "Message": "slow down"},
    "ResponseMetadata": {"RequestId": "r-1", "HTTPStatusCode": 429, "HTTPHeaders": {"x-amzn-requestid": "r-1"}},
}


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"status_code": 429}, 429),
        ({"status_code": HTTPStatus.NOT_FOUND}, 404),
        ({"http_status": 503}, 503),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, 429),
        ({"code": "rate_limit_exceeded", "status": 429}, 429),
        ({"code": "429"}, 429),
        ({"response": Response(status_code=500)}, 500),
        ({"response": Response(status=502)}, 502),
        ({"response": BOTO}, 429),
        ({"response": {"status_code": 500}}, 500),
        ({"raw_response": Response(status_code=503)}, 503),
        ({"statusCode": 429}, 429),
        ({"httpStatus": 418}, 418),
        ({"body": {"code": "429", "message": "slow down"}}, 429),
        ({"error": {"code": "insufficient_quota", "status": 429}}, 429),
        ({"body": {"code": 17}, "error": "no"}, None),
        ({"code": 1}, None),
        ({"code": True, "status": None, "response": "no"}, None),
        ({"response": {"ResponseMetadata": "none"}}, None),
    ],
)
def test_the_status_is_found_where_clients_keep_it(attributes: dict[str, Any], status: int | None) -> None:
    assert status_of(failing(**attributes)) == status
    outer = RuntimeError("wrapped")
    outer.__cause__ = failing(**attributes)
    assert status_of(outer) == status
    assert describe(outer)["status_code"] == status


def test_an_error_that_a_program_raises_while_it_handles_anothers_has_no_status() -> None:
    try:
        try:
            raise failing(code=404)  # noqa: TRY301
        except Exception:
            raise ValueError("mine")  # noqa: B904
    except ValueError as error:
        assert status_of(error) is None


def test_a_circle_of_causes_ends() -> None:
    one, other = RuntimeError(), RuntimeError()
    one.__cause__, other.__cause__ = other, one
    assert status_of(one) is None


@pytest.mark.parametrize(
    ("attributes", "request_id"),
    [
        ({"request_id": "r-1"}, "r-1"),
        ({"response": Response(headers={"x-request-id": "r-2"})}, "r-2"),
        ({"response": BOTO}, "r-1"),
        ({"response": Response(headers=7)}, None),
    ],
)
def test_the_request_id_is_found_where_clients_keep_it(attributes: dict[str, Any], request_id: str | None) -> None:
    assert (response_of(failing(**attributes)) or {}).get("request_id") == request_id


def test_the_facts_of_a_failed_call_are_in_the_metadata() -> None:
    error = failing(response=BOTO)
    log = LoggedCall(end={"error": describe(error)}, status="error").log()
    assert (log["error_type"], log["metadata"]["error_status_code"]) == ("PROVIDER_RATE_LIMIT", "429")
    assert log["metadata"]["error_request_id"] == "r-1"


def test_an_error_without_an_answer_has_no_message() -> None:
    from langchain_core.messages import AIMessage  # noqa: PLC0415
    from langchain_core.outputs import ChatGeneration, LLMResult  # noqa: PLC0415

    empty = ChatGeneration(message=AIMessage(content=""))
    assert partial_response(LLMResult(generations=[[empty]])) == ([], None)
    # Journals of earlier versions hold the empty message.
    log = LoggedCall(end={"error": {"type": "ClientError"}, "generations": [answer("")]}, status="error").log()
    assert log["output"]["messages"] == []


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (
            {
                "type": "ClientError",
                "module": "botocore.exceptions",
                "message": "An error occurred (ThrottlingException) when",
            },
            None,
            "PROVIDER_RATE_LIMIT",
        ),
        (
            {
                "type": "ClientError",
                "module": "botocore.exceptions",
                "message": "An error occurred (AccessDeniedException) when",
            },
            None,
            "PROVIDER_AUTH_ERROR",
        ),
        (
            {"type": "ClientError", "module": "google.genai.errors", "message": "429 RESOURCE_EXHAUSTED."},
            429,
            "PROVIDER_RATE_LIMIT",
        ),
        (
            {"type": "ServerError", "module": "google.genai.errors", "message": "504 DEADLINE_EXCEEDED."},
            504,
            "PROVIDER_TIMEOUT",
        ),
        (
            {"type": "PermissionDeniedError", "module": "openai", "status_code": 403, "message": ""},
            403,
            "PROVIDER_AUTH_ERROR",
        ),
        ({"type": "ConnectError", "module": "httpx", "message": "refused"}, None, "PROVIDER_ERROR"),
        ({"type": "ValueError", "module": "builtins", "message": "429 apples"}, None, "UNKNOWN_ERROR"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_errors_of_earlier_versions_get_their_category(error: dict[str, Any], status: int | None, kind: str) -> None:
    log = LoggedCall(end={"error": error}, status="error").log()
    assert log["error_type"] == kind
    assert log["metadata"].get("error_status_code") == (None if status is None else str(status))


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}, "request_id": "r-7"}


def test_an_error_inside_a_stream_has_the_body_and_the_request_id_of_its_event() -> None:
    error = failing(status_code=200, body=OVERLOADED, request_id=None)
    found = response_of(error)
    assert found is not None
    assert (found["body"], found["request_id"]) == (OVERLOADED, "r-7")
    log = LoggedCall(end={"error": describe(error)}, status="error").log()
    assert "error_status_code" not in log["metadata"]
    assert log["metadata"]["error_request_id"] == "r-7"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "APIStatusError", "module": "anthropic", "message": str(OVERLOADED)}, "PROVIDER_ERROR"),
        (
            {"type": "APIStatusError", "module": "anthropic", "message": "{'error': {'type': 'rate_limit_error'}}"},
            "PROVIDER_RATE_LIMIT",
        ),
        (
            {"type": "APIError", "module": "openai", "response": {"body": {"code": "rate_limit_exceeded"}}},
            "PROVIDER_RATE_LIMIT",
        ),
        ({"type": "APIError", "module": "openai", "response": {"body": {"type": "timeout_error"}}}, "PROVIDER_TIMEOUT"),
        ({"type": "ValueError", "message": "rate_limit_exceeded: slow"}, "PROVIDER_RATE_LIMIT"),
        ({"type": "ValueError", "message": "insufficient_quota: pay"}, "PROVIDER_QUOTA_LIMIT"),
        ({"type": "ValueError", "message": "ResponseError(code='server_error', message='x')"}, "PROVIDER_ERROR"),
        (
            {"type": "GoogleInvalidRequestError", "module": "langchain_google_genai", "status_code": 400}
            | {"message": "400 INVALID_ARGUMENT. {'error': {'details': [{'reason': 'API_KEY_INVALID'}]}}"},
            "PROVIDER_AUTH_ERROR",
        ),
        ({"type": "ValueError", "message": "{'code': 'rate_limit_exceeded'}"}, "UNKNOWN_ERROR"),
        ({"type": "KeyError", "message": "server_error: no such key"}, "UNKNOWN_ERROR"),
    ],
    ids=str,
)
def test_an_error_without_a_status_has_the_type_that_its_body_names(error: dict[str, Any], expected: str) -> None:
    whole = {"module": "builtins", "message": "", "status_code": None, **error}
    assert LoggedCall(end={"error": whole}, status="error").log()["error_type"] == expected
