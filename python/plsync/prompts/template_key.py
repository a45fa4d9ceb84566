"""The key of a prompt template: its name, and a version or a label."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import orjson

from plsync.errors import PromptError

__all__ = ["TemplateKey"]

# PromptLayer's version numbers fit into 64 bits.
_VERSION_LIMIT: Final = 1 << 63


@dataclass(frozen=True)
class TemplateKey:
    """A template by version, by release label, or its newest version.

    >>> str(TemplateKey.from_arguments("example", version=2))
    "version 2 of 'example'"
    """

    name: str
    version: int | None = None
    label: str | None = None

    @classmethod
    def from_arguments(cls, name: str, version: int | None = None, label: str | None = None) -> TemplateKey:
        """The key for the arguments of a program.

        Raises:
            PromptError: an argument has a wrong type or value, or both a version and a label are set.
        """
        if not _is_text(name):
            raise PromptError(f"the name of a prompt template must be a text that is not empty, not {name!r}")
        is_int = isinstance(version, int) and not isinstance(version, bool)
        if version is not None and not (is_int and 0 < version < _VERSION_LIMIT):
            raise PromptError(f"the version of a prompt template must be a whole number above 0, not {version!r}")
        if label is not None and not _is_text(label):
            raise PromptError(f"a release label must be a text that is not empty, not {label!r}")
        if version is not None and label is not None:
            raise PromptError(f"version {version} and label {label!r} of {name!r} exclude each other; pass one of them")
        return cls(name, version, label)

    def __str__(self) -> str:
        if self.label is not None:
            return f"{self.name!r} with label {self.label!r}"
        return f"{self.name!r}" if self.version is None else f"version {self.version} of {self.name!r}"

    @property
    def file_name(self) -> str:
        """The name of the template's file in the cache: a hash, because a template's name may hold any character."""
        key = orjson.dumps([self.name, self.version, self.label])
        return f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.json"


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
