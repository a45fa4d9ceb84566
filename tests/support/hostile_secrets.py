"""Planted secrets: every place of a call in which a program, a library or a provider puts a credential.

``PLANTED`` maps the name of a place to a function that puts a given secret there. The result is a ``Plant``. A new
place is one more line. ``tests/recorder/test_planted_secrets.py`` makes a call for each place, and searches for its
secret everywhere.
"""

from __future__ import annotations

import base64
import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
from pydantic import BaseModel, SecretStr

__all__ = ["PLANTED", "Plant"]


@dataclass
class Plant:
    """Where a secret goes: arguments of the model and of the call, its metadata, tags and name, or its error."""

    model: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    name: str | None = None
    error: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the response."""


class Login(NamedTuple):
    """A named tuple with a credential."""

    user: str
    password: str


@dataclasses.dataclass
class Settings:
    """A dataclass with a credential."""

    client_secret: str


class Connection(BaseModel):
    """A pydantic model with a credential."""

    token: str
    revealed: SecretStr = SecretStr("x")


class Client:
    """A client whose ``repr`` shows its key, without a name."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<Client {self.text}>"


def _metadata(name: str) -> Callable[[str], Plant]:
    return lambda secret: Plant(metadata={name: secret})


def _text(form: str) -> Callable[[str], Plant]:
    return lambda secret: Plant(metadata={"note": form.format(secret)})


def _error(form: str) -> Callable[[str], Plant]:
    return lambda secret: Plant(error=form.format(secret))


def _basic(secret: str) -> str:
    return base64.b64encode(f"ann:{secret}".encode()).decode()


