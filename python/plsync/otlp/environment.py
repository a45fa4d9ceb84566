"""The settings of OpenTelemetry's exporters in the environment: ``OTEL_EXPORTER_OTLP_*`` and ``OTEL_SERVICE_NAME``.

A variable for traces, such as ``OTEL_EXPORTER_OTLP_TRACES_HEADERS``, takes the place of the general one.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import unquote

from plsync.errors import ExportError

__all__ = [
    "ENVIRONMENT",
    "endpoint",
    "headers",
    "is_collector",
    "is_compressed",
    "resource",
    "setting",
    "timeout",
]

ENVIRONMENT: Final = "env"
"""In place of a destination: the collector that the variables name."""
_PREFIXES: Final = ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_")
_PATH: Final = "/v1/traces"
_DEFAULT: Final = "http://localhost:4318"
_TIMEOUT: Final = 30.0
_LONGEST: Final = 86_400_000


def is_collector(destination: str) -> bool:
    """Whether a destination is a collector, and no file."""
    return destination == ENVIRONMENT or destination.lower().startswith(("http://", "https://"))


def setting(end: str) -> tuple[str, str]:
    """The name and the value of the variable that counts, by its last words. An empty variable is no setting."""
    for prefix in _PREFIXES:
        if value := os.environ.get(prefix + end, "").strip():
            return prefix + end, value
    return _PREFIXES[1] + end, ""


def endpoint() -> str:
    """The URL of the collector: of the endpoint for traces, else below the general endpoint, else on this machine.

    Raises:
        ExportError: the environment demands another protocol.
    """
    name, protocol = setting("PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise ExportError(
            f"{name} is {protocol}, and plsync sends http/protobuf; nothing was exported: pass the URL of the "
            "collector's HTTP receiver to --otlp, such as http://localhost:4318"
        )
    name, url = setting("ENDPOINT")
    if name == f"{_PREFIXES[0]}ENDPOINT" and url:
        return url
    return f"{(url or _DEFAULT).rstrip('/')}{_PATH}"


def headers() -> dict[str, str]:
    """The headers of every request: ``a=1,b=2``, percent-encoded.

    Raises:
        ExportError: the value has another form. The message holds no value.
    """
    name, value = setting("HEADERS")
    found = _pairs(name, value, "headers, such as api-key=secret,team=llm")
    if not all(_is_header(key, item) for key, item in found.items()):
        raise ExportError(f"{name} is not a list of headers, such as api-key=secret,team=llm; nothing was exported")
    return {key.lower(): item for key, item in found.items()}


def timeout() -> float:
    """The longest time for a request, in seconds. The variable has milliseconds.

    Raises:
        ExportError: the value is no number of milliseconds.
    """
    name, value = setting("TIMEOUT")
    if not value:
        return _TIMEOUT
    if not (value.isascii() and value.isdigit() and 0 < int(value[:12]) <= _LONGEST):
        raise ExportError(f"{name} is no number of milliseconds, such as 10000; nothing was exported")
    return int(value) / 1000


def is_compressed() -> bool:
    """Whether to compress messages with gzip.

    Raises:
        ExportError: the value is another compression.
    """
    name, value = setting("COMPRESSION")
    if value not in ("", "gzip", "none"):
        raise ExportError(f"{name} is neither gzip nor none; nothing was exported")
    return value != "none"


def resource() -> dict[str, str]:
    """The attributes of the resource: of ``OTEL_RESOURCE_ATTRIBUTES``, and the name of the service.

    Raises:
        ExportError: the value has another form.
    """
    name = "OTEL_RESOURCE_ATTRIBUTES"
    found = _pairs(name, os.environ.get(name, "").strip(), "attributes, such as deployment.environment.name=test")
    service = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    return {"service.name": "plsync", **found, **({"service.name": service} if service else {})}


def _pairs(name: str, value: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filter(str.strip, value.split(",")):
        key, equals, item = pair.partition("=")
        key = unquote(key).strip()
        if not equals or not key:
            raise ExportError(f"{name} is not a list of {form}; nothing was exported")
        found[key] = unquote(item).strip()
    return found


def _is_header(key: str, value: str) -> bool:
    return key.isascii() and not any(c.isspace() or c in ":;" for c in key) and value.isprintable() and value.isascii()