PLANTED: dict[str, Callable[[str], Plant]] = {
    # A provider repeats all headers and the address of the request in its error.
    "key of the model": lambda secret: Plant(model={"api_key": secret}),
    "key as a function": lambda secret: Plant(model={"api_key": lambda: secret}),
    "default header": lambda secret: Plant(model={"default_headers": {"X-Api-Key": secret}}),
    "default header for functions": lambda secret: Plant(model={"default_headers": {"x-functions-key": secret}}),
    "default query": lambda secret: Plant(model={"default_query": {"api_key": secret}}),
    "header of the client": lambda secret: Plant(
        model={"http_client": httpx.Client(headers={"X-Vault-Token": secret}, trust_env=False)}
    ),
    "login of the client": lambda secret: Plant(
        model={"http_client": httpx.Client(auth=("ann", secret), trust_env=False)}
    ),
    "cookie of the client": lambda secret: Plant(
        model={"http_client": httpx.Client(cookies={"session": secret}, trust_env=False)}
    ),
    "extra header": lambda secret: Plant(options={"extra_headers": {"X-Api-Key": secret}}),
    "extra header for functions": lambda secret: Plant(options={"extra_headers": {"x-functions-key": secret}}),
    "extra header for a vault": lambda secret: Plant(options={"extra_headers": {"X-Vault-Token": secret}}),
    "extra authorization": lambda secret: Plant(options={"extra_headers": {"Proxy-Authorization": f"Bearer {secret}"}}),
    "extra cookie": lambda secret: Plant(options={"extra_headers": {"Cookie": f"id=1; session={secret}"}}),
    "extra query": lambda secret: Plant(options={"extra_query": {"api_key": secret}}),
    "extra query with a signature": lambda secret: Plant(options={"extra_query": {"sig": secret, "token": secret}}),
    "search": lambda secret: Plant(
        options={"extra_body": {"data_sources": [{"authentication": {"type": "api_key", "key": secret}}]}}
    ),
    "connection": lambda secret: Plant(
        options={"extra_body": {"connectionString": f"AccountName=a;AccountKey={secret}"}}
    ),
    "tool": lambda secret: Plant(
        options={
            "extra_body": {"tools": [{"type": "mcp", "headers": {"X-Vault-Token": secret}, "authorization": secret}]}
        }
    ),
    "model settings": lambda secret: Plant(model={"extra_body": {"nested": [{"access_token": secret}]}}),
    # metadata by name
    **{
        f"metadata {name}": _metadata(name)
        for name in (
            *(
                "bearer",
                "pat",
                "pwd",
                "pass",
                "jwt",
                "otp",
                "key",
                "api_key",
                "openaiApiKey",
                "APIKey",
                "client_secret",
            ),
            *("access_token", "hf_token", "notion_token", "password", "dbPassword", "passphrase", "cookie", "auth"),
            *("credentials", "private-key", "x-functions-key", "X-Vault-Token", "AccountKey"),
        )
    },
    # metadata in texts
    "bearer in a text": _text("Bearer {}"),
    "connection string": _text("DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=e"),
    "libpq": _text("host=h user=u password={} dbname=d"),
    "webhook": _text("https://hooks.slack.com/services/T00/B00/{}"),
    "password in a URL": _text("https://ann:{}@example.invalid/x"),
    "password with a slash": _text("https://ann:a/{}@example.invalid/x"),
    "token as the user": _text("https://{}@github.com/x"),
    "query": _text("https://example.invalid/?page=1&access_token={}"),
    "fragment": _text("https://example.invalid/#id_token={}"),
    "json in a text": _text('{{"api_key": "{}"}}'),
    "json in json": _text('{{\\"api_key\\": \\"{}\\"}}'),
    "command": _text("curl --api-key {} https://example.invalid"),
    "private key": _text("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----"),
    # objects
    "ordered dict": lambda secret: Plant(metadata={"a": OrderedDict(api_key=secret)}),
    "mapping": lambda secret: Plant(metadata={"a": MappingProxyType({"token": secret})}),
    "tuple": lambda secret: Plant(metadata={"a": ({"password": secret},)}),
    "headers as pairs": lambda secret: Plant(metadata={"a": [("X-Api-Key", secret), (b"cookie", secret.encode())]}),
    "bytes": lambda secret: Plant(metadata={"a": f"Bearer {secret}".encode()}),
    "named tuple": lambda secret: Plant(metadata={"a": Login("ann", secret)}),
    "dataclass": lambda secret: Plant(metadata={"a": Settings(secret)}),
    "pydantic model": lambda secret: Plant(metadata={"a": Connection(token=secret)}),
    "repr": lambda secret: Plant(metadata={"a": Client(secret.replace("-", ""))}),
    "repr with a token": lambda secret: Plant(metadata={"a": Client(f"Bearer {secret}")}),
    # names
    "tag": lambda secret: Plant(tags=[f"https://ann:{secret}@example.invalid"]),
    "name of the run": lambda secret: Plant(name=f"https://ann:{secret}@example.invalid"),
    # errors
    "error with an assignment": _error("refused: api_key={}"),
    "error with headers": _error("refused: {{'Authorization': 'Bearer {}', 'accept': '*/*'}}"),
    "error with a password": _error("cannot connect to postgres://ann:a/{}@db.invalid/x"),
    "error with a user": _error("cannot clone https://{}@github.com/x"),
    "error with a known form": _error("invalid key sk-{}"),
    "error of OpenAI": _error("Incorrect API key provided: {}. You can find your API key at https://example.invalid."),
    "error with quotes": _error("Invalid API key '{}'"),
    "error without a sign": _error("the api_key {} is not valid for this project"),
    # values beside names
    "name and value": lambda secret: Plant(metadata={"a": [{"name": "X-Api-Key", "value": secret}]}),
    "name and value in an option": lambda secret: Plant(
        options={"extra_body": {"headers": [{"key": "Authorization", "value": secret}]}}
    ),
    "arguments": lambda secret: Plant(metadata={"a": ["client", "--password", secret]}),
    "name in metadata": lambda secret: Plant(metadata={f"Bearer {secret}": 1, "a": {f"https://ann:{secret}@h/": 1}}),
    "header of the response": lambda secret: Plant(headers={"set-cookie": f"session={secret}", "x-api-key": secret}),
}
